"""Frames side by side in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldmodels.base.types import Frame


def in_rows(
    rows: Sequence[Sequence[Frame] | Frame], columns: int, gap: int = 0, background: int | tuple[int, int, int] = 0
) -> Frame:
    """Returns rows of frames, uint8 [height, width, 3] and all of one size, as one picture.

    Args:
        columns: how many frames the picture is wide; a shorter row leaves the rest of it empty.
        gap: pixels between two frames.
        background: the colour of gaps and of what is empty.
    """
    height, width, _ = rows[0][0].shape
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), background, np.uint8)
    for line, frames in enumerate(rows):
        for column, frame in enumerate(frames):
            y, x = line * (height + gap), column * (width + gap)
            sheet[y : y + height, x : x + width] = frame
    return sheet
