"""Anybody's arrays into an episode: each is looked at, and what does not fit is named by file, array and step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import BadFileError
from worldmodels.base.types import MAX_ACTION_SIZE, Floats, Frame, Mask
from worldmodels.data.episodes import FRAME_SHAPE, Episode
from worldmodels.envs.area_resize import area_resize

SIZE = FRAME_SHAPE[0]
#: The longest side of a picture that is taken.
MAX_SIDE = 8192
#: M reads actions as they are; with larger ones it does not learn.
LARGEST_ACTION = 1e6


def as_frame(picture: Frame) -> Frame:
    """Averages a picture uint8 [rows, columns, 3] over areas to uint8 [64, 64, 3]."""
    return np.ascontiguousarray(picture) if picture.shape == FRAME_SHAPE else area_resize(picture, SIZE)


def as_frames(where: str, pictures: NDArray[Any]) -> Frame:
    """Returns an episode's pictures as frames uint8 [T, 64, 64, 3].

    Args:
        where: the file and the array, for messages.
        pictures: uint8 [T, rows, columns, 3], [T, 3, rows, columns], or grey: [T, rows, columns] or with one channel.

    Raises:
        BadFileError: another type or shape.
    """
    shape = pictures.shape
    if pictures.dtype != np.uint8:
        raise BadFileError(f"{where}: is {pictures.dtype}; pictures are uint8, 0 to 255")
    if len(shape) == 3:
        pictures = pictures[..., None]
    elif len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        pictures = np.moveaxis(pictures, 1, 3)
    if pictures.ndim == 4 and max(pictures.shape[1:3]) > MAX_SIDE:
        raise BadFileError(f"{where}: has shape {shape}; a picture has at most {MAX_SIDE:,} rows and columns")
    if pictures.ndim != 4 or pictures.shape[3] not in (1, 3) or not min(pictures.shape[1:3]):
        raise BadFileError(
            f"{where}: has shape {shape}; pictures are [T, rows, columns, 3], [T, 3, rows, columns], or grey [T, rows, columns]"
        )
    if pictures.shape[3] == 1:
        pictures = np.repeat(pictures, 3, axis=3)
    if pictures.shape[1:] == FRAME_SHAPE:
        return np.ascontiguousarray(pictures)
    return np.stack([as_frame(picture) for picture in pictures]) if len(pictures) else np.zeros((0, *FRAME_SHAPE), np.uint8)


def as_numbers(where: str, values: NDArray[Any], num_dimensions: int) -> Floats:
    """Returns numbers as float32 of so many dimensions, all finite. Raises `BadFileError` naming the first bad step."""
    if values.dtype.kind not in "fiub":
        raise BadFileError(f"{where}: is {values.dtype}; expected numbers")
    if num_dimensions == 2 and values.ndim == 1:
        values = values[:, None]
    if values.ndim != num_dimensions or (values.ndim == 2 and not 0 < values.shape[1] <= MAX_ACTION_SIZE):
        form = "[T, A] or [T]" if num_dimensions == 2 else "[T]"
        raise BadFileError(f"{where}: has shape {values.shape}; expected {form}")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, np.float32)
    bad = ~np.isfinite(numbers).reshape(len(numbers), values.size // max(1, len(values))).all(1)
    if bad.any():
        step = int(bad.argmax())
        raise BadFileError(f"{where}, step {step}: is {values[step].tolist()}; every number must be finite and fit float32")
    return numbers


def as_mask(where: str, values: NDArray[Any]) -> Mask:
    """Returns ends as bool [T]. Raises `BadFileError` for anything but true and false, or 1 and 0."""
    numbers = as_numbers(where, values, 1)
    bad = (numbers != 0) & (numbers != 1)
    if bad.any():
        step = int(bad.argmax())
        raise BadFileError(f"{where}, step {step}: is {numbers[step]:g}; expected 1 (the end) or 0")
    ends: Mask = numbers == 1
    return ends


def check_lengths(where: str, lengths: dict[str, int]) -> None:
    """Raises `BadFileError` where an episode's arrays differ in length, or have none."""
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length:,} {name}" for name, length in lengths.items())
        raise BadFileError(f"{where}: lengths differ: {told}; each step needs one of each")
    if not next(iter(lengths.values())):
        raise BadFileError(f"{where}: has no steps")


def make_episode(
    where: str,
    frames: Frame,
    actions: Floats,
    rewards: Floats | None,
    terminated: Mask,
    damage: Floats | None,
    seed: int,
) -> Episode:
    """Puts an episode together; rewards and damage that were not recorded are zeros. Raises `BadFileError`."""
    recorded: dict[str, Floats | Frame | Mask | None] = {
        "frames": frames,
        "actions": actions,
        "rewards": rewards,
        "ends": terminated,
        "damages": damage,
    }
    check_lengths(where, {name: len(values) for name, values in recorded.items() if values is not None})
    zeros = np.zeros(len(frames), np.float32)
    rewards, damage = zeros if rewards is None else rewards, zeros if damage is None else damage
    if (beyond := np.flatnonzero((np.abs(actions) > LARGEST_ACTION).any(1))).size:
        step = int(beyond[0])
        raise BadFileError(
            f"{where}, step {step}: an action is {actions[step].tolist()}; M reads numbers up to {LARGEST_ACTION:,.0f}: divide "
            f"them by their usual size"
        )
    if (inside := np.flatnonzero(terminated[:-1])).size:
        raise BadFileError(
            f"{where}, step {int(inside[0])}: is an end, and {len(terminated) - 1 - int(inside[0]):,} steps follow; an episode "
            f"ends with its last step"
        )
    return Episode(seed, frames, actions, rewards, terminated, damage)
