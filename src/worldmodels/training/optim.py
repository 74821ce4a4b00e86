"""Adam for parameters of any memory layout: torch's fused kernel, without its copies."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")


class DenseAdam:
    """Adam on contiguous views of the parameters: torch's fused kernel copies all others.

    Args:
        parameters: by name; V's are channels last.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], lr: float) -> None:
        self._parameters = list(parameters.values())
        self._views = {name: nn.Parameter(_dense(parameter.detach())) for name, parameter in parameters.items()}
        self._adam = torch.optim.Adam(self._views.values(), lr=lr, fused=True)

    def step(self, loss: Tensor, lr: float, max_grad_value: float | None) -> None:
        """One step down the gradient of ``loss``, each element of it clipped to ± ``max_grad_value``."""
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter, view in zip(self._parameters, self._views.values(), strict=True):
            view.grad = None if parameter.grad is None else _dense(parameter.grad)
        if max_grad_value is not None:
            nn.utils.clip_grad_value_(self._views.values(), max_grad_value)
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()

    def moments(self) -> dict[str, Tensor]:
        """Returns the moments, ``exp_avg/NAME`` and ``exp_avg_sq/NAME``, each in its parameter's shape."""
        state = self._adam.state
        return {f"{kind}/{name}": _undense(state[view][kind]) for name, view in self._views.items() for kind in MOMENTS}

    def restore(self, moments: Mapping[str, Tensor], step: int) -> None:
        """Takes back what `moments` gave. Raises KeyError or RuntimeError where it is another model's."""
        for name, view in self._views.items():
            self._adam.state[view] = {
                "step": torch.tensor(float(step), device=view.device),
                **{kind: torch.empty_like(view).copy_(_dense(moments[f"{kind}/{name}"])) for kind in MOMENTS},
            }


def falling_rate(first: float, last: float, step: int, num_steps: int) -> float:
    """Returns Adam's step size at a step, counted from 0: exponential from the first step's to the last step's (the original
    decays by a constant factor too)."""
    return float(first * (last / first) ** (step / max(1, num_steps - 1)))


def _dense(x: Tensor) -> Tensor:
    """Views [O, I, K, K], channels last in memory, as [O, K, K, I]; anything else stays as it is."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _undense(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x
