"""What all environments do with a wrong action, and with a step after the end: as Gymnasium's own do."""

from __future__ import annotations

from operator import le
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldmodels.base.errors import UserError

AFTER_THE_END = (
    "step() is called after the episode has ended: the reward is 0, and nothing moves; call reset() once an episode is "
    "terminated or truncated"
)

#: The attribute by which an environment says that it refuses a wrong action itself (`admitted`).
CHECKS_ACTIONS = "checks_actions"
#: The attribute by which an environment says that it leaves the working folder as it is, or changes it under a lock.
KEEPS_FOLDER = "keeps_folder"


class InvalidAction(UserError, gym.error.InvalidAction):
    """An action that means nothing. On our command line one line, to Gymnasium's users Gymnasium's own."""


def admitted(action: Any, space: gym.Space[Any]) -> NDArray[Any]:
    """Returns an action of a `Box`, or of a batch of them: as it is, or clipped to the space if it lies outside.

    Gymnasium's own continuous environments clip too: its Pendulum, its LunarLander; its CarRacing by what the car can do.

    Args:
        action: numbers in the shape of the space; the type stays.

    Raises:
        InvalidAction: no numbers, another shape, NaN or infinite.
    """
    assert isinstance(space, spaces.Box)
    try:
        found = np.asarray(action)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of different lengths; a tensor with a gradient, on a GPU
        raise InvalidAction(f"an action cannot be read as numbers ({_short(error)}); it must be numbers") from error
    if found.dtype.kind not in "biuf":
        raise InvalidAction(f"an action is {_short(action)}; it must be numbers, an array of shape {space.shape}")
    if found.shape != space.low.shape:
        raise InvalidAction(f"an action has the shape {found.shape}; it must be {space.shape}")
    if ((found >= space.low) & (found <= space.high)).all():
        return found
    if not np.isfinite(found).all():
        raise InvalidAction(f"an action is {_short(found)}; every number must be finite")
    clipped: NDArray[Any] = np.clip(found, space.low, space.high)
    return clipped


class Admission:
    """`admitted` for an environment of few numbers that is asked at every step: one by one they are compared faster.

    Args:
        space: a `Box` of one dimension.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        assert isinstance(space, spaces.Box)
        self._space, self._shape, self._dtype = space, space.low.shape, space.low.dtype
        self._low, self._high = space.low.tolist(), space.high.tolist()

    def __call__(self, action: Any) -> NDArray[Any]:
        """Returns the action, clipped to the space if it lies outside. Raises `InvalidAction` as `admitted` does."""
        if type(action) is np.ndarray and action.dtype is self._dtype and action.shape == self._shape:
            numbers = action.tolist()
            if all(map(le, self._low, numbers)) and all(map(le, numbers, self._high)):
                return action
        return admitted(action, self._space)


def _short(action: Any) -> str:
    text = " ".join(str(action).split())
    return text if len(text) <= 100 else f"{text[:100]} …"
