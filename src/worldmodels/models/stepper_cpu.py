"""M's step on a CPU, but for its matrix products: loops over a slot's own numbers, which stay in the first-level cache.

Without this file: `join`, `advance` and `draw` of `stepper`, as a GPU has them; the results agree up to rounding.

The same arithmetic as torch's whole-array operations (`MDNStepper`, where a GPU takes them), each of which goes through memory
once more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Floats
from worldmodels.models.loops_cpu import Bits, bits_of, exp, loop, nearest_bits


@loop
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
                joined[i] = nearest_bits(bits[i], shift)


@loop
def _advance(gates: Bits, shift: np.int32, cell: Floats, new_cell: Floats, new_hidden: Floats) -> None:
    size = cell.shape[1]
    x, gate = np.empty(4 * size, np.float32), np.empty(4 * size, np.float32)
    bits = x.view(np.int32)
    for row in range(cell.shape[0]):
        for i in range(4 * size):
            bits[i] = np.int32(gates[row, i]) << shift
        for i in range(4 * size):
            gate[i] = np.float32(1) / (np.float32(1) + exp(-x[i]))
        old, new, hidden = cell[row], new_cell[row], new_hidden[row]
        for i in range(size):
            # tanh(x) = 2σ(2x) - 1, for the candidate, whose argument comes doubled, and for the new cell.
            new[i] = old[i] * gate[size + i] + gate[i] * (np.float32(2) * gate[2 * size + i] - np.float32(1))
        for i in range(size):
            tanh = np.float32(2) / (np.float32(1) + exp(np.float32(-2) * new[i])) - np.float32(1)
            hidden[i] = tanh * gate[3 * size + i]


@loop
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
                part[j] = exp((logit[j] - top[j]) / temperature)
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
            z[row, j] = mean[j] + exp(min(max(log_std[j], low), high)) * normal[row, j] * scale


def join(parts: Sequence[Tensor], row: Tensor) -> None:
    """Writes parts, floating [N, …] each, one after the other into ``row``, float32 or bfloat16, whose last column stays.

    Raises:
        ValueError: a part has another number of rows, or all together another number of columns.
    """
    if any(len(part) != len(row) for part in parts) or sum(part.shape[1] for part in parts) != row.shape[1] - 1:
        raise ValueError(f"{[tuple(part.shape) for part in parts]} do not make {len(row)} rows of {row.shape[1] - 1} numbers")
    _join(tuple(part.float().contiguous().view(torch.int32).numpy() for part in parts), *bits_of(row))


def advance(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the LSTM's new hidden and cell, float32 [N, H].

    Args:
        gates: float32 or bfloat16 [N, 4H] before their sigmoids: input, forget, candidate (doubled, for its tanh), output.
        cell: float32 [N, H].
    """
    hidden, new_cell = torch.empty_like(cell), torch.empty_like(cell)
    _advance(*bits_of(gates), cell.contiguous().numpy(), new_cell.numpy(), hidden.numpy())
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
    _draw(*bits_of(outputs), num_heads, *noise, np.float32(temperature), low, high, z.numpy())
    return z
