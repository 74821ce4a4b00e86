"""The original's frames, bit for bit: what its weights were trained on, and need.

stretched = 255 (x - min) / (max - min), rounded     SciPy's old `imresize`: contrast over the whole picture
resized   = bilinear, over areas where it shrinks    Pillow's, in its integers
frame     = 255 (1 - resized) mod 256 = resized - 1  the original's inversion, for which `resized` should have been in
                                                     [0, 1] and is in [0, 255]: it wraps, and black becomes white
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.types import Frame

#: Bits behind the point of Pillow's weights.
PRECISION_BITS = 22


def stretch(picture: Frame) -> Frame:
    """Returns a picture whose darkest number is 0 and whose brightest 255, as ``scipy.misc.bytescale`` made it of numbers in
    [0, 1]: uint8 [rows, columns, 3]. One of a single value becomes black."""
    values = np.arange(256) / 255.0
    low, high = values[picture.min()], values[picture.max()]
    scale = 255.0 / (high - low if high > low else 1)
    table = (((values - low) * scale).clip(0, 255) + 0.5).astype(np.uint8)
    return np.asarray(table[picture])


@functools.cache
def _weights(source: int, target: int) -> NDArray[np.float64]:
    """Pillow's bilinear weights along an axis, whole numbers of 2^-22: [source, target]."""
    found = np.zeros((source, target))
    scale = source / target
    support = max(scale, 1.0)
    for cell in range(target):
        center = (cell + 0.5) * scale
        first, last = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), source)
        share = np.maximum(1 - np.abs((np.arange(first, last) - center + 0.5) / support), 0)
        found[first:last, cell] = np.floor(share / share.sum() * 2**PRECISION_BITS + 0.5)
    return found


def _shrunk(picture: Frame, axis: int, size: int) -> Frame:
    """Resizes along one axis and rounds. The sums are whole numbers far below 2^53: exact in float64."""
    sums = np.tensordot(picture.astype(np.float64), _weights(picture.shape[axis], size), (axis, 0))
    rounded = np.floor((sums + 2 ** (PRECISION_BITS - 1)) / 2**PRECISION_BITS)
    return np.moveaxis(rounded.clip(0, 255).astype(np.uint8), -1, axis)


def bilinear(picture: Frame, size: int) -> Frame:
    """Resizes uint8 [rows, columns, 3] to uint8 [size, size, 3] as Pillow's ``resize`` with ``BILINEAR`` does, to the bit."""
    return _shrunk(_shrunk(picture, 1, size), 0, size)


def original_frame(picture: Frame, size: int) -> Frame:
    """Returns what the original's V sees of a picture uint8 [rows, columns, 3]: uint8 [size, size, 3]."""
    return bilinear(stretch(picture), size) - np.uint8(1)
