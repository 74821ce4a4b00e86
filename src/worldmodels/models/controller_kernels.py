"""What makes C fast where every slot has other weights.

C without this file: each slot's weights gathered into one tensor, ``weight[candidate]``, as a GPU has it below: the same bits,
by way of an array that no cache holds.

Shapes: P population, N slots, I and O a layer's inputs and outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Floats
from worldmodels.runtime.compiled import compiled


def products(x: Tensor, weight: Tensor, candidate: Tensor) -> Tensor:
    """Returns each slot's inputs times its candidate's weights, float32 [N, O, I]: their sum over I is a layer's output.

    On a CPU a compiled loop finds the weights where they are, which the caches hold; gathered for all slots they would not fit.

    Args:
        x: float32 [N, I].
        weight: float32 [P, O, I].
        candidate: int64 [N].
    """
    if x.device.type != "cpu":
        return x[:, None] * weight.index_select(0, candidate)
    # What is compiled checks nothing; whose weights there are is checked as the episodes begin.
    if x.shape != (len(candidate), weight.shape[2]):
        raise ValueError(f"inputs {tuple(x.shape)} of {len(candidate)} slots for weights {tuple(weight.shape)}")
    out = torch.empty(len(x), *weight.shape[1:])
    _multiply(x.contiguous().numpy(), weight.numpy(), candidate.numpy(), out.numpy())
    return out


@compiled(nogil=True)
def _multiply(x: Floats, weight: Floats, candidate: NDArray[np.int64], out: Floats) -> None:
    for slot in range(x.shape[0]):
        for unit in range(weight.shape[1]):
            inputs, weights, found = x[slot], weight[candidate[slot], unit], out[slot, unit]
            for i in range(inputs.shape[0]):
                found[i] = inputs[i] * weights[i]
