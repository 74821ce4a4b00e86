"""What every environment of a task is played through: a fault of the task's own code ends in one sentence that names it."""

from __future__ import annotations

import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.base.errors import UserError, WorldModelsError
from worldmodels.envs.gym_rules import CHECKS_ACTIONS, KEEPS_FOLDER, InvalidAction

#: Rows, columns and colours of what V sees.
FRAME_SHAPE = (64, 64, 3)
FRAME_TYPE = np.dtype(np.uint8)
#: Rewards are kept as float32.
LARGEST = float(np.finfo(np.float32).max)
OUR_FOLDER = str(Path(__file__).parents[1])


def frame_fault(shape: tuple[int, ...], dtype: Any) -> str | None:
    """Returns what is wrong with frames of this shape and type, and the mend; None where V can see them."""
    if shape == FRAME_SHAPE and dtype == FRAME_TYPE:
        return None
    mends, left = [], list(shape)
    if len(left) == 3 and left[0] in (1, 3) and left[2] not in (1, 3):
        mends.append("move the colours to the end (np.moveaxis)")
        left = [*left[1:], left[0]]
    if len(left) == 2 or (len(left) == 3 and left[2] == 1):
        mends.append("repeat the grey values three times")
        left = [*left[:2], 3]
    if len(left) != 3 or left[2] != 3:
        mends.append("give a picture of red, green and blue")
    elif left[:2] != list(FRAME_SHAPE[:2]):
        mends.append("bring it to 64×64 (gymnasium.wrappers.ResizeObservation)")
    if dtype != np.uint8:
        mends.append("give whole numbers from 0 to 255 (np.uint8)")
    return f"{dtype} {shape}; V sees uint8 {FRAME_SHAPE}: {', '.join(mends)}"


@contextmanager
def same_folder() -> Iterator[None]:
    """Comes back to the working folder: an environment that changes it moves nobody's files. It is the process's: not for
    threads that change it meanwhile."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(here)


def _number(value: Any) -> float | None:
    """Returns a finite number that fits float32 as a float, anything else as None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) <= LARGEST else None


class GuardedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Looks at everything that an environment gives and passes it on; the reward as a float.

    A `UserError` names the task, the episode's seed and the step where the environment raises an error, or gives a frame other
    than uint8 [64, 64, 3], or a reward or an info's ``damage`` that is not a finite number, or a picture other than uint8
    [rows, columns, 3]; or where an action is not finite or has another shape than its space. An `EnvironmentFailure` is the
    environment's own way to say that its episode should be played again.
    """

    def __init__(self, env: gym.Env[Any, Any], task: str, hits: bool) -> None:
        super().__init__(env)
        self._hits = hits
        self._task, self._num_steps = task, 0
        # Asked through every wrapper it takes as long as all else that is looked at in a step.
        self._action_shape = env.action_space.shape
        # Once is enough: a second look would cost a fiftieth of a step of CarRacing.
        self._checks_actions = not getattr(env.unwrapped, CHECKS_ACTIONS, False)
        self._keeps_folder = getattr(env.unwrapped, KEEPS_FOLDER, False)
        self._seed: int | None = None

    def _fault(self, what: str) -> UserError:
        seed = "" if self._seed is None else f"seed {self._seed}, "
        return UserError(f"{self._task}: {what} ({seed}step {self._num_steps} of the episode)")

    def _raised(self, name: str, error: BaseException) -> UserError:
        return self._fault(f"its environment's {name}() raised {said(error)}")

    def _ask(self, name: str, question: Callable[[], Any]) -> Any:
        """Asks the environment; whatever it raises is named with its place in the environment's code."""
        try:
            return question()
        except (WorldModelsError, KeyboardInterrupt):
            raise
        except BaseException as error:  # `SystemExit`, and the panics of environments in Rust
            raise self._raised(name, error) from error

    def _looked_at(self, frame: Any) -> Any:
        if type(frame) is np.ndarray and frame.shape == FRAME_SHAPE and frame.dtype is FRAME_TYPE:
            return frame  # at once: this is asked in every step
        if not isinstance(frame, np.ndarray):
            raise self._fault(f"a frame is a {type(frame).__name__}; V sees a NumPy array, uint8 {FRAME_SHAPE}")
        if fault := frame_fault(frame.shape, frame.dtype):
            raise self._fault(f"a frame is {fault}")
        return frame

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        self._seed, self._num_steps = seed, 0
        with nullcontext() if self._keeps_folder else same_folder():
            found = self._ask("reset", lambda: self.env.reset(seed=seed, options=options))
        if not isinstance(found, tuple) or len(found) != 2:
            raise self._fault("its environment's reset() must return a frame and an info")
        return self._looked_at(found[0]), found[1]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Plays a step."""
        self._num_steps += 1
        if self._checks_actions and (
            action.shape != self._action_shape or not all(map(math.isfinite, action.ravel().tolist()))
        ):
            raise self._fault(f"an action is {action}; it must be finite numbers of shape {self._action_shape}")
        try:
            found = self.env.step(action)
        except InvalidAction as error:
            raise self._fault(str(error)) from error
        except (WorldModelsError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise self._raised("step", error) from error
        if not isinstance(found, tuple) or len(found) != 5 or not isinstance(found[4], dict):
            raise self._fault("its environment's step() must return a frame, a reward, terminated, truncated and an info")
        frame, reward, terminated, truncated, info = found
        number = _number(reward)
        if number is None:
            raise self._fault(f"a reward is {reward!r}; it must be a finite number that fits float32")
        if "damage" in info and _number(info["damage"]) is None:
            if self._hits:
                raise self._fault(f"the info's 'damage' is {info['damage']!r}; it must be a finite number")
            info = {**info, "damage": 0.0}  # the environment's own word, which means nothing here
        return self._looked_at(frame), number, bool(terminated), bool(truncated), info

    def render(self) -> Any:
        """Returns the environment's picture."""
        picture = self._ask("render", self.env.render)
        if self.render_mode == "rgb_array":
            if not isinstance(picture, np.ndarray):
                raise self._fault(f"render() gave a {type(picture).__name__}; it must be a picture, uint8 [rows, columns, 3]")
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
                raise self._fault(f"render() gave {picture.dtype} {picture.shape}; it must be uint8 (rows, columns, 3)")
        return picture

    def close(self) -> None:
        """Closes the environment. One that fails to close loses nobody's results: it is only said."""
        try:
            self.env.close()
        except Exception as error:
            print(f"{self._task}: its environment's close() raised {said(error)}", file=sys.stderr, flush=True)


def said(error: BaseException) -> str:
    """Returns an error of somebody else's code in one line: its kind, what it says, and the place in that code."""
    words = " ".join(str(error).split())
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(OUR_FOLDER) and "importlib" not in frame.filename
    ]
    place = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return type(error).__name__ + (f": {words}" if words else "") + place
