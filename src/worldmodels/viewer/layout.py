"""Where everything is, in a picture of any size. Only arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pygame import Rect

#: Where nobody asks for another size: the size of the type, the side of a small panel, and the dream's height.
USUAL_TEXT, USUAL_PANEL, USUAL_DREAM = 18, 160, 600
#: The type grows with the root of the picture's area, but less than that: pictures gain more. Within bounds.
USUAL_ROOT, GROWTH, SMALLEST_TEXT, LARGEST_TEXT = 790, 0.6, 11, 40
NUM_SMALL = 3
#: Everything fits into a window of this (width, height), and of any larger size.
SMALLEST_WINDOW = (320, 240)


@dataclass(frozen=True)
class Layout:
    """The world's own picture at the left, what V and M make of it in a column beside it, and the status below.

    Captions lie above the pictures, ``text`` and a half high.
    """

    text: int
    """The size of the type."""
    world: Rect
    """The world's own picture, in its shape."""
    small: tuple[Rect, ...]
    """The panels in reality, from top to bottom; none in the dream."""
    pictures: Rect
    """All pictures with their captions."""
    status: Rect
    """Who plays, the score, the action."""


def text_of(size: tuple[int, int]) -> int:
    """Returns the size of the type in a picture of (width, height)."""
    grown = math.pow(math.sqrt(size[0] * size[1]) / USUAL_ROOT, GROWTH)
    return min(max(round(USUAL_TEXT * grown), SMALLEST_TEXT), LARGEST_TEXT)


def caption_of(text: int) -> int:
    """Returns the height of a caption."""
    return round(1.6 * text)


def gap_of(text: int) -> int:
    """Returns the space between things."""
    return max(4, text // 2)


def status_of(text: int) -> int:
    """Returns the height of the status: two lines."""
    return 2 * caption_of(text) + gap_of(text)


def layout(size: tuple[int, int], shape: float, dreaming: bool) -> Layout:
    """Lays a picture out.

    Args:
        size: (width, height) in pixels.
        shape: of the world's own picture, its width by its height.
        dreaming: the dream fills the whole picture; nothing is beside it.
    """
    width, height = size
    text = text_of(size)
    caption, gap, below = caption_of(text), gap_of(text), status_of(text)
    wide, high = width - 2 * gap, height - below - gap
    if dreaming:
        tall = max(1, min(high - caption, math.floor(wide / shape)))
        world = Rect(0, 0, max(1, round(tall * shape)), tall)
        world.midtop = (width // 2, (high - tall - caption) // 2 + caption)
        small: tuple[Rect, ...] = ()
    else:
        # The column is as high as the picture: NUM_SMALL panels, their captions but the first, and the gaps.
        between = (NUM_SMALL - 1) * (caption + gap)
        by_height, by_width = (high - caption - between) / NUM_SMALL, (wide - gap - shape * between) / (NUM_SMALL * shape + 1)
        side = max(1, math.floor(min(by_height, by_width)))
        tall = NUM_SMALL * side + between
        world = Rect(0, 0, max(1, round(tall * shape)), max(1, tall))
        left = (width - world.width - gap - side) // 2
        world.topleft = (left, (high - world.height - caption) // 2 + caption)
        small = tuple(
            Rect(world.right + gap, world.top + index * (side + caption + gap), side, side) for index in range(NUM_SMALL)
        )
    pictures = Rect(0, 0, width, max(1, height - below))
    return Layout(text, world, small, pictures, Rect(gap, height - below, max(1, wide), below))


def usual_size(shape: float, dreaming: bool) -> tuple[int, int]:
    """Returns the (width, height), both even, that fits the pictures with hardly a rest."""
    text = USUAL_TEXT
    for _ in range(4):  # the type depends on the size, and the size on the type
        caption, gap = caption_of(text), gap_of(text)
        tall = USUAL_DREAM if dreaming else NUM_SMALL * USUAL_PANEL + (NUM_SMALL - 1) * (caption + gap)
        width = 2 * gap + round(tall * shape) + (0 if dreaming else gap + USUAL_PANEL)
        height = gap + caption + tall + status_of(text)
        size = width + width % 2, height + height % 2
        text = text_of(size)
    return size
