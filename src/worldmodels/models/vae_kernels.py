"""What makes V fast: its pixels' error with its gradient, small convolutions and the first deconvolution as products, the last
deconvolution in blocks of pixels, ReLU by the bits.

V without this file: plain torch layers and autograd, at about half the speed (``make bench`` has both).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Frames whose error is worked on together: what they need fits a core's second-level cache.
ERROR_FRAMES = 16


class PictureError(torch.autograd.Function):
    """Squared error d² summed over a frame's pixels, or p (d² + w d⁴) with a weight w, and p of each pixel; the gradient is
    written down, not traced.

    Forward: logits [B, 32, 32, 12] of any floating type, before the sigmoid; frames uint8, as large; w; p, floating, as large,
    or None, which is 1 everywhere → the error, float32 [B], and the squared error alone, which has no gradient.

    Made a few frames at a time, the gradient p (2 d + 4 w d³) y (1 - y) with them, d = y - x, so that nothing else of the size
    of the batch is kept in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, frames: Tensor, quartic_weight: float, pixel_weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        squared_error = torch.empty(len(logits), device=logits.device)
        quartic_error = torch.zeros_like(squared_error)
        error = squared_error if pixel_weights is None else torch.empty_like(squared_error)
        # A GPU has no use for small pieces.
        step = ERROR_FRAMES if logits.device.type == "cpu" else len(logits)
        for start in range(0, len(logits), step):
            part = slice(start, start + step)
            picture = torch.sigmoid(logits[part].float())
            difference = picture - frames[part].float() / 255
            squared = difference.square()
            squared_error[part] = squared.sum((1, 2, 3))
            if pixel_weights is not None:
                error[part] = (squared + quartic_weight * squared.square()).mul_(pixel_weights[part]).sum((1, 2, 3))
            elif quartic_weight:
                quartic_error[part] = squared.square().sum((1, 2, 3))
            if gradient is not None:
                steepness = squared.mul_(4 * quartic_weight).add_(2) if quartic_weight else 2
                # y (1 - y) = y - y²
                slope = torch.addcmul(picture, picture, picture, value=-1).mul_(difference).mul_(steepness)
                gradient[part] = slope if pixel_weights is None else slope.mul_(pixel_weights[part])
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(squared_error)
        return error + quartic_weight * quartic_error, squared_error

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype)[:, None, None, None], None, None, None


def relu(x: Tensor) -> Tensor:
    """ReLU of any shape, in place but for a view with a gradient, whose base autograd would copy."""
    if x.dtype == torch.bfloat16 and not torch.is_grad_enabled():
        # By the bits, which are negative where the number is: torch's takes six times as long, by way of float32.
        x.view(torch.int16).clamp_(min=0)
        return x
    return F.relu(x) if x._is_view() else F.relu_(x)


def add_bias(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Adds a deconvolution's bias to its output [B, O, S, S] in place: torch's own takes up to five times as long with one."""
    assert layer.bias is not None
    return x.add_(layer.bias[:, None, None].to(x.dtype))


def convolve_small(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """A 4×4 convolution of stride 2 as one matrix product: on small pictures torch's own takes up to three times as long.

    Channels last, a row of a window is one piece of memory, so that gathering the windows costs next to nothing.

    Args:
        x: [B, I, S, S], channels last in memory.
        layer: its weight is [O, I, 4, 4].

    Returns:
        [B, O, S', S'] with S' = S // 2 - 1, channels last in memory.
    """
    x = x.permute(0, 2, 3, 1)
    frames, side, _, channels = x.shape
    size = side // 2 - 1
    if torch.is_grad_enabled():
        # The gradient of a few slices is far cheaper than that of `unfold`.
        corners = [(2 * row, 2 * column) for row in range(size) for column in range(size)]
        windows = torch.stack([x[:, row : row + 4, column : column + 4].flatten(1) for row, column in corners], 1)
    else:
        row = side * channels
        pieces = x.contiguous().as_strided((frames, size, size, 4, 4 * channels), (side * row, 2 * row, 2 * channels, row, 1))
        windows = pieces.reshape(frames, size * size, 16 * channels)
    y = F.linear(windows, layer.weight.permute(0, 2, 3, 1).flatten(1), layer.bias)  # [B, S'², O]
    return y.view(-1, size, size, y.shape[2]).permute(0, 3, 1, 2)


def deconvolve_point(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """A deconvolution of single pixels, which is a matrix product: [B, I] → [B, O, S, S] with a kernel of S×S."""
    weight = layer.weight.permute(0, 2, 3, 1)
    size, channels = weight.shape[2:]
    assert layer.bias is not None
    x = F.linear(x, weight.flatten(1).T, layer.bias.repeat(size * size))
    return x.view(-1, size, size, channels).permute(0, 3, 1, 2)


def deconvolve_to_blocks(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """A deconvolution of stride 2, its output in blocks of 2×2 pixels (`to_blocks`): [B, I, S, S] → [B, S', S', 4·O].

    Three channels are too few for a processor's registers: 6×6 pixels and stride 2 are 3×3 blocks and stride 1.
    """
    channels, size = layer.weight.shape[1], layer.weight.shape[2] // 2
    weight = layer.weight.permute(0, 2, 3, 1).reshape(-1, size, 2, size, 2, channels)
    weight = weight.transpose(2, 3).reshape(-1, size, size, 4 * channels)  # rows, columns, then as in a block
    x = F.conv_transpose2d(x, weight.permute(0, 3, 1, 2))
    assert layer.bias is not None
    x = x.permute(0, 2, 3, 1)
    # Whole rows: twelve numbers are too few to be added fast.
    return (x.flatten(2) + layer.bias.repeat(4 * x.shape[2]).to(x.dtype)).view_as(x)


def to_input(frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 [B, 64, 64, 3] → floating [B, 3, 64, 64] in [0, 1], channels last in memory as it was."""
    return frames.to(dtype).div_(255).permute(0, 3, 1, 2)


def to_blocks(frames: Tensor) -> Tensor:
    """[B, 64, 64, 3] → [B, 32, 32, 12]: blocks of 2×2 pixels; in a block rows, columns, channels."""
    return frames.view(-1, 32, 2, 32, 2, 3).transpose(2, 3).flatten(3)


def from_blocks(blocks: Tensor) -> Tensor:
    """[B, 32, 32, 12] → [B, 64, 64, 3], contiguous: back from `to_blocks`."""
    return blocks.view(-1, 32, 32, 2, 2, 3).transpose(2, 3).reshape(-1, 64, 64, 3)
