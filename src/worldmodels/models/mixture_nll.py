"""The likelihood of the next latent under M's mixtures, with its gradient written down.

M without this file: torch's distributions and autograd, which keep several float32 arrays as large as the outputs.

Shapes: R rows, K mixtures, Z latent.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from worldmodels.models import mixture_nll_cpu

#: Log standard deviations are clipped to this range: none explodes, and none collapses on a latent that V does not use.
LOG_STD_RANGE = (-6.0, 2.0)
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class MixtureNLL(torch.autograd.Function):
    """Sum over rows and latents of -log p(target) under the mixtures; the gradient is written down, not traced.

    Forward: outputs [R, 3·K·Z] of any floating type, target float32 [R, Z], row weight float32 [R], K → scalar.

    With responsibilities r_k = softmax_k(log pi_k + log N_k) the gradients are pi_k - r_k (logits), r_k e_k / σ_k (means)
    and r_k (1 - e_k²) (log σ), where e = (mean - target) / σ. They are made in the forward pass; on a CPU nothing of the size
    of the outputs is made in float32.
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, target: Tensor, row_weight: Tensor, num_mixtures: int) -> Tensor:
        make = mixture_nll_cpu.likelihood if outputs.device.type == "cpu" else at_once
        found, gradient = make(outputs, target, row_weight, num_mixtures, LOG_STD_RANGE)
        ctx.save_for_backward(gradient)
        constant = _HALF_LOG_TWO_PI * target.shape[1] * row_weight.sum(dtype=torch.float64)
        return (constant - found).float()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None, None


def at_once(
    outputs: Tensor, target: Tensor, row_weight: Tensor, num_mixtures: int, log_std_range: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """What `mixture_nll_cpu.likelihood` is, by whole arrays and on any device."""
    rows, latent = target.shape
    size, weight = num_mixtures * latent, row_weight[:, None, None]
    share, error, raw_log_std = outputs.to(torch.float32, copy=True).view(rows, 3, num_mixtures, latent).unbind(1)
    log_std = raw_log_std.clamp(*log_std_range)
    share = share - share.amax(1, keepdim=True)  # of the logits; of the pi_k, once they are divided by their sum
    joint = share - log_std
    total_share = share.exp_().sum(1, keepdim=True)
    inverse_std = log_std.neg().exp_()
    error = (error - target[:, None]).mul_(inverse_std)
    squared = error.square()
    # log pi_k + log N_k, but for a constant and the logarithm of the shares' sum
    joint.sub_(squared, alpha=0.5)
    largest = joint.amax(1, keepdim=True)
    responsibility = joint.sub_(largest).exp_()
    likelihood = responsibility.sum(1, keepdim=True)  # [R, 1, Z]
    log_likelihood = likelihood.log().add_(largest).sub_(total_share.log())
    responsibility.mul_(weight / likelihood)
    by_log_std = torch.addcmul(responsibility, squared, responsibility, value=-1)
    gradient = torch.empty_like(outputs)
    gradient[:, :size] = share.mul_(weight / total_share).sub_(responsibility).flatten(1)
    gradient[:, size : 2 * size] = error.mul_(responsibility).mul_(inverse_std).flatten(1)
    # No gradient through the clip.
    by_log_std = torch.ops.aten.hardtanh_backward(by_log_std, raw_log_std, *log_std_range)
    gradient[:, 2 * size :] = by_log_std.flatten(1)
    return (log_likelihood * weight).sum(dtype=torch.float64), gradient
