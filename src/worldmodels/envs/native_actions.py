"""An environment's own actions, and the float32 [A] that C, M and the files have in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldmodels.base.errors import UserError
from worldmodels.base.types import MAX_ACTION_SIZE, Floats


@dataclass(frozen=True)
class Within:
    """Maps C's outputs, float32 [..., A] in [-1, 1], to the range of each action component."""

    lows: tuple[float, ...]
    highs: tuple[float, ...]

    def __call__(self, outputs: Floats) -> Floats:
        lows, highs = np.array(self.lows, np.float32), np.array(self.highs, np.float32)
        return np.clip(lows + (outputs + 1) / 2 * (highs - lows), lows, highs).astype(np.float32)


class NativeActions:
    """Turns float32 [A] into actions of a space.

    A `Box` is flattened; its components keep their range. A choice (`Discrete`, each of a `MultiDiscrete`'s, each bit of a
    `MultiBinary`) is one-hot, choices side by side; what is not one-hot means its largest number.

    Args:
        space: the environment's.
        where: whose it is, for the error.

    Raises:
        UserError: another space, or a `Box` without finite bounds.
    """

    def __init__(self, space: gym.Space[Any], where: str) -> None:
        self._space = space
        self.choices: tuple[int, ...] = ()
        """How many options each choice has; empty for a `Box`."""
        self._first: np.ndarray[Any, Any] = np.zeros(1, np.int64)
        if isinstance(space, spaces.Discrete):
            self.choices, self._first = (int(space.n),), np.array([space.start])
        elif isinstance(space, spaces.MultiDiscrete):
            self.choices, self._first = tuple(map(int, space.nvec.ravel())), space.start.ravel()
        elif isinstance(space, spaces.MultiBinary):
            self.choices = (2,) * int(np.prod(space.shape))
            self._first = np.zeros(len(self.choices), np.int64)
        elif not isinstance(space, spaces.Box):
            kinds = "Box, Discrete, MultiDiscrete or MultiBinary"
            kind = type(space)
            found = kind.__name__ if kind.__module__.startswith("gymnasium.") else f"{kind.__module__}.{kind.__name__}"
            raise UserError(f"{where}'s actions are a {found} space; C acts in Gymnasium's {kinds}")
        elif not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise UserError(f"{where}'s actions have no finite bounds ({short(space)}); C needs a range to act in")
        elif not (np.abs(np.array([space.low, space.high], np.float64)) < np.finfo(np.float32).max / 2).all():
            raise UserError(f"{where}'s actions reach further than float32 ({short(space)}); C needs a range to act in")
        if any(size < 2 for size in self.choices):
            raise UserError(f"{where}'s actions leave no choice ({short(space)}); each needs two options or more")
        if not self.choices and not np.prod(space.shape or (0,)):
            raise UserError(f"{where}'s actions are {short(space)}; C needs an array of at least one number to set")
        size = sum(self.choices) or int(np.prod(space.shape or ()))
        if size > MAX_ACTION_SIZE:
            raise UserError(f"{where}'s actions are {size:,} numbers or options ({short(space)}); at most {MAX_ACTION_SIZE:,}")
        low, high = (space.low, space.high) if isinstance(space, spaces.Box) else (0.0, 1.0)
        self.lows = tuple(np.broadcast_to(np.float32(low).ravel(), size).tolist())
        """The least value of each component."""
        self.highs = tuple(np.broadcast_to(np.float32(high).ravel(), size).tolist())
        """The greatest."""
        self._ends = np.cumsum(self.choices)[:-1].tolist()

    @property
    def space(self) -> spaces.Box:
        """The space of the float32 [A]."""
        return spaces.Box(np.array(self.lows, np.float32), np.array(self.highs, np.float32))

    def native(self, action: Floats) -> Any:
        """Returns the environment's action of a float32 [A]."""
        space = self._space
        if not self.choices:
            assert isinstance(space, spaces.Box)
            asked = action.reshape(space.shape)
            if space.dtype is None or space.dtype.kind not in "iu":
                return np.clip(asked, space.low, space.high).astype(space.dtype)
            # Python's whole numbers: the largest of 64 bits is rounded up in a float, and would wrap.
            bounds = zip(np.round(asked).ravel().tolist(), space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
            return np.array([min(max(int(x), low), high) for x, low, high in bounds], space.dtype).reshape(space.shape)
        if isinstance(space, spaces.Discrete):
            return int(action.argmax() + self._first[0])
        chosen = [int(options.argmax()) for options in np.split(action, self._ends)]
        assert space.dtype is not None
        return (np.array(chosen) + self._first).reshape(space.shape).astype(space.dtype)


def short(space: gym.Space[Any]) -> str:
    """Returns a space in few words."""
    text = " ".join(str(space).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
