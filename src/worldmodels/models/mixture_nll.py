"""The likelihood of the next latent under M's mixtures, with its gradient written down.

M without this file: torch's distributions and autograd, which keep several float32 arrays as large as the outputs.

Shapes: R rows, K mixtures, Z latent.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

#: Log standard deviations are clipped to this range: none explodes, and none collapses on a latent that V does not use.
LOG_STD_RANGE = (-6.0, 2.0)
#: Rows of the likelihood that are worked on together: what they need fits a processor's last cache.
LIKELIHOOD_ROWS = 1024
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class MixtureNLL(torch.autograd.Function):
    """Sum over rows and latents of -log p(target) under the mixtures; the gradient is written down, not traced.

    Forward: outputs [R, 3·K·Z] of any floating type, target float32 [R, Z], row weight float32 [R], K → scalar.

    With responsibilities r_k = softmax_k(log pi_k + log N_k) the gradients are pi_k - r_k (logits), r_k e_k / σ_k (means)
    and r_k (1 - e_k²) (log σ), where e = (mean - target) / σ. Made in the forward pass, a few rows at a time and in place, so
    that nothing of the size of the outputs is kept in float32.
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, target: Tensor, row_weight: Tensor, num_mixtures: int) -> Tensor:
        rows, latent = target.shape
        shape = (-1, num_mixtures, latent)
        size = num_mixtures * latent
        gradient = torch.empty_like(outputs) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float64, device=outputs.device)
        # A GPU has no use for small pieces.
        step = LIKELIHOOD_ROWS if outputs.device.type == "cpu" else rows
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            weight = row_weight[part, None, None]
            share = outputs[part, :size].to(torch.float32, copy=True).view(shape)  # [r, K, Z], first the logits
            error = outputs[part, size : 2 * size].to(torch.float32, copy=True).view(shape)  # first the means
            raw_log_std = outputs[part, 2 * size :].float().view(shape)
            log_std = raw_log_std.clamp(*LOG_STD_RANGE)
            share.sub_(share.amax(1, keepdim=True))
            joint = share - log_std
            total_share = share.exp_().sum(1, keepdim=True)
            inverse_std = log_std.neg().exp_()
            error.sub_(target[part, None]).mul_(inverse_std)
            squared = error.square()
            # log pi_k + log N_k, but for a constant and the logarithm of the shares' sum
            joint.sub_(squared, alpha=0.5)
            largest = joint.amax(1, keepdim=True)
            responsibility = joint.sub_(largest).exp_()
            likelihood = responsibility.sum(1, keepdim=True)  # [r, 1, Z]
            log_likelihood = likelihood.log().add_(largest).sub_(total_share.log())
            total -= ((log_likelihood - _HALF_LOG_TWO_PI) * weight).sum(dtype=torch.float64)
            if gradient is not None:
                responsibility.mul_(weight / likelihood)
                gradient[part, :size] = share.mul_(weight / total_share).sub_(responsibility).flatten(1)
                gradient[part, size : 2 * size] = error.mul_(responsibility).mul_(inverse_std).flatten(1)
                by_log_std = torch.addcmul(responsibility, squared, responsibility, value=-1)
                # No gradient through the clip.
                by_log_std = torch.ops.aten.hardtanh_backward(by_log_std, raw_log_std, *LOG_STD_RANGE)
                gradient[part, 2 * size :] = by_log_std.flatten(1)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total.float()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None, None
