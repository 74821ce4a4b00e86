"""The one loop: jobs are played in a world by a policy, whatever world it is.

An `EpisodeJob` runs exactly once. A free slot takes the next job, so a result depends on (candidate, seed) alone and
short episodes are not favoured; when jobs run out the world shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.types import Floats, Mask
from worldmodels.worlds.world import World

#: The world shrinks once this share of its slots has nothing left to do: below it, moving the rest costs more.
SHRINK_AT = 1 / 8


@dataclass(frozen=True)
class EpisodeJob:
    """One episode to play: which candidate acts, and the episode's seed."""

    candidate: int
    seed: int


@dataclass(frozen=True)
class EpisodeResult:
    """What became of a job. ``length`` counts the agent's steps."""

    job: EpisodeJob
    episode_return: float
    length: int


class Policy(Protocol):
    """Acts for all slots of a world."""

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Episodes begin in the slots of ``mask`` (bool [N]); ``jobs[slot]`` says whose."""

    def act(self, obs: Any) -> Floats:
        """Returns actions float32 [N, A] for observations [N, ...]."""

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` (bool [N]) is false."""


class Step(NamedTuple):
    """What came of a step of all slots of a world: rewards float64 [N], terminated bool [N], the world's infos."""

    rewards: NDArray[np.float64]
    terminated: Mask
    infos: dict[str, Any]

    def of(self, slot: int) -> tuple[float, bool, dict[str, float]]:
        """Returns a slot's reward, whether it terminated, and its info."""
        info = {name: float(values[slot]) for name, values in self.infos.items()}
        return float(self.rewards[slot]), bool(self.terminated[slot]), info


class Listener(Protocol):
    """Told of every step; recording is the reason."""

    def __call__(self, running: Mask, obs: Any, actions: Floats, step: Step) -> None: ...


def rollout(
    world: World,
    policy: Policy,
    jobs: Sequence[EpisodeJob],
    *,
    patience_steps: int = 0,
    max_steps: int = 0,
    cap_steps: int = 0,
    on_step: Listener | None = None,
    on_result: Callable[[EpisodeResult], None] | None = None,
) -> list[EpisodeResult]:
    """Plays every job once and returns the results in the jobs' order.

    Args:
        world: its slots may be more or fewer than the jobs; idle slots are removed on return.
        policy: acts for all slots.
        jobs: what to play.
        patience_steps: an episode ends after this many steps without a positive reward, and its return is what it would have
            been had the last reward come for all steps up to ``max_steps``; 0 plays on.
        cap_steps: an episode is cut after so many steps; 0 plays on.
        on_step: told the slots that are playing (bool [N]), the observations before the step, the actions, and what came.
        on_result: told each result as it comes, for progress.
    """
    results: list[EpisodeResult | None] = [None] * len(jobs)
    next_job = 0
    job_of = np.full(world.num_envs, -1)
    returns = np.zeros(world.num_envs)
    lengths = np.zeros(world.num_envs, np.int64)
    fruitless = np.zeros(world.num_envs, np.int64)
    obs: Any = None
    some_ended = True  # whatever has not begun
    while True:
        if some_ended:
            free = np.flatnonzero(job_of < 0)
            if next_job < len(jobs) and len(free):
                mask = np.zeros(world.num_envs, np.bool_)
                seeds: list[int | None] = [None] * world.num_envs
                slot_jobs: list[EpisodeJob | None] = [None] * world.num_envs
                for slot, index in zip(free, range(next_job, len(jobs)), strict=False):
                    mask[slot], job_of[slot] = True, index
                    slot_jobs[slot] = jobs[index]
                    seeds[slot] = jobs[index].seed
                    next_job = index + 1
                returns[mask], lengths[mask], fruitless[mask] = 0, 0, 0
                obs, _ = world.reset(seed=seeds, options={"reset_mask": mask})  # type: ignore[arg-type]
                policy.begin(mask, slot_jobs)
            running = job_of >= 0
            if not running.any():
                return [result for result in results if result is not None]
            if next_job >= len(jobs) and np.count_nonzero(~running) > SHRINK_AT * world.num_envs:
                world.shrink(running)
                policy.shrink(running)
                obs = obs[running]
                job_of, returns, lengths, fruitless = job_of[running], returns[running], lengths[running], fruitless[running]
                running = np.ones(world.num_envs, np.bool_)

        actions = policy.act(obs)
        next_obs, rewards, terminated, truncated, infos = world.step(actions)
        if on_step is not None:
            on_step(running, obs, actions, Step(rewards, terminated, infos))
        obs = next_obs
        np.add(returns, rewards, out=returns, where=running)
        lengths += running
        ended = terminated | truncated
        if patience_steps:
            fruitless = np.where(rewards > 0, 0, fruitless + 1)
            given_up = running & ~ended & (fruitless >= patience_steps)
            most = min(max_steps, cap_steps) if cap_steps else max_steps
            returns[given_up] += rewards[given_up] * (most - lengths[given_up])
            ended = ended | given_up
        if cap_steps:
            ended = ended | (lengths >= cap_steps)
        finished = (running & ended).nonzero()[0].tolist()
        some_ended = len(finished) > 0
        for slot in finished:
            index = int(job_of[slot])
            result = EpisodeResult(jobs[index], float(returns[slot]), int(lengths[slot]))
            results[index] = result
            job_of[slot] = -1
            if on_result is not None:
                on_result(result)
