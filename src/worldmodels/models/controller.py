"""C, the controller: action = tanh(W · features + b) (paper, section 2.3), or the same with one hidden layer.

Shapes: P population, N slots, F features, A action, I and O a layer's inputs and outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Floats
from worldmodels.config import ControllerInputs
from worldmodels.models.mdn_rnn import RNNSizes
from worldmodels.runtime.compiled import compiled

#: The inputs of a C with a hidden layer (the paper's "V model with a hidden layer"), and the layer's units.
HIDDEN_LAYER: ControllerInputs = "z+hidden"
HIDDEN_UNITS = 40


def uses_memory(inputs: ControllerInputs) -> bool:
    """Returns whether C sees anything of M."""
    return bool(_memory(inputs))


def feature_size(sizes: RNNSizes, inputs: ControllerInputs) -> int:
    """Returns F: 1,088 for TakeCover's ``"zch"``, 288 for CarRacing's ``"zh"``."""
    return sizes.latent_size + sizes.hidden_size * len(_memory(inputs))


def layer_sizes(sizes: RNNSizes, inputs: ControllerInputs) -> list[tuple[int, int]]:
    """Returns the inputs and outputs of C's layers."""
    first, last = feature_size(sizes, inputs), sizes.action_size
    return [(first, HIDDEN_UNITS), (HIDDEN_UNITS, last)] if inputs == HIDDEN_LAYER else [(first, last)]


def num_parameters(sizes: RNNSizes, inputs: ControllerInputs, bias: bool) -> int:
    """Returns the length of a solution: 1,088 for TakeCover's ``"zch"`` (no bias, as in the original), 867 for CarRacing's
    ``"zh"``; ``bias`` says whether C has biases (`Task.controller_bias`)."""
    return sum(o * (i + int(bias)) for i, o in layer_sizes(sizes, inputs))


def features(mu: Tensor, z: Tensor, hidden: Tensor, cell: Tensor, inputs: ControllerInputs) -> Tensor:
    """Joins what C sees: ``"zh"`` → [N, Z + H], ``"zch"`` → [N, Z + 2H], in that order.

    ``mu`` is the mean of what z was drawn from; in a dream, where V sees nothing, z stands for it.
    """
    states = {"h": hidden, "c": cell}
    return torch.cat([mu if inputs.startswith("mu") else z, *(states[name] for name in _memory(inputs))], 1)


def _memory(inputs: ControllerInputs) -> str:
    """Returns what C sees of M: some of the letters h and c, in their order."""
    return inputs.split("+")[0].removeprefix("z").removeprefix("mu")


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
