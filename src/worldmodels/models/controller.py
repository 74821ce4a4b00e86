"""C, the controller: action = tanh(W · features + b) (paper, section 2.3), or the same with one hidden layer.

The features are [z, h], or what `ControllerInputs` names. What makes C fast is in `controller_kernels`.

Shapes: P population, N slots, F features, A action, I and O a layer's inputs and outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodels.config import ControllerInputs
from worldmodels.models.controller_kernels import products
from worldmodels.models.mdn_rnn import RNNSizes

#: The units of a C with a hidden layer (the paper has one that sees z alone: "V model with a hidden layer").
HIDDEN_UNITS = 40


def has_hidden_layer(inputs: ControllerInputs) -> bool:
    """Returns whether what C sees goes through a layer of hidden units."""
    return inputs.endswith("+hidden")


def uses_memory(inputs: ControllerInputs) -> bool:
    """Returns whether C sees anything of M."""
    return bool(_memory(inputs))


def feature_size(sizes: RNNSizes, inputs: ControllerInputs) -> int:
    """Returns F: 1,088 for TakeCover's ``"zch"``, 288 for CarRacing's ``"zh"``."""
    return sum(_lengths(sizes, inputs).values())


def layer_sizes(sizes: RNNSizes, inputs: ControllerInputs) -> list[tuple[int, int]]:
    """Returns the inputs and outputs of C's layers."""
    first, last = feature_size(sizes, inputs), sizes.action_size
    return [(first, HIDDEN_UNITS), (HIDDEN_UNITS, last)] if has_hidden_layer(inputs) else [(first, last)]


def num_parameters(sizes: RNNSizes, inputs: ControllerInputs, bias: bool) -> int:
    """Returns the length of a solution: 1,088 for TakeCover's ``"zch"`` (no bias, as in the original), 867 for CarRacing's
    ``"zh"``; ``bias`` says whether C has biases (`Task.controller_bias`)."""
    return sum(o * (i + int(bias)) for i, o in layer_sizes(sizes, inputs))


def named_weights(sizes: RNNSizes, inputs: ControllerInputs, bias: bool, solution: Tensor) -> dict[str, Tensor]:
    """Returns C's layers by name: ``weight`` [O, I] and, with ``bias``, ``bias`` [O]; of two layers ``0.weight``, ….

    Args:
        solution: float [parameters]; of each layer first the biases, with ``bias``, then the weights.
    """
    named, start, layers = {}, 0, layer_sizes(sizes, inputs)
    for number, (size_in, size_out) in enumerate(layers):
        prefix = "" if len(layers) == 1 else f"{number}."
        if bias:
            named[f"{prefix}bias"] = solution[start : start + size_out]
            start += size_out
        named[f"{prefix}weight"] = solution[start : start + size_out * size_in].view(size_out, size_in)
        start += size_out * size_in
    return named


def features(mu: Tensor, z: Tensor, hidden: Tensor, cell: Tensor, inputs: ControllerInputs) -> Tensor:
    """Joins what C sees: ``"zh"`` → [N, Z + H], ``"zch"`` → [N, Z + 2H], in that order.

    ``mu`` is the mean of what z was drawn from; in a dream, where V sees nothing, z stands for it.
    """
    states = {"z": z, "mu": mu, "h": hidden, "c": cell}
    return torch.cat([states[name] for name in _parts(inputs)], 1)


def sees_all(inputs: ControllerInputs, others: ControllerInputs) -> bool:
    """Returns whether a C with ``inputs`` sees all that one with ``others`` sees, and has as many layers."""
    linear = not has_hidden_layer(inputs) and not has_hidden_layer(others)
    return inputs == others or (linear and set(_parts(others)) <= set(_parts(inputs)))


def widened(solution: Tensor, sizes: RNNSizes, bias: bool, inputs: ControllerInputs, others: ControllerInputs) -> Tensor:
    """Returns the C with ``inputs`` that acts as another does, float [parameters]: the weights of what only it sees are 0.

    Args:
        solution: the other C, float [parameters].
        others: the other's inputs; `sees_all` says whether they fit.
    """
    if inputs == others:
        return solution
    weight = named_weights(sizes, others, bias, solution)["weight"]
    theirs = _lengths(sizes, others)
    known = dict(zip(theirs, torch.split(weight, list(theirs.values()), 1), strict=True))
    parts = [known.get(name, weight.new_zeros(len(weight), length)) for name, length in _lengths(sizes, inputs).items()]
    return torch.cat([solution[: solution.numel() - weight.numel()], torch.cat(parts, 1).flatten()])


def _lengths(sizes: RNNSizes, inputs: ControllerInputs) -> dict[str, int]:
    """Returns how many numbers each part of what C sees has."""
    return {name: sizes.latent_size if name in ("z", "mu") else sizes.hidden_size for name in _parts(inputs)}


def _parts(inputs: ControllerInputs) -> list[str]:
    """Returns what C sees, in its order: z or mu, then h and c where it sees M's states."""
    return ["mu" if inputs.startswith("mu") else "z", *_memory(inputs)]


def _memory(inputs: ControllerInputs) -> str:
    """Returns what C sees of M: some of the letters h and c, in their order."""
    return inputs.split("+")[0].removeprefix("z").removeprefix("mu")


def layer(x: Tensor, weight: Tensor, bias: Tensor | None, candidate: Tensor) -> Tensor:
    """One layer of C, tanh(W x + b), each slot with the weights of its own candidate: [N, I] → [N, O].

    Args:
        x: float32 [N, I].
        weight: float32 [P, O, I].
        bias: float32 [P, O], if there is one.
        candidate: int64 [N].
    """
    # Not a matrix product, also where all slots have the same weights: its sums depend on how many slots there are.
    out = products(x, weight, candidate).sum(2)
    return torch.tanh(out if bias is None else out + bias.index_select(0, candidate))
