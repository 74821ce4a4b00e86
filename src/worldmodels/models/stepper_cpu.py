"""M's step on a CPU, but for its matrix products: loops over a slot's own numbers, which stay in the first-level cache.

Without this file: `join`, `advance` and `draw` of `stepper`, as a GPU has them; the results agree up to rounding.

The same arithmetic as torch's whole-array operations (`MDNStepper`, where a GPU takes them), each of which goes through memory
once more. Numbers of bfloat16 come in as their bits, int16, and are shifted up by 16 to be float32's; those of float32 by 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Floats
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
_compiled = compiled(nogil=True, fastmath=_FASTMATH, error_model="numpy")
_inlined = compiled(inline="always", nogil=True, fastmath=_FASTMATH, error_model="numpy")


@_inlined
def _exp(x: np.float32) -> np.float32:
    """e^x = 2^k e^f, all float32; beyond ±87 it stays at e^±87."""
    clipped = min(max(x, np.float32(-87)), np.float32(87))
    rounded = clipped * _LOG2_E + _ROUND
    k = rounded - _ROUND
    f = (clipped - k * _LN2_HIGH) - k * _LN2_LOW
    power = np.float32(_C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * (_C6 + f * _C7)))))))
    # 2^k is put into the exponent.
    return np.int32(power.view(np.int32) + (np.float32(rounded).view(np.int32) << np.int32(23))).view(np.float32)


@_compiled
def _join(parts: tuple[NDArray[np.int32], ...], row: Bits, shift: np.int32) -> None:
    for n in range(row.shape[0]):
        first = 0
        for part in parts:
            bits, last = part[n], first + part.shape[1]
            joined = row[n, first:last]
            first = last
            if shift == 0:
                joined[:] = bits
                continue
            for i in range(bits.shape[0]):
                # To the nearest, a tie to the even one; what is no number stays none.
                nearest = (bits[i] + np.int32(0x7FFF) + ((bits[i] >> shift) & np.int32(1))) >> shift
                joined[i] = np.int32(0x7FC0) if bits[i] & np.int32(0x7FFFFFFF) > np.int32(0x7F800000) else nearest


@_compiled
def _advance(gates: Bits, shift: np.int32, cell: Floats, new_cell: Floats, new_hidden: Floats) -> None:
    size = cell.shape[1]
    x, gate = np.empty(4 * size, np.float32), np.empty(4 * size, np.float32)
    bits = x.view(np.int32)
    for row in range(cell.shape[0]):
        for i in range(4 * size):
            bits[i] = np.int32(gates[row, i]) << shift
        for i in range(4 * size):
            gate[i] = np.float32(1) / (np.float32(1) + _exp(-x[i]))
        old, new, hidden = cell[row], new_cell[row], new_hidden[row]
        for i in range(size):
            # tanh(x) = 2σ(2x) - 1, for the candidate, whose argument comes doubled, and for the new cell.
            new[i] = old[i] * gate[size + i] + gate[i] * (np.float32(2) * gate[2 * size + i] - np.float32(1))
        for i in range(size):
            tanh = np.float32(2) / (np.float32(1) + _exp(np.float32(-2) * new[i])) - np.float32(1)
            hidden[i] = tanh * gate[3 * size + i]


@_compiled
def _draw(
    outputs: Bits,
    shift: np.int32,
    first: int,
    uniform: Floats,
    normal: Floats,
    temperature: np.float32,
    low: np.float32,
    high: np.float32,
    z: Floats,
) -> None:
    latent = z.shape[1]
    size = (outputs.shape[1] - first) // 3
    x, share = np.empty(3 * size, np.float32), np.empty(size, np.float32)
    bits = x.view(np.int32)
    # One number per latent; arrays of their own, so that the compiler sees that they do not overlap.
    top, reached, passed = np.empty(latent, np.float32), np.empty(latent, np.float32), np.empty(latent, np.float32)
    mean, log_std = np.empty(latent, np.float32), np.empty(latent, np.float32)
    scale = np.float32(math.sqrt(temperature))
    for row in range(z.shape[0]):
        # Slices, here and below: an index that is a sum could be negative, for all the compiler knows, and would be slow.
        output = outputs[row, first:]
        for i in range(3 * size):
            bits[i] = np.int32(output[i]) << shift
        top[:] = x[:latent]
        for k in range(latent, size, latent):
            logit = x[k : k + latent]
            for j in range(latent):
                top[j] = max(top[j], logit[j])
        reached[:] = 0
        for k in range(0, size, latent):
            logit, part = x[k : k + latent], share[k : k + latent]
            for j in range(latent):
                part[j] = _exp((logit[j] - top[j]) / temperature)
                reached[j] += part[j]
        for j in range(latent):
            reached[j] *= uniform[row, j]
        passed[:] = share[:latent]  # the sum of the mixtures that have been looked at
        mean[:] = x[size : size + latent]
        log_std[:] = x[2 * size : 2 * size + latent]
        for k in range(latent, size, latent):
            part = share[k : k + latent]
            means, log_stds = x[size + k : size + k + latent], x[2 * size + k : 2 * size + k + latent]
            for j in range(latent):
                # All are read, whatever is chosen: a read that depends on a comparison would be slow.
                this, other, this_log_std, other_log_std = means[j], mean[j], log_stds[j], log_std[j]
                further = reached[j] >= passed[j]
                mean[j] = this if further else other
                log_std[j] = this_log_std if further else other_log_std
                passed[j] += part[j]
        for j in range(latent):
            z[row, j] = mean[j] + _exp(min(max(log_std[j], low), high)) * normal[row, j] * scale


def _bits(x: Tensor) -> tuple[Bits, np.int32]:
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy(), np.int32(16)
    return x.view(torch.int32).numpy(), np.int32(0)


def join(parts: Sequence[Tensor], row: Tensor) -> None:
    """Writes parts, floating [N, …] each, one after the other into ``row``, float32 or bfloat16, whose last column stays.

    Raises:
        ValueError: a part has another number of rows, or all together another number of columns.
    """
    if any(len(part) != len(row) for part in parts) or sum(part.shape[1] for part in parts) != row.shape[1] - 1:
        raise ValueError(f"{[tuple(part.shape) for part in parts]} do not make {len(row)} rows of {row.shape[1] - 1} numbers")
    _join(tuple(part.float().contiguous().view(torch.int32).numpy() for part in parts), *_bits(row))


def advance(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the LSTM's new hidden and cell, float32 [N, H].

    Args:
        gates: float32 or bfloat16 [N, 4H] before their sigmoids: input, forget, candidate (doubled, for its tanh), output.
        cell: float32 [N, H].
    """
    hidden, new_cell = torch.empty_like(cell), torch.empty_like(cell)
    _advance(*_bits(gates), cell.contiguous().numpy(), new_cell.numpy(), hidden.numpy())
    return hidden, new_cell


def draw(
    outputs: Tensor, num_heads: int, uniform: Tensor, normal: Tensor, temperature: float, log_std_range: tuple[float, float]
) -> Tensor:
    """Draws z, float32 [N, Z], from the mixtures.

    Args:
        outputs: float32 or bfloat16 [N, heads + 3·K·Z], as M's last layer gives them.
        num_heads: columns before the mixtures.
        uniform: float32 [N, Z] in [0, 1), picks each latent's mixture.
        normal: float32 [N, Z], the Gaussian's noise.
        temperature: τ.
        log_std_range: log standard deviations are clipped to it.
    """
    z = torch.empty(uniform.shape)
    low, high = map(np.float32, log_std_range)
    noise = uniform.contiguous().numpy(), normal.contiguous().numpy()
    _draw(*_bits(outputs), num_heads, *noise, np.float32(temperature), low, high, z.numpy())
    return z
