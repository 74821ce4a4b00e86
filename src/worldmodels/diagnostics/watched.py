"""Moments of real episodes, and what the game itself knows of them: for measuring alone.

Shapes: R moments, N slots, Z latent, H hidden, Q questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.types import Floats, Frame, Mask
from worldmodels.config import ControllerInputs, ProbeConfig
from worldmodels.envs.task import Task
from worldmodels.models.controller import features
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.progress import Progress
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob, EpisodeResult, Policy, Step, rollout

#: Games side by side.
NUM_SLOTS = 16


@dataclass(frozen=True)
class Moments:
    """Moments in the order of episodes and steps.

    Attributes:
        episode: whose they are, int64 [R], from 0 on.
        frames: what V sees, uint8 [R, 64, 64, 3].
        features: z, c and h of the world model that the episodes were played with, float32 [R, Z + 2H].
        questions: the rows of questions, and how many each has.
        answers: bool [R, Q], row by row.
        lengths: the episodes' lengths in steps, int64 [episodes].
    """

    episode: NDArray[np.int64]
    frames: Frame
    features: Floats
    questions: dict[str, int]
    answers: Mask
    lengths: NDArray[np.int64]


class _Onlooker:
    """Has a policy play, and keeps every so-manieth moment of each slot's episode, as it was before the step."""

    def __init__(self, policy: Policy, world: LatentEnv, envs: Sequence[Any], every_steps: int) -> None:
        self._policy, self._world, self._every_steps = policy, world, every_steps
        self._envs = list(envs)
        self._jobs: list[EpisodeJob | None] = [None] * len(envs)
        self._steps = np.zeros(len(envs), np.int64)
        self._seen: dict[int, tuple[Frame, Floats, dict[str, Mask]]] = {}
        self.kept: dict[tuple[int, int], tuple[Frame, Floats, dict[str, Mask]]] = {}
        """By the episode's seed and the step."""

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        self._policy.begin(mask, jobs)
        self._steps[mask] = 0
        self._jobs = [new or old for new, old in zip(jobs, self._jobs, strict=True)]

    def act(self, obs: Any) -> Floats:
        due = np.flatnonzero(self._steps % self._every_steps == 0)
        self._seen = {}
        if len(due):
            state = self._world.world_state()
            known = features(self._world.mu, state.z, state.state.hidden, state.state.cell, "zch").cpu().numpy()
            for slot in due:
                answers = self._envs[slot].unwrapped.answers()
                self._seen[int(slot)] = self._world.frames[slot].copy(), known[slot].copy(), answers
        return self._policy.act(obs)

    def shrink(self, keep: Mask) -> None:
        self._policy.shrink(keep)
        self._envs = [env for env, kept in zip(self._envs, keep, strict=True) if kept]
        self._jobs = [job for job, kept in zip(self._jobs, keep, strict=True) if kept]
        self._steps = self._steps[keep]

    def __call__(self, running: Mask, obs: Any, actions: Floats, step: Step) -> None:
        for slot, seen in self._seen.items():
            job = self._jobs[slot]
            if running[slot] and job is not None:
                self.kept[job.seed, int(self._steps[slot])] = seen
        self._steps += 1


def watch(config: ProbeConfig, task: Task, world_model: WorldModel, inputs: ControllerInputs, policy: Policy) -> Moments:
    """Plays real episodes and looks at them.

    Args:
        task: one with ``watched_kwargs``.
        world_model: whose features are kept, and what the policy sees the game through.
        inputs: what of them the policy sees.
        policy: who plays.
    """
    envs = [task.make_env(**task.watched_kwargs) for _ in range(min(NUM_SLOTS, config.episodes))]
    world = LatentEnv(PixelEnvs(envs, task.env_threads), world_model, inputs, always_remember=True)
    onlooker = _Onlooker(policy, world, envs, config.every_steps)
    progress = Progress("probe", config.episodes, "episodes")
    steps: list[int] = []

    def on_result(result: EpisodeResult) -> None:
        steps.append(result.length)
        progress.update(len(steps), f"{sum(steps):,} steps")

    try:
        jobs = [EpisodeJob(0, config.seed + index) for index in range(config.episodes)]
        results = rollout(world, onlooker, jobs, on_step=onlooker, on_result=on_result)
    finally:
        world.close()
    progress.finish(f"{sum(steps):,} steps")
    in_order = sorted(onlooker.kept)
    seen = [onlooker.kept[moment] for moment in in_order]
    return Moments(
        np.array([seed - config.seed for seed, _ in in_order]),
        np.stack([frame for frame, _, _ in seen]),
        np.stack([known for _, known, _ in seen]),
        {name: len(answers) for name, answers in seen[0][2].items()},
        np.stack([np.concatenate(list(answers.values())) for _, _, answers in seen]),
        np.array([result.length for result in results]),
    )
