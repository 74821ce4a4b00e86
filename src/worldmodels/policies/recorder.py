"""Plays one slot at random and remembers every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worldmodels.base.types import Floats, Mask
from worldmodels.data.episodes import Recording
from worldmodels.envs.held_random import RandomPolicy
from worldmodels.worlds.rollout import EpisodeJob, Step


class Recorder:
    """Plays one slot at random and remembers every step."""

    def __init__(self, policy: RandomPolicy) -> None:
        self._policy = policy
        self.recording = Recording()

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Nothing to prepare: one recorder serves one episode."""

    def act(self, obs: Any) -> Floats:
        """Returns the random policy's action, float32 [1, A]."""
        return self._policy(obs[0])[None]

    def shrink(self, keep: Mask) -> None:
        """Never happens: the only slot is busy until the end."""

    def __call__(self, running: Mask, obs: Any, actions: Floats, step: Step) -> None:
        """Remembers a step."""
        reward, terminated, info = step.of(0)
        self.recording.add(obs[0], actions[0], reward, terminated, info["damage"])
