"""Adam, by slices of the batch: a slice's gradient is one thread's work, and so is a piece of the parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worldmodels.runtime.slices import Slice, added_up, each_alone

MOMENTS = ("exp_avg", "exp_avg_sq")
#: Numbers of a piece: what Adam needs of them stays in a processor's last cache, and few enough pieces are left.
PIECE = 2**18


@dataclass(frozen=True)
class _Range:
    """The numbers ``first`` to ``last`` of the parameter ``index``: themselves, their gradient, and what the copies hold."""

    index: int
    first: int
    last: int
    numbers: nn.Parameter
    copied: Tensor | None


class DenseAdam:
    """Torch's fused Adam on views of the parameters that lie in memory as they are numbered, cut into pieces.

    Every slice has a copy of the model for itself, so that no two threads write into the same gradient. The copies' parameters
    share their memory: with the model's own, or in the type of the matrix products, where they are cast once a step.

    Args:
        model: what is trained; V's parameters are channels last.
        lr: of the first step.
        dtype: of the copies' parameters.
    """

    def __init__(self, model: nn.Module, lr: float, dtype: torch.dtype = torch.float32) -> None:
        self._model = model
        self._parameters = dict(model.named_parameters())
        self._device = next(model.parameters()).device
        same = dtype == torch.float32
        self._shared = [p.detach() if same else p.detach().to(dtype) for p in self._parameters.values()]
        self._copies: list[nn.Module] = []
        self._moments = {name: {kind: torch.zeros_like(_view(p)) for kind in MOMENTS} for name, p in self._parameters.items()}
        self._pieces = [(ranges, self._adam(ranges, lr)) for ranges in self._cut(not same)]

    def _cut(self, copied: bool) -> list[list[_Range]]:
        """Cuts the parameters into pieces: a large one into several, small ones together."""
        pieces: list[list[_Range]] = [[]]
        room = PIECE
        for index, (parameter, shared) in enumerate(zip(self._parameters.values(), self._shared, strict=True)):
            numbers, copies = _view(parameter.detach()), _view(shared)
            first = 0
            while first < len(numbers):
                if not room:
                    pieces.append([])
                    room = PIECE
                last = min(first + room, len(numbers))
                view = nn.Parameter(numbers[first:last])
                view.grad = torch.empty_like(view)
                pieces[-1].append(_Range(index, first, last, view, copies[first:last] if copied else None))
                room -= last - first
                first = last
        return pieces

    def _adam(self, ranges: Sequence[_Range], lr: float) -> torch.optim.Adam:
        adam = torch.optim.Adam([each.numbers for each in ranges], lr=lr, fused=True)
        names = list(self._parameters)
        for each in ranges:
            moments = {kind: moment[each.first : each.last] for kind, moment in self._moments[names[each.index]].items()}
            adam.state[each.numbers] = {"step": torch.zeros((), device=self._device), **moments}
        return adam

    def _copy(self) -> nn.Module:
        """Returns a copy of the model, whose parameters share their memory with all others."""
        made = copy.deepcopy(self._model)
        for parameter, shared in zip(made.parameters(), self._shared, strict=True):
            parameter.data = shared
        return made.train()

    def step(self, slices: Sequence[Slice], lr: float, max_grad_value: float | None) -> tuple[Tensor, dict[str, Tensor]]:
        """One step down the gradient of a batch's loss, each element of it clipped to ± ``max_grad_value``.

        Returns:
            The loss and its parts, without gradients.
        """
        while len(self._copies) < len(slices):
            self._copies.append(self._copy())
        shares: list[tuple[Tensor, dict[str, Tensor]]] = []
        gradients: list[list[Tensor]] = []
        for loss, parts, gradient in each_alone(list(zip(self._copies, slices, strict=False)), _gradient, self._device):
            shares.append((loss, parts))
            gradients.append(gradient)

        def advance(piece: tuple[list[_Range], torch.optim.Adam]) -> None:
            ranges, adam = piece
            for each in ranges:
                total, (first, *others) = each.numbers.grad, (some[each.index][each.first : each.last] for some in gradients)
                assert total is not None
                total.copy_(first)
                for other in others:
                    total.add_(other)
                if max_grad_value is not None:
                    total.clamp_(-max_grad_value, max_grad_value)
            for group in adam.param_groups:
                group["lr"] = lr
            adam.step()
            _refresh(ranges)

        each_alone(self._pieces, advance, self._device)
        return added_up(shares)

    def moments(self) -> dict[str, Tensor]:
        """Returns the moments, ``exp_avg/NAME`` and ``exp_avg_sq/NAME``, each in its parameter's shape."""
        return {
            f"{kind}/{name}": _shaped(self._moments[name][kind], parameter)
            for name, parameter in self._parameters.items()
            for kind in MOMENTS
        }

    def restore(self, moments: Mapping[str, Tensor], step: int) -> None:
        """Takes back what `moments` gave, after the model its parameters. Raises KeyError or RuntimeError where it is another
        model's."""
        for name, parameter in self._parameters.items():
            for kind in MOMENTS:
                _shaped(self._moments[name][kind], parameter).copy_(moments[f"{kind}/{name}"])
        for ranges, adam in self._pieces:
            for state in adam.state.values():
                state["step"].fill_(step)
            _refresh(ranges)


def falling_rate(first: float, last: float, step: int, num_steps: int) -> float:
    """Returns Adam's step size at a step, counted from 0: exponential from the first step's to the last step's (the original
    decays by a constant factor too)."""
    return float(first * (last / first) ** (step / max(1, num_steps - 1)))


def _gradient(work: tuple[nn.Module, Slice]) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """Returns a slice's share of the loss, of its parts and of the gradient, of which every parameter's is flat."""
    model, one = work
    loss, parts = one(model)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return loss.detach(), parts, [_channels_last(gradient).flatten() for gradient in gradients]


def _refresh(ranges: Sequence[_Range]) -> None:
    """Casts parameters for the copies."""
    for each in ranges:
        if each.copied is not None:
            each.copied.copy_(each.numbers.detach())


def _channels_last(x: Tensor) -> Tensor:
    """Views [O, I, K, K], channels last in memory, as [O, K, K, I]; anything else stays as it is."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _view(parameter: Tensor) -> Tensor:
    """Views a parameter as a vector, in the order of its memory."""
    return _channels_last(parameter).view(-1)


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    """Views what `_view` gave in a parameter's shape."""
    if like.ndim != 4:
        return flat.view(like.shape)
    outputs, inputs, rows, columns = like.shape
    return flat.view(outputs, rows, columns, inputs).permute(0, 3, 1, 2)
