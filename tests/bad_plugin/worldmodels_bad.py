"""Tasks of somebody else's that cannot work, one for each mistake that a newcomer makes. Only `test_check.py` sees this folder.

The toy's dot, and one thing wrong: from the beginning, or (``late``) from the sixth step of every episode on.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from worldmodels_toy import TOY, MovingDot

from worldmodels.envs.registry import register

LATE_STEP = 6
FRAMES = {
    "large": lambda frame: np.zeros((84, 84, 3), np.uint8),
    "grey": lambda frame: frame[..., 0],
    "grey-channel": lambda frame: frame[..., :1],
    "float": lambda frame: (frame / 255).astype(np.float32),
    "channel-first": lambda frame: np.moveaxis(frame, -1, 0),
    "dict": lambda frame: {"picture": frame},
}
ACTIONS = {
    "discrete": spaces.Discrete(3),
    "multi-binary": spaces.MultiBinary(3),
    "two-actions": spaces.Box(-1, 1, (2,), np.float32),
    "half-range": spaces.Box(0, 1, (1,), np.float32),
    "unbounded": spaces.Box(-np.inf, np.inf, (1,), np.float32),
}
#: What else goes wrong, and what of it goes wrong late only.
OTHERS = ("lying-space", "nan-reward", "text-reward", "raises", "no-render-mode", "no-picture", "old-step")
LATE = ("large", "float", "nan-reward", "nan-damage", "raises")


class Faulty(MovingDot):
    """The dot with a fault."""

    def __init__(self, fault: str, late: bool = False, render_mode: str | None = None) -> None:
        if fault == "no-render-mode" and render_mode is not None:
            raise TypeError("unexpected argument 'render_mode'")
        super().__init__(render_mode)
        self.fault, self.late = fault, late
        if fault == "dict":
            self.observation_space = spaces.Dict({"picture": self.observation_space})
        elif fault in FRAMES and not late:
            frame = FRAMES[fault](np.zeros((64, 64, 3), np.uint8))
            self.observation_space = spaces.Box(0, 255, frame.shape, frame.dtype)
        self.action_space = ACTIONS.get(fault, self.action_space)

    def _now(self) -> bool:
        return not self.late or self._steps >= LATE_STEP

    def _observe(self) -> Any:
        frame = super()._observe()
        if self.fault == "lying-space":
            return frame[:32]
        return FRAMES[self.fault](frame) if self.fault in FRAMES and self._now() else frame

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if self.fault == "nan-damage":  # of a task with hits
            info["damage"] = np.nan if self._now() else 0.0
        if self._now():
            if self.fault == "raises":
                raise ZeroDivisionError("of the task's own")
            if self.fault == "nan-reward":
                reward = float("nan")
            if self.fault == "text-reward":
                reward = "one"
            if self.fault == "old-step":
                return observation, reward, terminated, info
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        return None if self.fault == "no-picture" else super().render()


def add(fault: str, late: bool) -> None:
    """Registers a task."""
    name = f"late-{fault}" if late else fault
    env_id = f"worldmodels-bad/{name}-v0"
    gym.register(env_id, entry_point="worldmodels_bad:Faulty", kwargs={"fault": fault, "late": late})
    # Every episode is long enough, so that the first ones show it.
    made = dataclasses.replace(TOY, name=name, env_id=env_id, dream_id=f"worldmodels-bad/{name}-dream-v0")
    register(dataclasses.replace(made, hit_damages=(50.0,)) if fault == "nan-damage" else made)


for fault in (*FRAMES, *ACTIONS, *OTHERS):
    add(fault, late=False)
for fault in LATE:
    add(fault, late=True)
