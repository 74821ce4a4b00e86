"""A scenario of Doom as an environment: its process, its seeds, its screen. What is seen and done is the subclass's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import gymnasium as gym
import psutil
import vizdoom

from worldmodels.base.errors import EnvironmentFailure, UserError, nearest
from worldmodels.base.types import Frame
from worldmodels.envs.doom import process_guard, wad
from worldmodels.envs.doom.room import Room
from worldmodels.runtime import interrupt

Act = TypeVar("Act")

_RESOLUTIONS = {
    "160x120": vizdoom.ScreenResolution.RES_160X120,
    "320x240": vizdoom.ScreenResolution.RES_320X240,
    "640x480": vizdoom.ScreenResolution.RES_640X480,
}
#: Starting a game changes the working folder for a moment (see `DoomEnv._start`): one at a time.
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


class DoomEnv(gym.Env[Frame, Act]):
    """One of ViZDoom's scenarios, a game of its own in a process of its own, silent and without a window.

    Args:
        resolution: of the screen: ``"160x120"``, ``"320x240"`` or ``"640x480"``.
        skill: Doom's difficulty from 1 to 5.
        render_mode: None or ``"rgb_array"``, the whole screen.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 35}
    name: ClassVar[str]
    """The scenario's, for what is said to the user."""
    scenario: ClassVar[str]
    """Its file among ViZDoom's scenarios."""
    keeps_folder: ClassVar[bool] = True

    def __init__(self, resolution: str, skill: int, render_mode: str | None) -> None:
        if resolution not in _RESOLUTIONS:
            raise UserError(f"{self.name} has no resolution '{resolution}'{nearest(resolution, _RESOLUTIONS)}")
        if skill not in range(1, 6):
            raise UserError(f"skill is {skill}; it must be 1, 2, 3, 4 or 5")
        if render_mode not in (None, "rgb_array"):
            raise UserError(f"{self.name} has no render mode '{render_mode}'; use 'rgb_array'")
        self.render_mode = render_mode
        self.resolution = resolution
        self.skill = skill
        self._running: _RunningGame | None = None
        self._room: Room | None = None
        #: Ends the game; also when nobody closes the environment, before the program ends.
        self._end: weakref.finalize[..., DoomEnv[Act]] | None = None
        self._screen: Frame | None = None
        self._ended = (False, False)

    def _configure(self, game: vizdoom.DoomGame) -> None:
        """Sets what the scenario's file does not say, before the game starts."""

    def _edit(self) -> tuple[str, str, str] | None:
        """Returns what is changed in the scenario's map, as `wad.edited` takes it; None: nothing."""
        return None

    def _painted(self, screen: Frame) -> Frame:
        """Paints over a screen, uint8 [rows, columns, 3], before anybody sees it."""
        return screen

    def _start(self) -> _RunningGame:
        """Starts the game's process, silent, without a window, and guarded."""
        game = vizdoom.DoomGame()
        game.load_config(str(Path(vizdoom.scenarios_path) / self.scenario))
        game.set_screen_resolution(_RESOLUTIONS[self.resolution])
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_doom_skill(self.skill)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        self._configure(game)
        # The game leaves `_vizdoom.ini` and `_vizdoom/` in the working folder that it starts in; a folder of its own
        # keeps the user's clean, and keeps several games from reading each other's settings.
        running = _RunningGame(game, tempfile.mkdtemp(prefix="worldmodels-doom-"))
        self._end = weakref.finalize(self, running.end)
        process_guard.guard(running.folder)
        if (edit := self._edit()) is not None:
            scenario = Path(running.folder) / "edited.wad"
            whole = (Path(vizdoom.scenarios_path) / self.scenario).with_suffix(".wad").read_bytes()
            scenario.write_bytes(wad.edited(whole, *edit))
            game.set_doom_scenario_path(str(scenario))
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
                raise EnvironmentFailure(f"{self.name}: ViZDoom does not start ({error})") from error
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

    def _latest_screen(self) -> Frame:
        """Returns the screen, uint8 [rows, columns, 3]."""
        assert self._running is not None
        state = self._running.game.get_state()
        # The dead player's last screen stays: ViZDoom gives no state after the end.
        if state is not None:
            self._screen = self._painted(state.screen_buffer)
        assert self._screen is not None
        return self._screen

    def _begin(self, seed: int | None) -> None:
        """Starts an episode, and the game if there is none. The same seed and actions give the same screens."""
        gym.Env.reset(self, seed=seed)
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
            raise EnvironmentFailure(f"{self.name}: the game ended unexpectedly ({error})") from error
        self._ended = (False, False)

    def _check_playing(self) -> None:
        """Raises `ResetNeeded`, or `EnvironmentFailure` where the game is another process's."""
        if self._running is None:
            raise gym.error.ResetNeeded(f"{self.name}: call reset() before step()")
        if not self._running.is_ours:
            raise EnvironmentFailure(f"{self.name}: the game is that of the process which was forked; reset() begins one here")

    def _play(self, buttons: Sequence[bool], tics: int) -> tuple[float, bool, float]:
        """Holds buttons for some tics. Raises `EnvironmentFailure` where the game has died (not the player).

        Returns:
            The scenario's reward, whether the episode is over, and the health, 0 then.
        """
        assert self._running is not None
        game = self._running.game
        try:
            with process_guard.deadline(self._running.process):
                reward = game.make_action(list(buttons), tics)
            over = game.is_episode_finished()
            return reward, over, 0.0 if over else game.get_game_variable(vizdoom.GameVariable.HEALTH)
        except vizdoom.ViZDoomErrorException as error:
            self.close()
            raise EnvironmentFailure(f"{self.name}: the game ended unexpectedly ({error})") from error

    def visited(self) -> float:
        """Returns the share of the room that the player has been in during this episode (`Room`).

        Raises:
            ValueError: the environment is not ``mapped``.
            ResetNeeded: no episode has begun.
        """
        if self._room is None:
            raise ValueError(f"{self.name}: make it with mapped=True to be told where the player has been")
        self._check_playing()
        return self._room.share()

    def render(self) -> Frame | None:
        """Returns the whole screen, uint8 [rows, columns, 3], in render mode ``rgb_array``."""
        return None if self.render_mode is None or self._screen is None else self._screen.copy()

    def close(self) -> None:
        """Ends the game's process; the game of a process that this one was forked from goes on."""
        if self._end is not None:
            self._end()
        self._running = self._end = None
