"""Somebody else's policy, which sees frames: an object with Stable-Baselines3's ``predict``, or a function frame → action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np

from worldmodels.base.errors import UserError
from worldmodels.base.types import Floats, Frame, Mask
from worldmodels.envs.gym_rules import admitted
from worldmodels.worlds.rollout import EpisodeJob


@runtime_checkable
class Predicts(Protocol):
    """Stable-Baselines3's convention."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]: ...


FramePolicy = Predicts | Callable[[Frame], Any]


class OutsiderPolicy:
    """Plays a single slot of pixels. ``predict`` gets the frame uint8 [64, 64, 3], the state that it returned (None at first),
    whether an episode begins (bool [1]) and ``deterministic=True``; a function gets the frame alone.

    Raises:
        UserError: the policy is neither.
    """

    def __init__(self, policy: FramePolicy, action_space: gym.Space[Any]) -> None:
        if not isinstance(policy, Predicts) and not callable(policy):
            raise UserError(
                f"a {type(policy).__name__} is no policy: neither an Agent, nor has it predict(), nor is it a function"
            )
        self._policy, self._space = policy, action_space
        self._state: Any = None
        self._begins = True

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Forgets the last episode."""
        if mask.any():
            self._state, self._begins = None, True

    def act(self, obs: Frame) -> Floats:
        """Frames uint8 [1, 64, 64, 3] → actions float32 [1, A]. Raises `InvalidAction` for what is none."""
        frame = obs[0].copy()
        if isinstance(self._policy, Predicts):
            start = np.array([self._begins])
            action, self._state = self._policy.predict(frame, self._state, start, deterministic=True)
        else:
            action = self._policy(frame)
        self._begins = False
        return np.asarray(admitted(action, self._space), np.float32)[None]

    def shrink(self, keep: Mask) -> None:
        """There is one slot, and it stays."""
