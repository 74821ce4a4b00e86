"""Doom's TakeCover: monsters throw fireballs, the player steps left and right, every tic survived counts one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import vizdoom
from gymnasium import spaces
from gymnasium.utils import EzPickle

from worldmodels.base.errors import UserError
from worldmodels.base.types import FULL_HEALTH, Floats, Frame, Mask
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.doom.game import DoomEnv
from worldmodels.envs.doom.room import Room
from worldmodels.envs.gym_rules import AFTER_THE_END, Admission
from worldmodels.envs.original_frames import original_frame
from worldmodels.envs.take_cover.fireballs import Fireballs
from worldmodels.envs.take_cover.variants import EDITS, TEXT, check_variant, paint_text

MAX_EPISODE_STEPS = 2100
THRESHOLD = 1 / 3
FRAME_SIZE = 64
#: Of a fireball: 21 times a die with eight faces; half of the hits kill at full health.
HIT_DAMAGES = tuple(21.0 * face for face in range(1, 9))


class TakeCoverEnv(DoomEnv[Floats], EzPickle):
    """ViZDoom's ``take_cover.cfg``, seen as the paper sees it.

    ### Action Space
    ``Box(-1, 1, (1,), float32)``: below -1/3 a step to the left, above +1/3 a step to the right, else none
    (the original's ``doomreal.py``). What lies outside is clipped; what is not finite or has another shape is refused
    (`gymnasium.error.InvalidAction`).

    ### Observation Space
    ``Box(0, 255, (64, 64, 3), uint8)``: the RGB screen without its bottom part (``crop`` of the rows are kept; the
    original keeps rows 0-399 of 480), averaged over areas down to 64×64; or the original's frames (``original_frames``).

    ### Rewards
    +1 for every tic survived.

    ### Starting State
    The scenario's own; the seed decides where monsters appear and when they fire.

    ### Info
    ``health``, from 100 to 0, and ``damage``, what this step has cost of it. Neither is on the screen.

    ### Episode End
    Terminated when the player dies; truncated after 2100 tics (the paper's cap; the scenario itself sets none). A step after
    the end warns, moves nothing and gives 0.

    ### Copies
    One by ``pickle`` or ``copy.deepcopy`` begins anew, with a game of its own. A forked process begins a game of its own with
    ``reset``; a step in its parent's raises `EnvironmentFailure`.

    ### Arguments
    - ``resolution``: ``"160x120"`` (default, fastest; brick walls flicker), ``"320x240"`` or ``"640x480"`` (the original's).
    - ``crop``: the share of the screen's rows that is kept, from the top; 400/480 by default.
    - ``skill``: Doom's difficulty from 1 to 5; 4 is the scenario's own and the paper's.
    - ``original_frames``: the original's contrast, resizing and wrapping arithmetic, which its weights need.
    - ``variant``: another look (`variants`): ``"walls"``, ``"floor"`` or ``"text"``; empty: the plain one. The game stays.
    - ``watched``: the game also says where its fireballs are (`answers`), for measuring alone; nothing else changes.
    - ``mapped``: keep where the player has been along its wall (`visited`), for measuring alone.

    ### Version History
    - v1: ViZDoom 1.3's own interface, one tic per step, skill 4. (v0 was the original's, on ViZDoom 1.1 through ppaquette's
      environments.)
    """

    name = "TakeCover"
    scenario = "take_cover.cfg"

    def __init__(
        self,
        resolution: str = "160x120",
        crop: float = 400 / 480,
        skill: int = 4,
        render_mode: str | None = None,
        original_frames: bool = False,
        variant: str = "",
        watched: bool = False,
        mapped: bool = False,
    ) -> None:
        check_variant(variant)
        DoomEnv.__init__(self, resolution, skill, render_mode)
        if not 0.1 <= crop <= 1:
            raise UserError(f"crop is {crop}; it must lie between 0.1 and 1")
        EzPickle.__init__(self, resolution, crop, skill, render_mode, original_frames, variant, watched, mapped)
        self.observation_space = spaces.Box(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.checks_actions = True
        self._admit = Admission(self.action_space)
        self._resize = original_frame if original_frames else area_resize
        self._rows = round(int(resolution.split("x")[1]) * crop)
        self._num_steps = 0
        self._health = FULL_HEALTH
        self._variant = variant
        self._fireballs = Fireballs() if watched else None
        self._room = Room(sideways=True) if mapped else None
        self._last_push = 0.0

    def _edit(self) -> tuple[str, str, str] | None:
        return EDITS.get(self._variant)

    def _painted(self, screen: Frame) -> Frame:
        return paint_text(screen) if self._variant == TEXT else screen

    def _configure(self, game: vizdoom.DoomGame) -> None:
        game.set_episode_timeout(0)
        game.set_objects_info_enabled(self._fireballs is not None)
        game.set_sectors_info_enabled(self._room is not None)

    def _observe(self) -> Frame:
        if self._fireballs is not None and self._running is not None:
            state = self._running.game.get_state()
            self._fireballs.update(state.objects if state is not None else ())
        return self._resize(self._latest_screen()[: self._rows], FRAME_SIZE)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        """Starts an episode; the same seed and actions give the same frames."""
        self._begin(seed)
        self._num_steps, self._health, self._last_push = 0, FULL_HEALTH, 0.0
        if self._fireballs is not None:
            self._fireballs = Fireballs()
        if self._room is not None and self._running is not None:
            self._room.begin(self._running.game)
        return self._observe(), {"health": FULL_HEALTH, "damage": 0.0}

    def step(self, action: Floats) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Plays one tic.

        Raises:
            InvalidAction: an action that is not finite or has another shape.
            ResetNeeded: no episode has begun.
            EnvironmentFailure: the game has died (not the player), or is another process's.
        """
        self._check_playing()
        push = float(self._admit(action)[0])
        if any(self._ended):
            gym.logger.warn(AFTER_THE_END)
            return self._observe(), 0.0, *self._ended, {"health": self._health, "damage": 0.0}
        left, right = push < -THRESHOLD, push > THRESHOLD
        reward, terminated, health = self._play([left, right], 1)
        self._last_push = float(left) - float(right)
        self._num_steps += 1
        if self._room is not None and self._running is not None and not terminated:
            self._room.note(self._running.game)
        self._ended = terminated, not terminated and self._num_steps >= MAX_EPISODE_STEPS
        damage, self._health = self._health - health, health
        return self._observe(), reward, *self._ended, {"health": health, "damage": damage}

    def answers(self) -> dict[str, Mask]:
        """Returns what the game knows of its fireballs now: the answers to yes/no questions, bool, by their rows' names (see
        `Fireballs.answers`).

        Raises:
            ValueError: the environment is not ``watched``.
        """
        if self._fireballs is None:
            raise ValueError("the game says where its fireballs are with watched=True alone")
        return self._fireballs.answers(self._last_push)
