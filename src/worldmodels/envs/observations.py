"""What V sees of an environment's observations: the picture in them, averaged over areas to uint8 [64, 64, 3]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.types import Frame
from worldmodels.config import ReadConfig
from worldmodels.envs.native_actions import short

SIZE = 64
#: Fewer rows or columns are rarely a picture; one that is asked for by its key may have fewer.
MIN_SIDE = 16
#: An axis as short as this holds colours, or pictures that are stacked.
MAX_LAYERS = 15
#: Stands for what the environment renders.
RENDER = "render"
#: Stands for the observation itself, where it has no parts.
WHOLE = "."


def _layers_first(shape: tuple[int, ...]) -> bool | None:
    """Returns whether the colours come first in [layers, rows, columns] or last; None where it is neither."""
    if shape[2] <= MAX_LAYERS:
        return False
    return True if shape[0] <= MAX_LAYERS else None


def _is_picture(space: gym.Space[Any]) -> bool:
    """Returns whether a space is one of pictures: uint8, grey or colours, perhaps a stack of them."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3, 4):
        return False
    shape = space.shape[1:] if len(space.shape) == 4 else space.shape
    return min(space.shape) > 0 and (len(shape) == 2 or _layers_first(shape) is not None)


def _sides(space: gym.Space[Any]) -> tuple[int, ...]:
    """Returns the rows and columns of a space of pictures."""
    shape = space.shape or ()
    shape = shape[1:] if len(shape) == 4 else shape
    return shape if len(shape) == 2 else shape[1:] if _layers_first(shape) else shape[:2]


def newest(picture: NDArray[np.uint8]) -> Frame:
    """Returns the newest of the stacked pictures, or the only one, uint8 [rows, columns, 1 or 3].

    A picture is [rows, columns], [rows, columns, layers] or [layers, rows, columns], a stack may come before it. As many layers
    as can be shared out among colours are colours, the newest last; others are grey pictures, the newest last.
    """
    if picture.ndim == 4:
        picture = picture[-1]
    if picture.ndim == 2:
        return picture[:, :, None]
    if _layers_first(picture.shape):
        picture = np.moveaxis(picture, 0, 2)
    return picture[:, :, -3:] if picture.shape[2] % 3 == 0 else picture[:, :, -1:]


def parts(space: gym.Space[Any], path: str = "") -> Iterator[tuple[str, gym.Space[Any]]]:
    """Yields the parts of an observation, each with its keys joined by dots; an observation without parts is '.'."""
    if isinstance(space, spaces.Dict):
        inside: list[tuple[str, gym.Space[Any]]] = [(str(key), part) for key, part in space.spaces.items()]
    elif isinstance(space, spaces.Tuple):
        inside = [(str(index), part) for index, part in enumerate(space.spaces)]
    else:
        yield path or WHOLE, space
        return
    for key, part in inside:
        yield from parts(part, f"{path}.{key}" if path else key)


def what_is_seen(space: gym.Space[Any], asked: str, can_render: bool, where: str) -> str:
    """Returns what of an environment is seen: the keys of a picture in its observations, '.' or 'render'.

    Raises:
        UserError: nothing can be seen, there are several pictures and none is asked for, or what is asked for is none.
    """
    found = dict(parts(space))
    if asked and asked != RENDER:
        if asked not in found:
            seen = [path for path, part in found.items() if _is_picture(part)]
            raise UserError(f"{where} has no observation '{asked}'{nearest(asked, [*seen, RENDER])}")
        if not _is_picture(found[asked]):
            raise UserError(f"{where}'s observation '{asked}' is {short(found[asked])}; V sees pictures of uint8")
        return asked
    pictures = [path for path, part in found.items() if _is_picture(part) and min(_sides(part)) >= MIN_SIDE]
    if asked != RENDER and len(pictures) == 1:
        return pictures[0]
    if asked != RENDER and pictures:
        raise UserError(f"{where} has several pictures ({', '.join(pictures)}); say which with observation (--observation KEY)")
    if can_render:
        return RENDER
    raise UserError(
        f"{where}'s observations are {short(space)}, and it has no render mode 'rgb_array': there is no picture for V to see"
    )


def without_alpha(picture: Any) -> Any:
    """Returns a rendered picture of red, green, blue and alpha, [rows, columns, 4], without alpha; anything else as it is."""
    return picture[:, :, :3] if isinstance(picture, np.ndarray) and picture.shape[2:] == (4,) else picture


def _has_alpha(picture: NDArray[np.uint8]) -> bool:
    """Returns whether the last of four layers is full where the others are not: as opaque pictures have it, and no stack."""
    return picture.shape[2:] == (4,) and bool((picture[:, :, 3] == 255).all() and (picture[:, :, :3] != 255).any())


class Sight:
    """Makes V's frame of an observation, or of a rendered picture. Four layers are a stack of four grey pictures, unless the
    first picture's last layer is alpha.

    Args:
        seen: what `what_is_seen` has found.
        config: the crop.
    """

    def __init__(self, space: gym.Space[Any], seen: str, config: ReadConfig) -> None:
        # It loads numba, which the list of tasks has no need of.
        from worldmodels.envs.area_resize import area_resize

        self._resize = area_resize
        self._keys: list[Any] = []
        if seen not in (RENDER, WHOLE):
            self._keys = _keys(space, seen)
        self._crop = config.crop_slices() if config.crop else None
        self._where = config.crop
        self._shape: tuple[int, ...] | None = None
        self._drops_alpha = False

    def frame(self, observation: Any) -> Frame:
        """Returns uint8 [64, 64, 3]. Raises `ValueError` for what is no picture any more, `UserError` for a crop beside it."""
        for key in self._keys:
            observation = observation[key]
        picture = np.asarray(observation)
        if picture.shape != self._shape:
            if self._shape is not None:
                raise ValueError(f"a picture is {picture.shape}; the one before was {self._shape}")
            if picture.dtype != np.uint8 or picture.ndim not in (2, 3, 4) or not picture.size:
                raise ValueError(f"a picture is {picture.dtype} {picture.shape}; it must be uint8 [rows, columns, colours]")
            self._shape, self._drops_alpha = picture.shape, _has_alpha(picture)
        picture = newest(without_alpha(picture) if self._drops_alpha else picture)
        if self._crop is not None:
            rows, columns = picture.shape[:2]
            picture = picture[self._crop]
            if not picture.size:
                raise UserError(f"crop {self._where} leaves nothing of a picture of {rows} rows and {columns} columns")
        if picture.dtype != np.uint8:
            raise ValueError(f"a picture is {picture.dtype}; it must be uint8")
        if picture.shape[:2] != (SIZE, SIZE):
            picture = self._resize(picture, SIZE)
        return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _keys(space: gym.Space[Any], path: str) -> list[Any]:
    """Returns the keys that lead to a part of an observation."""
    for key, part in space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(getattr(space, "spaces", ())):
        if path == str(key):
            return [key]
        if path.startswith(f"{key}."):
            return [key, *_keys(part, path[len(str(key)) + 1 :])]
    raise AssertionError(path)
