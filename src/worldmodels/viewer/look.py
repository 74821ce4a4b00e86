"""Type and colours of all that the viewer draws. Sizes are pixels."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pygame

Color = tuple[int, int, int]
BACKGROUND, RAISED, EDGE = (18, 18, 22), (34, 35, 42), (82, 84, 96)
TEXT, DIM = (238, 238, 240), (160, 162, 174)
#: Of Okabe and Ito's colours, which everybody tells apart.
ACCENT, WARM, GOOD = (86, 180, 233), (230, 159, 0), (0, 158, 115)
#: No text is smaller.
SMALLEST = 9


def font(size: int, bold: bool = False) -> pygame.font.Font:
    """Returns DejaVu Sans, which Matplotlib brings along: it has Greek letters and arrows."""
    found = _made(size, bold)
    try:
        found.get_height()
    except pygame.error:  # an environment that was closed has ended pygame, and all fonts with it
        _made.cache_clear()
        found = _made(size, bold)
    return found


@functools.cache
def _made(size: int, bold: bool) -> pygame.font.Font:
    pygame.font.init()
    found = importlib.util.find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return pygame.font.Font(str(Path(found.origin).parent / "mpl-data/fonts/ttf" / name), max(size, SMALLEST))


def width_of(words: str, size: int, bold: bool = False) -> int:
    """Returns how wide words are."""
    return font(size, bold).size(words)[0]


def shortened(words: str, size: int, width: int) -> str:
    """Returns words, or as much of their beginning as is ``width`` wide."""
    shown, end = words, len(words)
    while end and width_of(shown, size) > width:
        end -= 1
        shown = f"{words[:end]}…"
    return shown


def that_fits(tries: Sequence[str], size: int, width: int) -> str:
    """Returns the first of several wordings that is at most ``width`` wide, else what there is room for of the last one."""
    return next((words for words in tries if width_of(words, size) <= width), shortened(tries[-1], size, width))


def wrapped(words: str, size: int, width: int) -> list[str]:
    """Returns the lines of a text, each at most ``width`` wide unless a word by itself is wider."""
    lines: list[str] = []
    for word in words.split():
        if lines and width_of(f"{lines[-1]} {word}", size) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


def write(
    surface: pygame.Surface, words: str, where: tuple[int, int], size: int, color: Color = TEXT, bold: bool = False
) -> pygame.Rect:
    """Writes a line with its left end at ``where``, in the middle of its height; returns where it is."""
    text = font(size, bold).render(words, True, color)
    return surface.blit(text, text.get_rect(midleft=where))
