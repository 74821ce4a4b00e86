"""The likelihood of the next latent and its gradient on a CPU: a loop over the rows, whose numbers stay in the nearest cache.

Without this file: `mixture_nll.at_once`, as a GPU has it; the results agree up to rounding.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Floats
from worldmodels.models.loops_cpu import Bits, bits_of, exp, loop, nearest_bits


@loop
def _likelihood(
    outputs: Bits,
    shift: np.int32,
    target: Floats,
    row_weight: Floats,
    size: int,
    low: np.float32,
    high: np.float32,
    gradient: Bits,
    row_total: NDArray[np.float64],
) -> None:
    latent = target.shape[1]
    x, made = np.empty(3 * size, np.float32), np.empty(3 * size, np.float32)
    bits, made_bits = x.view(np.int32), made.view(np.int32)
    # Arrays of their own, so that the compiler sees that they do not overlap.
    share, joint = np.empty(size, np.float32), np.empty(size, np.float32)
    error, inverse = np.empty(size, np.float32), np.empty(size, np.float32)
    top, total = np.empty(latent, np.float32), np.empty(latent, np.float32)
    largest, likelihood = np.empty(latent, np.float32), np.empty(latent, np.float32)
    for row in range(target.shape[0]):
        output, wanted, weight = outputs[row], target[row], row_weight[row]
        # What is no finite number must reach the sum, whatever comparisons below make of it.
        broken = np.float32(0)
        for i in range(3 * size):
            bits[i] = np.int32(output[i]) << shift
        for i in range(3 * size):
            broken += x[i] * np.float32(0)
        means, log_stds = x[size : 2 * size], x[2 * size : 3 * size]
        top[:] = x[:latent]
        for k in range(latent, size, latent):
            logit = x[k : k + latent]
            for j in range(latent):
                top[j] = max(top[j], logit[j])
        total[:] = 0
        largest[:] = -np.inf
        for k in range(0, size, latent):
            logit, mean, log_std = x[k : k + latent], means[k : k + latent], log_stds[k : k + latent]
            part, both = share[k : k + latent], joint[k : k + latent]
            off, over = error[k : k + latent], inverse[k : k + latent]
            for j in range(latent):
                clipped = min(max(log_std[j], low), high)
                over[j] = exp(-clipped)
                off[j] = (mean[j] - wanted[j]) * over[j]
                # log pi_k + log N_k, but for a constant and the logarithm of the shares' sum
                both[j] = (logit[j] - top[j]) - clipped - np.float32(0.5) * off[j] * off[j]
                largest[j] = max(largest[j], both[j])
                part[j] = exp(logit[j] - top[j])
                total[j] += part[j]
        likelihood[:] = 0
        for k in range(0, size, latent):
            both = joint[k : k + latent]
            for j in range(latent):
                both[j] = exp(both[j] - largest[j])
                likelihood[j] += both[j]
        found = np.float64(broken)
        for j in range(latent):
            found += math.log(likelihood[j]) + largest[j] - math.log(total[j])
        row_total[row] = weight * found
        for j in range(latent):
            total[j], likelihood[j] = weight / total[j], weight / likelihood[j]
        for k in range(0, size, latent):
            part, both = share[k : k + latent], joint[k : k + latent]
            off, over, log_std = error[k : k + latent], inverse[k : k + latent], log_stds[k : k + latent]
            by_logit, by_mean = made[k : k + latent], made[size + k : size + k + latent]
            by_log_std = made[2 * size + k : 2 * size + k + latent]
            for j in range(latent):
                responsibility = both[j] * likelihood[j]
                by_logit[j] = part[j] * total[j] - responsibility
                by_mean[j] = off[j] * responsibility * over[j]
                # No gradient through the clip.
                inside = low < log_std[j] < high
                by_log_std[j] = responsibility - off[j] * off[j] * responsibility if inside else np.float32(0)
        slopes = gradient[row]
        if shift == 0:
            slopes[:] = made_bits
        else:
            for i in range(3 * size):
                slopes[i] = nearest_bits(made_bits[i], shift)


def likelihood(
    outputs: Tensor, target: Tensor, row_weight: Tensor, num_mixtures: int, log_std_range: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Returns the log-likelihood of all rows, each times its weight, but for the constant of a Gaussian: float64 []; and the
    gradient of its negative, as ``outputs``.

    Args:
        outputs: of any floating type [R, 3·K·Z].
        target: float32 [R, Z].
        row_weight: float32 [R].
        num_mixtures: K.
        log_std_range: log standard deviations are clipped to it.
    """
    known = (outputs if outputs.dtype == torch.bfloat16 else outputs.float()).detach().contiguous()
    gradient, row_total = torch.empty_like(known), np.empty(len(target))
    bits, shift = bits_of(known)
    _likelihood(
        bits,
        shift,
        target.contiguous().numpy(),
        row_weight.contiguous().numpy(),
        num_mixtures * target.shape[1],
        np.float32(log_std_range[0]),
        np.float32(log_std_range[1]),
        bits_of(gradient)[0],
        row_total,
    )
    return torch.tensor(row_total.sum()), gradient.to(outputs.dtype)
