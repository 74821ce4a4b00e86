"""TakeCover that looks otherwise: higher walls, another floor, a text that hovers. The game stays as it is.

They are the variants on which agents of the plain game have been scored (Tang, Nguyen and Ha 2020, "Neuroevolution of
Self-Interpretable Agents"): two are other numbers and names in the map, the third is painted over the screen.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.types import Frame

#: What the map says in place of what, in the lump that holds it: the ceiling's height in map units, the floor's texture.
EDITS = {
    "walls": ("TEXTMAP", "heightceiling = 104;", "heightceiling = 404;"),
    "floor": ("TEXTMAP", 'texturefloor = "CRATOP1";', 'texturefloor = "CRATOP2";'),
}
TEXT = "text"
VARIANTS = (*EDITS, TEXT)

#: The screen that the text's place is given on, its left upper corner, and the columns and rows of a dot of its letters.
SCREEN, CORNER, DOT = (480, 640), (30, 150), (8, 5)
#: Empty lines above the letters and below them together, in dots.
LINES, ABOVE = 10, 1
WORDS = "WORLD MODELS"
LETTERS = {
    "W": ("X...X", "X...X", "X...X", "X.X.X", "X.X.X", "XX.XX", "X...X"),
    "O": (".XXX.", "X...X", "X...X", "X...X", "X...X", "X...X", ".XXX."),
    "R": ("XXXX.", "X...X", "X...X", "XXXX.", "X.X..", "X..X.", "X...X"),
    "L": ("X....", "X....", "X....", "X....", "X....", "X....", "XXXXX"),
    "D": ("XXXX.", "X...X", "X...X", "X...X", "X...X", "X...X", "XXXX."),
    "M": ("X...X", "XX.XX", "X.X.X", "X.X.X", "X...X", "X...X", "X...X"),
    "E": ("XXXXX", "X....", "X....", "XXXX.", "X....", "X....", "XXXXX"),
    "S": (".XXXX", "X....", "X....", ".XXX.", "....X", "....X", "XXXX."),
    " ": (".....",) * 7,
}
BLUE, CYAN = (0, 0, 255), (0, 255, 255)


def check_variant(variant: str) -> None:
    """Raises `UserError` with the nearest match if there is no such variant; none is the plain game."""
    if variant and variant not in VARIANTS:
        raise UserError(f"TakeCover has no variant '{variant}'{nearest(variant, VARIANTS)}")


def paint_text(screen: Frame) -> Frame:
    """Returns a screen, uint8 [rows, columns, 3], with a blue box that holds a text, in the upper half and never moving."""
    box, share, colour = _text(screen.shape[0])
    painted = screen.copy()
    painted[box] = np.rint(painted[box] * (1 - share) + colour)
    return painted


@functools.cache
def _text(rows: int) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.float64]]:
    """Returns where the box lies on a screen of so many rows, how much of each pixel it covers, and its share of the colour."""
    dots = np.zeros((LINES, 6 * len(WORDS)), np.bool_)
    for number, letter in enumerate(WORDS):
        for line, row in enumerate(LETTERS[letter], ABOVE):
            dots[line, 6 * number : 6 * number + 5] = [dot == "X" for dot in row]
    letters = np.kron(dots, np.ones(DOT, np.bool_))[..., None]
    (top, left), (height, width) = CORNER, letters.shape[:2]
    whole = np.zeros((*SCREEN, 4))
    whole[top : top + height, left : left + width, 0] = 1
    whole[top : top + height, left : left + width, 1:] = np.where(letters, CYAN, BLUE)
    step = SCREEN[0] // rows
    small = whole.reshape(rows, step, SCREEN[1] // step, step, 4).mean((1, 3))
    box = (slice(top // step, -(-(top + height) // step)), slice(left // step, -(-(left + width) // step)))
    return box, small[box][..., :1], small[box][..., 1:]
