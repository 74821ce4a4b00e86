"""Policies that act without looking: uniform random, fixed actions, the data's random policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.base.types import Floats, Mask
from worldmodels.config import RandomPolicyConfig
from worldmodels.envs.held_random import RandomPolicy
from worldmodels.envs.task import Task
from worldmodels.worlds.rollout import EpisodeJob


class UniformPolicy:
    """Actions drawn uniformly from the action space, anew every step: Gymnasium's random agent.

    Each episode's draws come from its own seed.
    """

    def __init__(self, action_space: gym.Space[Any]) -> None:
        assert isinstance(action_space, gym.spaces.Box)
        self._low, self._high = action_space.low, action_space.high
        self._generators: list[np.random.Generator | None] = []

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Seeds the slots whose episodes begin."""
        self._generators = self._generators or [None] * len(mask)
        for slot, job in enumerate(jobs):
            if job is not None:
                self._generators[slot] = np.random.default_rng([job.seed, 2])

    def act(self, obs: Any) -> Floats:
        """Returns actions float32 [N, A]."""
        return np.array([g.uniform(self._low, self._high) if g else self._low for g in self._generators], np.float32)

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` is false."""
        self._generators = [g for g, kept in zip(self._generators, keep, strict=True) if kept]


class BlindPolicy:
    """Acts without looking: each slot by an episode's policy of its own.

    Args:
        make: makes an episode's policy from its seed.
    """

    def __init__(self, make: Callable[[int], RandomPolicy], action_size: int) -> None:
        self._make = make
        self._idle = np.zeros(action_size, np.float32)
        self._policies: list[RandomPolicy | None] = []

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Makes the policies of the slots whose episodes begin."""
        self._policies = self._policies or [None] * len(mask)
        for slot, job in enumerate(jobs):
            if job is not None:
                self._policies[slot] = self._make(job.seed)

    def act(self, obs: Any) -> Floats:
        """Returns actions float32 [N, A]."""
        nothing = np.zeros((64, 64, 3), np.uint8)
        return np.stack([policy(nothing) if policy else self._idle for policy in self._policies])

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` is false."""
        self._policies = [policy for policy, kept in zip(self._policies, keep, strict=True) if kept]


@dataclass(frozen=True)
class Blind:
    """Which policy that does not look plays: one of `blind_policies`, by name, or without a name Gymnasium's random agent."""

    name: str = ""
    random: RandomPolicyConfig = RandomPolicyConfig()  # noqa: RUF009 (frozen)

    def policy(self, spec: Task, action_space: gym.Space[Any]) -> BlindPolicy | UniformPolicy:
        """Returns it for environments of the task with these actions."""
        if not self.name:
            return UniformPolicy(action_space)
        return BlindPolicy(blind_policies(spec, self.random)[self.name], spec.action_size)


def blind_policies(spec: Task, random: RandomPolicyConfig) -> dict[str, Callable[[int], RandomPolicy]]:
    """Returns the task's fixed actions and the data's random policy, by name."""

    def always(action: Sequence[float]) -> Callable[[int], RandomPolicy]:
        fixed = np.array(action, np.float32)
        return lambda seed: lambda obs: fixed

    found: dict[str, Callable[[int], RandomPolicy]] = {name: always(action) for name, action in spec.data.fixed_actions.items()}
    found["held random"] = lambda seed: spec.seeded_random_policy(seed, random)
    return found
