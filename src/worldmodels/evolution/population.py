"""Where candidates are scored. Nothing above this file knows in which world, or how many play at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from worldmodels.dream_env import DreamEnv
from worldmodels.latent_env import LatentEnv
from worldmodels.models.controller import ControllerPolicy
from worldmodels.models.world_model import WorldModel
from worldmodels.rollout import EpisodeJob, EpisodeResult, rollout
from worldmodels.worlds import PixelEnvs, World


class Population:
    """Plays candidates' episodes in one world, in this process.

    Args:
        world_model: V, M and the dream's beginnings.
        world: ``"dream"`` or ``"real"``.
        temperature: the dream's.
        num_slots: episodes that run side by side; the real world keeps that many games open.
    """

    def __init__(self, world_model: WorldModel, world: Literal["dream", "real"], temperature: float, num_slots: int) -> None:
        self._world_model, self._world = world_model, world
        self._temperature, self._num_slots = temperature, num_slots

    def _make_world(self, num_jobs: int) -> World:
        num_slots = min(self._num_slots, num_jobs)
        if self._world == "dream":
            return DreamEnv(self._world_model, num_slots, self._temperature)
        envs = [self._world_model.spec.make_env() for _ in range(num_slots)]
        return LatentEnv(PixelEnvs(envs, os.cpu_count()), self._world_model)

    def evaluate(
        self,
        solutions: Tensor,
        jobs: Sequence[EpisodeJob],
        on_result: Callable[[EpisodeResult], None] | None = None,
    ) -> list[EpisodeResult]:
        """Plays every job once with its candidate of ``solutions`` (float [P, parameters]); results in the jobs' order."""
        world = self._make_world(len(jobs))
        try:
            policy = ControllerPolicy(self._world_model.spec, solutions)
            return rollout(world, policy, jobs, on_result=on_result)
        finally:
            world.close()
