"""Doom's HealthGathering and HealthGatheringSupreme: the floor burns, medikits heal, and every tic survived counts one."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import vizdoom
from gymnasium import spaces
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from worldmodels.base.errors import UserError
from worldmodels.base.types import FULL_HEALTH, Frame
from worldmodels.envs.doom.game import DoomEnv
from worldmodels.envs.doom.room import Room
from worldmodels.envs.gym_rules import AFTER_THE_END

#: The scenarios' limit, in tics; a tic is 1/35 of a second.
MAX_TICS = 2100
#: Tics of a step, the usual number for these scenarios.
FRAME_SKIP = 4


class HealthGatheringEnv(DoomEnv[NDArray[np.int64]], EzPickle):
    """ViZDoom's ``health_gathering.cfg``: one large room.

    ### Action Space
    ``MultiDiscrete([3, 2])``: 0 no turn, 1 ``TURN_LEFT``, 2 ``TURN_RIGHT``; and 0 stand, 1 ``MOVE_FORWARD``. The chosen buttons
    are held for ``frame_skip`` tics.

    ### Observation Space
    ``Box(0, 255, (rows, columns, 3), uint8)``: the RGB screen, without health or anything else of the game beside it.

    ### Rewards
    +1 for every tic survived, so that a return is an episode's length in tics. The scenario's penalty of 100 for death is left
    out: a return is comparable to ViZDoom's own plus 100 where the player has died.

    ### Starting State
    The scenario's own; the seed decides where medikits appear.

    ### Info
    ``health``, from 100 to 0; it is not on the screen.

    ### Episode End
    Terminated when the player dies; truncated after 2100 tics. A step after the end warns, moves nothing and gives 0.

    ### Arguments
    - ``frame_skip``: tics of a step, from 1 to 35; 4 by default.
    - ``resolution``: ``"160x120"`` (default), ``"320x240"`` or ``"640x480"``.
    - ``skill``: Doom's difficulty from 1 to 5; 3 by default, ViZDoom's own.
    - ``mapped``: keep where the player has been (`visited`), for measuring alone.
    """

    name: ClassVar[str] = "HealthGathering"
    scenario: ClassVar[str] = "health_gathering.cfg"

    def __init__(
        self,
        frame_skip: int = FRAME_SKIP,
        resolution: str = "160x120",
        skill: int = 3,
        render_mode: str | None = None,
        mapped: bool = False,
    ) -> None:
        DoomEnv.__init__(self, resolution, skill, render_mode)
        if frame_skip not in range(1, 36):
            raise UserError(f"frame_skip is {frame_skip}; it must be a whole number from 1 to 35")
        EzPickle.__init__(self, frame_skip, resolution, skill, render_mode, mapped)
        columns, rows = map(int, resolution.split("x"))
        self.observation_space = spaces.Box(0, 255, (rows, columns, 3), np.uint8)
        self.action_space = spaces.MultiDiscrete([3, 2])
        self.metadata = {**DoomEnv.metadata, "render_fps": 35 / frame_skip}
        self._frame_skip = frame_skip
        self._tics, self._health = 0, FULL_HEALTH
        self._room = Room() if mapped else None

    def _configure(self, game: vizdoom.DoomGame) -> None:
        game.set_sectors_info_enabled(self._room is not None)
        game.set_death_penalty(0)
        game.set_episode_timeout(0)  # it is counted here, so that an end is a death

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        """Starts an episode; the same seed and actions give the same screens."""
        self._begin(seed)
        self._tics, self._health = 0, FULL_HEALTH
        if self._room is not None and self._running is not None:
            self._room.begin(self._running.game)
        return self._latest_screen().copy(), {"health": FULL_HEALTH}

    def step(self, action: NDArray[np.int64]) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Plays ``frame_skip`` tics, or as many as are left.

        Raises:
            InvalidAction: an action that is not in the space.
            ResetNeeded: no episode has begun.
            EnvironmentFailure: the game has died (not the player), or is another process's.
        """
        self._check_playing()
        if not self.action_space.contains(np.asarray(action)):
            raise gym.error.InvalidAction(f"{self.name}: the action is {action!r}; it must be in {self.action_space}")
        if any(self._ended):
            gym.logger.warn(AFTER_THE_END)
            return self._latest_screen().copy(), 0.0, *self._ended, {"health": self._health}
        turn, move = (int(option) for option in action)
        tics = min(self._frame_skip, MAX_TICS - self._tics)
        reward, terminated, self._health = self._play([turn == 1, turn == 2, move == 1], tics)
        self._tics += tics
        if self._room is not None and self._running is not None and not terminated:
            self._room.note(self._running.game)
        self._ended = terminated, not terminated and self._tics >= MAX_TICS
        return self._latest_screen().copy(), reward, *self._ended, {"health": self._health}


class HealthGatheringSupremeEnv(HealthGatheringEnv):
    """ViZDoom's ``health_gathering_supreme.cfg``: a maze, and vials of poison among the medikits. All else is as in
    `HealthGatheringEnv`."""

    name = "HealthGatheringSupreme"
    scenario = "health_gathering_supreme.cfg"
