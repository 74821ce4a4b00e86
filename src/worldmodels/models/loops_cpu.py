"""What M's compiled loops share: numbers of bfloat16 and float32 as their bits, how the loops are compiled, and e^x.

Numbers of bfloat16 come in as their bits, int16, and are shifted up by 16 to be float32's; those of float32 by 0.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.runtime.compiled import compiled

Bits = NDArray[np.int16] | NDArray[np.int32]

#: Adding it leaves a float32 of modest size rounded to a whole number in its last bits.
_ROUND = np.float32(1.5 * 2**23)
_LOG2_E = np.float32(1 / math.log(2))
#: ln 2 in two parts: the first has so few digits that its multiples are exact.
_LN2_HIGH = np.float32(355 / 512)
_LN2_LOW = np.float32(math.log(2) - 355 / 512)
#: e^f for f in ±(ln 2) / 2 by its Taylor series: right to the last bit or two of float32.
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / math.factorial(n)) for n in range(8))
#: A fused multiply-add may take a product and a sum's place; nothing else may be reordered, so any compiler gives the same.
_FASTMATH = {"contract", "nsz"}
loop = compiled(nogil=True, fastmath=_FASTMATH, error_model="numpy")
inlined = compiled(inline="always", nogil=True, fastmath=_FASTMATH, error_model="numpy")


@inlined
def exp(x: np.float32) -> np.float32:
    """e^x = 2^k e^f, all float32; beyond ±87 it stays at e^±87."""
    clipped = min(max(x, np.float32(-87)), np.float32(87))
    rounded = clipped * _LOG2_E + _ROUND
    k = rounded - _ROUND
    f = (clipped - k * _LN2_HIGH) - k * _LN2_LOW
    power = np.float32(_C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * (_C6 + f * _C7)))))))
    # 2^k is put into the exponent.
    return np.int32(power.view(np.int32) + (np.float32(rounded).view(np.int32) << np.int32(23))).view(np.float32)


@inlined
def nearest_bits(bits: np.int32, shift: np.int32) -> np.int32:
    """The bits of a float32, rounded to the nearest of the type that is ``shift`` shorter, a tie to the even one; what is no
    number stays none."""
    nearest = (bits + np.int32(0x7FFF) + ((bits >> shift) & np.int32(1))) >> shift
    return np.int32(0x7FC0) if bits & np.int32(0x7FFFFFFF) > np.int32(0x7F800000) else nearest


def bits_of(x: Tensor) -> tuple[Bits, np.int32]:
    """Returns the memory of a float32 or bfloat16 tensor as whole numbers, and how far they are shifted up to be float32's."""
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy(), np.int32(16)
    return x.view(torch.int32).numpy(), np.int32(0)
