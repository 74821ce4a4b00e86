"""Augmented frames: other colours, boxes in front and noise, so that V and M learn to look past them.

What is drawn for a frame, its look, comes from a seed alone: (run's seed, stage, step or episode).

Shapes: N looks, K frames. Frames are uint8 [K, 64, 64, 3].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.seeding import derive_seed
from worldmodels.config import AugmentConfig
from worldmodels.data.episodes import FRAME_SHAPE, EpisodeStore

#: Frames that are augmented together: as numbers with a point they take four times their memory.
FRAMES_TOGETHER = 128
#: Rows and columns of a frame.
SIDE = FRAME_SHAPE[0]


@dataclass(frozen=True)
class Looks:
    """What is done to frames: first the colours, then the noise, then the boxes, each over those before.

    ``augmented`` bool [N] is false for a look that changes nothing; a pixel's colour c becomes ``mix`` [N, 3, 3] · c +
    ``shift`` [N, 3], float32, in levels of 255; ``noise`` float32 [N] are the levels by which each number is moved at most;
    ``boxes`` int64 [N, B, 4] are the first row and column of each box and those after its last, ``fills`` uint8 [N, B, 3] their
    colours.
    """

    augmented: NDArray[np.bool_]
    mix: NDArray[np.float32]
    shift: NDArray[np.float32]
    noise: NDArray[np.float32]
    boxes: NDArray[np.int64]
    fills: NDArray[np.uint8]


def draw_looks(share: float, config: AugmentConfig, num_looks: int, seed: int) -> Looks:
    """Draws looks.

    Args:
        share: each is augmented with this chance.
    """
    rng = np.random.default_rng(seed)
    augmented = rng.random(num_looks) < share
    mix = np.eye(3) + rng.uniform(-config.colour, config.colour, (num_looks, 3, 3))
    shift = 255 * rng.uniform(-config.colour, config.colour, (num_looks, 3))
    noise = 255 * config.noise * rng.random(num_looks)
    # A side may be as long as the frame; then the other is short.
    area = config.box_area * rng.random((num_looks, config.boxes))
    one = area + (1 - area) * rng.random(area.shape)
    other = np.divide(area, one, out=np.zeros_like(area), where=one > 0)
    upright = rng.random(area.shape) < 0.5
    sides = SIDE * np.stack([np.where(upright, one, other), np.where(upright, other, one)], 2)
    first = rng.random(sides.shape) * (SIDE - sides)
    there = np.arange(config.boxes) < rng.integers(0, config.boxes + 1, num_looks)[:, None]
    boxes = np.concatenate([np.rint(first), np.rint(first + sides)], 2).astype(np.int64) * there[..., None]
    # A quarter of the boxes are black, and a quarter have full colours.
    kind, colour = rng.random((num_looks, config.boxes, 1)), rng.random((num_looks, config.boxes, 3))
    fills = np.rint(255 * np.where(kind < 0.25, 0, np.where(kind < 0.5, colour > 0.5, colour))).astype(np.uint8)
    return Looks(augmented, mix.astype(np.float32), shift.astype(np.float32), noise.astype(np.float32), boxes, fills)


def augment(
    frames: NDArray[np.uint8], looks: Looks, which: NDArray[np.int64], noise_seed: Callable[[int], int]
) -> NDArray[np.uint8]:
    """Returns frames as their looks show them; the given ones stay as they are.

    Args:
        which: the look of each, int64 [K].
        noise_seed: gives the seed of the noise of a frame, by its number among these.
    """
    chosen = np.flatnonzero(looks.augmented[which])
    if not len(chosen):
        return frames
    look = which[chosen]
    # A channel's pixels side by side: three times as fast as the three channels of a pixel.
    planes = frames[chosen].reshape(len(chosen), -1, 3).transpose(0, 2, 1).astype(np.float32, order="C")
    planes = looks.mix[look] @ planes
    planes += looks.shift[look, :, None]
    for plane, number in zip(planes, chosen, strict=True):
        if amplitude := looks.noise[which[number]]:
            drawn = np.frombuffer(np.random.default_rng(noise_seed(int(number))).bytes(plane.size), np.uint8)
            plane += (drawn.reshape(plane.shape) - np.float32(127.5)) * (amplitude / np.float32(127.5))
    seen = frames.copy()
    pixels = np.rint(np.clip(planes, 0, 255, out=planes), out=planes).astype(np.uint8).reshape(-1, 3, SIDE, SIDE)
    for channel in range(3):
        seen[chosen, :, :, channel] = pixels[:, channel]
    for number in chosen:
        for (top, left, bottom, right), fill in zip(looks.boxes[which[number]], looks.fills[which[number]], strict=True):
            seen[number, top:bottom, left:right] = fill
    return seen


class AugmentedEpisodes:
    """The frames of recorded episodes, some of the episodes augmented, each by one look from its first frame to its last.

    Args:
        share: each episode is augmented with this chance.
        seed: of the run.
    """

    def __init__(self, store: EpisodeStore, share: float, config: AugmentConfig, seed: int) -> None:
        self._store, self._seed, self.num_frames = store, seed, store.num_frames
        episodes = range(len(store.lengths))
        drawn = [draw_looks(share, config, 1, derive_seed(seed, "encode/augment", episode)) for episode in episodes]
        self._looks = Looks(*(np.concatenate(parts) for parts in zip(*map(astuple, drawn), strict=True)))

    def frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Reads frames uint8 [stop - start, 64, 64, 3] by their number through all episodes; several threads may."""
        frames = self._store.frames(start, stop)
        numbers = np.arange(start, stop)
        episodes = np.searchsorted(self._store.offsets, numbers, side="right") - 1
        steps = numbers - self._store.offsets[episodes]
        for first in range(0, len(frames), FRAMES_TOGETHER):
            some = slice(first, first + FRAMES_TOGETHER)

            def noise_seed(row: int, first: int = first) -> int:
                return derive_seed(self._seed, "encode/augment/noise", int(episodes[first + row]), int(steps[first + row]))

            frames[some] = augment(frames[some], self._looks, episodes[some], noise_seed)
        return frames
