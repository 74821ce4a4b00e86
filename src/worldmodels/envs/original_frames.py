"""The original's frames, bit for bit: what its weights were trained on, and need.

stretched = 255 (x - min) / (max - min), rounded     SciPy's old `imresize`: contrast over the whole picture
resized   = bilinear, over areas where it shrinks    Pillow's, as SciPy's was
frame     = 255 (1 - resized) mod 256 = resized - 1  the original's inversion, for which `resized` should have been in
                                                     [0, 1] and is in [0, 255]: it wraps, and black becomes white
"""

from __future__ import annotations

import numpy as np

from worldmodels.base.types import Frame


def stretch(picture: Frame) -> Frame:
    """Returns a picture whose darkest number is 0 and whose brightest 255, as ``scipy.misc.bytescale`` made it of numbers in
    [0, 1]: uint8 [rows, columns, 3]. One of a single value becomes black."""
    values = np.arange(256) / 255.0
    low, high = values[picture.min()], values[picture.max()]
    scale = 255.0 / (high - low if high > low else 1)
    table = (((values - low) * scale).clip(0, 255) + 0.5).astype(np.uint8)
    return np.asarray(table[picture])


def original_frame(picture: Frame, size: int) -> Frame:
    """Returns what the original's V sees of a picture uint8 [rows, columns, 3]: uint8 [size, size, 3]."""
    from PIL import Image

    resized = Image.fromarray(stretch(picture)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized) - np.uint8(1)
