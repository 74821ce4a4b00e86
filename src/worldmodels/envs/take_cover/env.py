"""Doom's TakeCover: monsters throw fireballs, the player steps left and right, every tic survived counts one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import vizdoom
from gymnasium import spaces
from gymnasium.utils import EzPickle

from worldmodels.base.errors import EnvironmentFailure, UserError, nearest
from worldmodels.base.types import FULL_HEALTH, Floats, Frame
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.gym_rules import AFTER_THE_END, admitted
from worldmodels.envs.original_frames import original_frame
from worldmodels.envs.take_cover import process_guard
from worldmodels.runtime import interrupt

MAX_EPISODE_STEPS = 2100
THRESHOLD = 1 / 3
FRAME_SIZE = 64

_RESOLUTIONS = {
    "160x120": vizdoom.ScreenResolution.RES_160X120,
    "320x240": vizdoom.ScreenResolution.RES_320X240,
    "640x480": vizdoom.ScreenResolution.RES_640X480,
}
#: Of a fireball: 21 times a die with eight faces; half of the hits kill at full health.
HIT_DAMAGES = tuple(21.0 * face for face in range(1, 9))
#: Starting a game changes the working folder for a moment (see `TakeCoverEnv._start`): one at a time.
_start_lock = threading.Lock()


def _renew_lock() -> None:
    global _start_lock
    _start_lock = threading.Lock()  # a forked copy of us may have been made while another thread held it


os.register_at_fork(after_in_child=_renew_lock)


class _RunningGame:
    """A game's process, and what goes with it: its folder, and its guardian's knowledge of both.

    All of it belongs to the process that started it. A forked copy must leave it alone.
    """

    def __init__(self, game: vizdoom.DoomGame, folder: str) -> None:
        self.game, self.folder = game, folder
        self.process: int | None = None
        self.identity: str | None = None
        self._owner = os.getpid()

    @property
    def is_ours(self) -> bool:
        return self._owner == os.getpid()

    def end(self) -> None:
        """Ends the game and removes what it had."""
        if not self.is_ours:
            # Never freed: ViZDoom's object would end the game as it goes.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.game))
            return
        with contextlib.suppress(vizdoom.ViZDoomErrorException):
            self.game.close()
        if self.identity is not None:
            process_guard.release(self.identity)
        process_guard.release(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


class TakeCoverEnv(gym.Env[Frame, Floats], EzPickle):
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

    ### Version History
    - v1: ViZDoom 1.3's own interface, one tic per step, skill 4. (v0 was the original's, on ViZDoom 1.1 through ppaquette's
      environments.)
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 35}

    def __init__(
        self,
        resolution: str = "160x120",
        crop: float = 400 / 480,
        skill: int = 4,
        render_mode: str | None = None,
        original_frames: bool = False,
    ) -> None:
        if resolution not in _RESOLUTIONS:
            raise UserError(f"TakeCover has no resolution '{resolution}'{nearest(resolution, _RESOLUTIONS)}")
        if not 0.1 <= crop <= 1:
            raise UserError(f"crop is {crop}; it must lie between 0.1 and 1")
        if skill not in range(1, 6):
            raise UserError(f"skill is {skill}; it must be 1, 2, 3, 4 or 5")
        if render_mode not in (None, "rgb_array"):
            raise UserError(f"TakeCover has no render mode '{render_mode}'; use 'rgb_array'")
        EzPickle.__init__(self, resolution, crop, skill, render_mode, original_frames)
        self.observation_space = spaces.Box(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.render_mode = render_mode
        self.resolution = resolution
        self.skill = skill
        self._resize = original_frame if original_frames else area_resize
        self._rows = round(int(resolution.split("x")[1]) * crop)
        self._running: _RunningGame | None = None
        #: Ends the game; also when nobody closes the environment, before the program ends.
        self._end: weakref.finalize[..., TakeCoverEnv] | None = None
        self._screen: Frame | None = None
        self._num_steps = 0
        self._health = FULL_HEALTH
        self._ended = (False, False)

    def _start(self) -> _RunningGame:
        """Starts the game's process, silent, without a window, and guarded."""
        game = vizdoom.DoomGame()
        game.load_config(str(Path(vizdoom.scenarios_path) / "take_cover.cfg"))
        game.set_screen_resolution(_RESOLUTIONS[self.resolution])
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_doom_skill(self.skill)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_episode_timeout(0)
        # The game leaves `_vizdoom.ini` and `_vizdoom/` in the working folder that it starts in; a folder of its own
        # keeps the user's clean, and keeps several games from reading each other's settings.
        running = _RunningGame(game, tempfile.mkdtemp(prefix="worldmodels-doom-"))
        self._end = weakref.finalize(self, running.end)
        process_guard.guard(running.folder)
        with _start_lock:
            here = Path.cwd()
            before = {child.pid for child in psutil.Process().children()}
            os.chdir(running.folder)
            try:
                game.set_doom_config_path(str(Path(running.folder) / "_vizdoom.ini"))
                # Ctrl-C reaches everybody in a terminal; a game that dies of it while ViZDoom closes it takes us along.
                with interrupt.held_back():
                    game.init()
            except vizdoom.ViZDoomErrorException as error:
                raise EnvironmentFailure(f"TakeCover: ViZDoom does not start ({error})") from error
            finally:
                os.chdir(here)
            for child in psutil.Process().children():
                # One that is gone already says so at the first step.
                with contextlib.suppress(psutil.Error, ValueError):
                    if child.pid not in before and "vizdoom" in child.name().lower():
                        running.process, words = child.pid, child.cmdline()
                        running.identity = words[words.index("+viz_instance_id") + 1]
                        process_guard.guard(running.identity)
        return running

    def _observe(self) -> Frame:
        assert self._running is not None
        state = self._running.game.get_state()
        # The dead player's last screen stays: ViZDoom gives no state after the end.
        if state is not None:
            self._screen = state.screen_buffer
        assert self._screen is not None
        return self._resize(self._screen[: self._rows], FRAME_SIZE)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        """Starts an episode; the same seed and actions give the same frames."""
        super().reset(seed=seed)
        # An explicit seed goes to Doom as it is, so that a score's seed can be tried in any ViZDoom program.
        doom_seed = seed if seed is not None else int(self.np_random.integers(2**31))
        if self._running is not None and not self._running.is_ours:
            self.close()
        if self._running is None:
            self._running = self._start()
        game = self._running.game
        try:
            with process_guard.deadline(self._running.process):
                game.set_seed(doom_seed % 2**32)
                game.new_episode()
        except vizdoom.ViZDoomErrorException as error:
            self.close()
            raise EnvironmentFailure(f"TakeCover: the game ended unexpectedly ({error})") from error
        self._num_steps, self._health, self._ended = 0, FULL_HEALTH, (False, False)
        return self._observe(), {"health": FULL_HEALTH, "damage": 0.0}

    def step(self, action: Floats) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Plays one tic.

        Raises:
            InvalidAction: an action that is not finite or has another shape.
            ResetNeeded: no episode has begun.
            EnvironmentFailure: the game has died (not the player), or is another process's.
        """
        if self._running is None:
            raise gym.error.ResetNeeded("TakeCover: call reset() before step()")
        if not self._running.is_ours:
            raise EnvironmentFailure("TakeCover: the game is that of the process which was forked; reset() begins one here")
        push = float(admitted(action, self.action_space)[0])
        if any(self._ended):
            gym.logger.warn(AFTER_THE_END)
            return self._observe(), 0.0, *self._ended, {"health": self._health, "damage": 0.0}
        game = self._running.game
        try:
            with process_guard.deadline(self._running.process):
                reward = game.make_action([push < -THRESHOLD, push > THRESHOLD])
            self._num_steps += 1
            terminated = game.is_episode_finished()
            truncated = not terminated and self._num_steps >= MAX_EPISODE_STEPS
            self._ended = terminated, truncated
            health = 0.0 if terminated else game.get_game_variable(vizdoom.GameVariable.HEALTH)
            damage, self._health = self._health - health, health
            return self._observe(), reward, terminated, truncated, {"health": health, "damage": damage}
        except vizdoom.ViZDoomErrorException as error:
            self.close()
            raise EnvironmentFailure(f"TakeCover: the game ended unexpectedly ({error})") from error

    def render(self) -> Frame | None:
        """Returns the whole screen, uint8 [rows, columns, 3], in render mode ``rgb_array``."""
        return None if self.render_mode is None or self._screen is None else self._screen.copy()

    def close(self) -> None:
        """Ends the game's process; the game of a process that this one was forked from goes on."""
        if self._end is not None:
            self._end()
        self._running = self._end = None
