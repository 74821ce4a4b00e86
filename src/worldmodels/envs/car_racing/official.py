"""Gymnasium's own CarRacing as V sees it: what published scores are taken on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldmodels.base.types import Floats, Frame
from worldmodels.envs.area_resize import area_resize

#: Rows of the state pixels above the indicators, and the edge of V's frames.
HEIGHT, FRAME_SIZE = 84, 64


class OfficialFrames(gym.ObservationWrapper[Frame, Floats, Any]):
    """Rows 0-83 of the official 96×96 state pixels, averaged over areas down to uint8 [64, 64, 3]; nothing else changes.

    Args:
        resize: makes the frame of the rows in place of the average.
    """

    def __init__(self, env: gym.Env[Any, Any], resize: Callable[[Frame, int], Frame] = area_resize) -> None:
        super().__init__(env)
        self._resize = resize
        self.observation_space = spaces.Box(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), np.uint8)

    def observation(self, observation: Any) -> Frame:
        return self._resize(observation[:HEIGHT], FRAME_SIZE)
