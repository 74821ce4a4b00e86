"""The usual scales, sized for an environment by a first look: how fast it is, and how long an episode of random actions is.

The sizes become the settings of the new run, in its config.json: whoever resumes it measures nothing.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.config import BEST_RECIPE, Preset, RandomPolicyConfig
from worldmodels.envs import presets
from worldmodels.envs.check import check_task
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Task
from worldmodels.runs import task_file
from worldmodels.runs.layout import CONFIG
from worldmodels.runtime.local_workers import LocalWorkers

#: The look ends after so many seconds or episodes, and at the end of an episode if it may.
MEASURED_SECONDS, MEASURED_EPISODES = 2.0, 20
#: What the scales are sized for: two cores.
CORES = 2


@dataclass(frozen=True)
class Measured:
    """What a first look at an environment has found."""

    steps_per_second: float
    mean_length: float
    """Steps of an episode of random actions; of the one that was cut off, as far as it had come."""


@dataclass(frozen=True)
class Budget:
    """What a scale may take of an environment."""

    collect_seconds: float
    min_frames: int
    max_frames: int
    min_episodes: int
    search_seconds: float
    min_generations: int
    max_generations: int


BUDGETS = {
    "smoke": Budget(20, 2_000, 20_000, 24, 60, 4, 10),
    "laptop": Budget(420, 50_000, 400_000, 100, 2_400, 10, 60),
}


def preset_of(task: Task, scale: str, run: Path, recipe: str = BEST_RECIPE) -> Preset:
    """Returns the settings of a scale for the run in a folder; sized for a new run of a task that names none of its own."""
    found = task.preset(scale, recipe)
    if task.presets is not presets.USUAL or scale not in BUDGETS or (run / CONFIG).exists() or not task.env_id:
        return found
    return sized_for(found, BUDGETS[scale], measure(task), task.max_episode_steps)


_looks: dict[str, Measured] = {}


def measure(task: Task) -> Measured:
    """Checks the task and plays episodes of random actions for a moment, once a process.

    An environment that was given by its id is played in another process: a fault in a C library of its ends that, not ours.

    Raises:
        UserError: the task is not what the stages need.
        EnvironmentFailure: its process dies, again and again.
    """
    if task.name not in _looks:
        facts = task_file.known.get(task.name)
        _looks[task.name] = found = _look(task.name) if facts is None else _look_from_afar(facts)
        words = f"{found.steps_per_second:.0f} steps a second, {found.mean_length:.0f} steps an episode of random actions"
        print(f"{task.name}: {words}; the scale is sized for that", file=sys.stderr, flush=True)
    return _looks[task.name]


def _look_from_afar(facts: task_file.Facts) -> Measured:
    worker = LocalWorkers(1, _prepare, None, (facts,))
    try:
        ((_, found),) = worker.map_unordered(_look, [(facts.name,)])
    except EnvironmentFailure as error:
        why = str(error).partition(";")[0]  # there is no run yet that could go on
        raise EnvironmentFailure(f"{facts.name}: a first look at its environment failed: {why}") from error
    finally:
        worker.close()
    assert isinstance(found, Measured)
    return found


def _prepare(folder: Path | None, facts: task_file.Facts) -> None:
    task_file.note(facts)


def _look(name: str) -> Measured:
    task = get_task(name)
    check_task(task)
    env, steps, episodes = task.make_env(), 0, 0
    try:
        env.reset(seed=0)
        start = time.monotonic()
        while episodes < MEASURED_EPISODES and time.monotonic() - start < MEASURED_SECONDS:
            policy = task.random_policy(np.random.default_rng(episodes), RandomPolicyConfig())
            frame, _ = env.reset(seed=episodes)
            over, episodes = False, episodes + 1
            while not over and time.monotonic() - start < MEASURED_SECONDS:
                frame, _, terminated, truncated, _ = env.step(policy(frame))
                over, steps = terminated or truncated, steps + 1
        return Measured(steps / (time.monotonic() - start), steps / episodes)
    finally:
        env.close()


def sized_for(preset: Preset, budget: Budget, measured: Measured, max_episode_steps: int) -> Preset:
    """Returns a scale's settings with the episodes, their cut and the generations that the budget allows."""
    speed = CORES * measured.steps_per_second
    frames = min(max(speed * budget.collect_seconds, budget.min_frames), budget.max_frames)
    # An action that is held for longer than a fraction of the episode shows one end of it only.
    hold = min(max(round(measured.mean_length / 8), 1), RandomPolicyConfig.max_hold_steps)
    episodes = min(max(round(frames / measured.mean_length), budget.min_episodes), 10_000)
    longest = min(max_episode_steps, max(50, round(frames / episodes) * 2))
    collect = replace(
        preset.collect,
        num_episodes=episodes,
        episodes_per_shard=max(preset.collect.episodes_per_shard, episodes // 100),
        max_episode_steps=longest if longest < max_episode_steps else 0,
        random=replace(preset.collect.random, max_hold_steps=hold),
    )
    controller = preset.controller
    played = controller.population_size * controller.episodes_per_candidate * max_episode_steps
    generations = round(budget.search_seconds * speed / played)
    controller = replace(controller, num_generations=min(max(generations, budget.min_generations), budget.max_generations))
    return replace(preset, collect=collect, controller=controller)
