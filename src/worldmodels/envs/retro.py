"""Games of stable-retro as tasks (the extra ``retro``): Airstriker, whose ROM comes with it, and Sonic the
Hedgehog, for those who have imported theirs (``python -m stable_retro.import FOLDER``). Importing this module registers them
where stable-retro is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import weakref
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.extras import how_to_install
from worldmodels.base.types import Frame
from worldmodels.envs import plugins
from worldmodels.envs.doom.process_guard import deadline
from worldmodels.envs.gym_rules import AFTER_THE_END
from worldmodels.envs.registry import register
from worldmodels.envs.task import PlaySettings, Task

#: What an action presses.
AIRSTRIKER = ((), ("LEFT",), ("RIGHT",), ("B",), ("LEFT", "B"), ("RIGHT", "B"))
#: The actions of OpenAI's Retro Contest, after doing nothing.
SONIC = ((), ("LEFT",), ("RIGHT",), ("LEFT", "DOWN"), ("RIGHT", "DOWN"), ("DOWN",), ("DOWN", "B"), ("B",))
#: Frames of a step, and frames at most that nothing is pressed at an episode's start.
FRAME_SKIP, MOST_IDLE_FRAMES = 4, 30


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked copy of us: the emulator is its parent's
    with contextlib.suppress(OSError):
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()


class RetroEnv(gym.Env[Frame, np.int64], EzPickle):
    """A game of stable-retro, emulated in a process of its own (stable-retro allows one emulator a process).

    ### Action Space
    ``Discrete(len(buttons))``: an action holds its buttons for 4 frames.

    ### Observation Space
    The screen, uint8 [rows, columns, 3].

    ### Rewards
    The game's own (its ``scenario.json``), added up over the frames of a step.

    ### Starting State
    The game's own state; the seed says for how many of the first 30 frames nothing is pressed, the only chance that there is.

    Args:
        game: stable-retro's name of it.
        buttons: what each action presses.
        shape: of the screen.

    Raises:
        UserError: stable-retro has no ROM of the game.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 60 / FRAME_SKIP}

    def __init__(
        self,
        game: str,
        buttons: tuple[tuple[str, ...], ...],
        shape: tuple[int, int, int] = (224, 320, 3),
        render_mode: str | None = None,
    ) -> None:
        import stable_retro

        try:
            stable_retro.data.get_romfile_path(game)
        except FileNotFoundError:
            raise UserError(
                f"{game}: stable-retro has no ROM of it; import your own with 'python -m stable_retro.import FOLDER'"
            ) from None
        EzPickle.__init__(self, game, buttons, shape, render_mode)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(len(buttons))
        self.render_mode, self._game, self._buttons = render_mode, game, buttons
        self._process: subprocess.Popen[bytes] | None = None
        self._finalize: weakref.finalize[..., RetroEnv] | None = None
        self._screen: Frame | None = None
        self._owner = 0
        self._ended = (False, False)

    def _call(self, **asked: Any) -> dict[str, Any]:
        """Tells the emulator, and takes its answer and the screen. Raises `EnvironmentFailure` where it has died."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with deadline(process.pid):
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
                said: dict[str, Any] = json.loads(process.stdout.readline())
                size = int(np.prod(said["shape"]))
                screen = process.stdout.read(size)
            self._screen = np.frombuffer(screen, np.uint8).reshape(said["shape"])
            return said
        except (OSError, ValueError) as error:
            self.close()
            raise EnvironmentFailure(f"{self._game}: the emulator ended unexpectedly ({error})") from error

    def _observe(self) -> Frame:
        assert self._screen is not None
        return self._screen.copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        """Starts an episode; the same seed and actions give the same screens."""
        super().reset(seed=seed)
        if self._process is None or self._owner != os.getpid():
            command = [sys.executable, "-m", "worldmodels.envs.retro_emulator", self._game]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self._finalize = weakref.finalize(self, _end, self._process, os.getpid())
            self._owner = os.getpid()
        self._ended = (False, False)
        self._call(reset=int(self.np_random.integers(MOST_IDLE_FRAMES + 1)))
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Plays 4 frames, or as many as are left. Raises `EnvironmentFailure` where the emulator has died."""
        if self._process is None:
            raise gym.error.ResetNeeded(f"{self._game}: call reset() before step()")
        if self._owner != os.getpid():
            raise EnvironmentFailure(f"{self._game}: the emulator is another process's, which was forked; reset() begins one")
        if not self.action_space.contains(action):
            raise gym.error.InvalidAction(f"{self._game}: the action is {action!r}; it must be in {self.action_space}")
        if any(self._ended):
            gym.logger.warn(AFTER_THE_END)
            return self._observe(), 0.0, *self._ended, {}
        said = self._call(buttons=self._buttons[int(action)], frames=FRAME_SKIP)
        self._ended = said["terminated"], said["truncated"]
        return self._observe(), said["reward"], *self._ended, {}

    def render(self) -> Frame | None:
        """Returns the screen, in render mode ``rgb_array``."""
        return None if self.render_mode is None or self._screen is None else self._observe()

    def close(self) -> None:
        """Ends the emulator."""
        if self._finalize is not None:
            self._finalize()
        self._process = self._finalize = None


def _keys(num: int, **keys: int) -> dict[str, tuple[float, ...]]:
    return {key: tuple(float(index == option) for index in range(num)) for key, option in keys.items()}


_GAMES = (
    ("airstriker", "Airstriker", "Airstriker-Genesis-v0", AIRSTRIKER, 1_125, _keys(6, left=1, right=2, space=3)),
    ("sonic", "Sonic the Hedgehog", "SonicTheHedgehog-Genesis-v0", SONIC, 4_500, _keys(8, left=1, right=2, down=5, space=7)),
)

if find_spec("stable_retro") is None:
    _mend = f"stable-retro is not installed; {how_to_install('retro')}"
    plugins.absent([name for name, *_ in _GAMES], _mend)
else:
    for _name, _title, _game, _buttons, _steps, _of_keys in _GAMES:
        _id = f"worldmodels/{_title.split()[0]}-v0"
        gym.register(_id, entry_point="worldmodels.envs.retro:RetroEnv", kwargs={"game": _game, "buttons": _buttons})
        register(
            Task(
                name=_name,
                summary=f"Sega's {_title}, by stable-retro" + (" (your own ROM)" if _name == "sonic" else ""),
                env_id=_id,
                max_episode_steps=_steps,
                env_threads=2,
                restart_input=True,
                play=PlaySettings(
                    keys=_of_keys, names=tuple(", ".join(held).lower() or "nothing" for held in _buttons), render_fps=15
                ),
            )
        )
