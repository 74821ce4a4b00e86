"""V, the convolutional variational autoencoder (Ha & Schmidhuber 2018, appendix A.1).

Shapes: B batch, Z latent. Frames are [B, 3, 64, 64] in [0, 1] inside and uint8 [B, 64, 64, 3] outside.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.models.precision import autocast, compute_dtype, device_of, enough_rows, first_rows

#: Pictures of at most this many rows are convolved as one matrix product: of many frames, and of the few that games show.
PRODUCT_SIZE, FEW_FRAMES_PRODUCT_SIZE = 6, 14
#: Frames whose error is worked on together: what they need fits a core's second-level cache.
ERROR_FRAMES = 16


class VAE(nn.Module):
    """Encoder: four 4×4 convolutions of stride 2; decoder: a dense layer and four deconvolutions, sigmoid at the end.

    4,348,547 parameters with Z = 32 and 4,446,915 with Z = 64, the paper's counts.

    Args:
        latent_size: Z.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.latent_size = latent_size
        sizes = [3, 32, 64, 128, 256]
        self.encoder = nn.ModuleList(nn.Conv2d(i, o, 4, stride=2) for i, o in pairwise(sizes))
        self.mu = nn.Linear(1024, latent_size)
        self.logvar = nn.Linear(1024, latent_size)
        self.expand = nn.Linear(latent_size, 1024)
        layers = ((1024, 128, 5), (128, 64, 5), (64, 32, 6), (32, 3, 6))
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(i, o, kernel, stride=2) for i, o, kernel in layers)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, x: Tensor, product_size: int = PRODUCT_SIZE) -> tuple[Tensor, Tensor]:
        """Returns mu and logvar, both [B, Z], of frames [B, 3, 64, 64] in [0, 1].

        Args:
            product_size: pictures of at most this many rows are convolved as one matrix product.
        """
        for layer in self.encoder:
            assert isinstance(layer, nn.Conv2d)
            x = relu(convolve_small(x, layer) if x.shape[2] <= product_size else layer(x))
        x = x.permute(0, 2, 3, 1).flatten(1)  # [B, 1024] in TensorFlow's order: rows, columns, channels
        return self.mu(x), self.logvar(x)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Returns the frames before the sigmoid, of latents [B, Z], in blocks of 2×2 pixels: [B, 32, 32, 12] (`to_blocks`)."""
        first, *others, last = (layer for layer in self.decoder if isinstance(layer, nn.ConvTranspose2d))
        # On a 1×1 input a deconvolution is a matrix product.
        weight = first.weight.permute(0, 2, 3, 1)
        size, channels = weight.shape[2:]
        assert first.bias is not None
        x = relu(F.linear(self.expand(z), weight.flatten(1).T, first.bias.repeat(size * size)))
        x = x.view(-1, size, size, channels).permute(0, 3, 1, 2)
        for layer in others:
            x = relu(add_bias(F.conv_transpose2d(x, layer.weight, stride=2), layer))
        # Three channels are too few for a processor's registers: the last deconvolution, of 6×6 pixels and stride 2, is one
        # of 3×3 blocks and stride 1.
        channels, size = last.weight.shape[1], last.weight.shape[2] // 2
        weight = last.weight.permute(0, 2, 3, 1).reshape(-1, size, 2, size, 2, channels)
        weight = weight.transpose(2, 3).reshape(-1, size, size, 4 * channels)  # rows, columns, then as in a block
        x = F.conv_transpose2d(x, weight.permute(0, 3, 1, 2))
        assert last.bias is not None
        x = x.permute(0, 2, 3, 1)
        # Whole rows: twelve numbers are too few to be added fast.
        return (x.flatten(2) + last.bias.repeat(4 * x.shape[2]).to(x.dtype)).view_as(x)

    def loss(
        self, frames: Tensor, noise: Tensor, kl_tolerance: float, quartic_weight: float = 0.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The original's loss: squared error summed over pixels + max(KL, tolerance · Z), averaged over the batch.

        Args:
            frames: uint8 [B, 64, 64, 3].
            noise: standard normal [B, Z], for the reparametrisation.
            kl_tolerance: nats per latent below which the KL is not pushed.
            quartic_weight: of the pixels' errors to the fourth, which are added to their squares (not the original's).

        Returns:
            The loss and its parts: ``recon_loss`` (the squared error alone), ``kl_loss`` (as measured, without the tolerance).
        """
        device = device_of(self)
        with autocast(device):
            mu, logvar = self.encode(to_input(frames, compute_dtype(device)))
            mu, logvar = mu.float(), logvar.float()
            z = mu + torch.exp(0.5 * logvar) * noise
            logits = self.decode_logits(z)
        error: Tensor
        error, squared = PictureError.apply(logits, to_blocks(frames), quartic_weight)  # type: ignore[no-untyped-call]
        kl = kl_to_standard_normal(mu, logvar)  # [B]
        loss = (error + kl.clamp(min=kl_tolerance * self.latent_size)).mean()
        return loss, {"recon_loss": squared.mean(), "kl_loss": kl.mean().detach()}

    @torch.no_grad()
    def encode_frames(self, frames: Tensor, many: bool = False) -> tuple[Tensor, Tensor]:
        """Returns mu and logvar, float32 [B, Z], of frames uint8 [B, 64, 64, 3]: on one thread the same bits at any B.

        Args:
            many: as is fastest from some 64 frames on; a sum may round otherwise.
        """
        device, num_frames = device_of(self), len(frames)
        (frames,) = enough_rows(frames)
        with autocast(device):
            x = to_input(frames, compute_dtype(device))
            mu, logvar = self.encode(x, PRODUCT_SIZE if many else FEW_FRAMES_PRODUCT_SIZE)
        mu, logvar = first_rows(num_frames, mu, logvar)
        return mu.float(), logvar.float()

    @torch.no_grad()
    def decode_frames(self, z: Tensor) -> Tensor:
        """Returns frames uint8 [B, 64, 64, 3] of latents [B, Z]."""
        with autocast(device_of(self)):
            logits = self.decode_logits(z)
        return from_blocks((torch.sigmoid(logits.float()) * 255).round().to(torch.uint8))


class PictureError(torch.autograd.Function):
    """Squared error d² summed over a frame's pixels, or d² + w d⁴ with a weight w; the gradient is written down, not traced.

    Forward: logits [B, 32, 32, 12] of any floating type, before the sigmoid; frames uint8, as large; w → the error, float32
    [B], and the squared error alone, which has no gradient.

    Made a few frames at a time, the gradient (2 d + 4 w d³) y (1 - y) with them, d = y - x, so that nothing of the size of the
    batch is kept in float32.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, frames: Tensor, quartic_weight: float) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        squared_error = torch.empty(len(logits), device=logits.device)
        quartic_error = torch.zeros_like(squared_error)
        # A GPU has no use for small pieces.
        step = ERROR_FRAMES if logits.device.type == "cpu" else len(logits)
        for start in range(0, len(logits), step):
            part = slice(start, start + step)
            picture = torch.sigmoid(logits[part].float())
            difference = picture - frames[part].float() / 255
            squared = difference.square()
            squared_error[part] = squared.sum((1, 2, 3))
            if quartic_weight:
                quartic_error[part] = squared.square().sum((1, 2, 3))
            if gradient is not None:
                steepness = squared.mul_(4 * quartic_weight).add_(2) if quartic_weight else 2
                # y (1 - y) = y - y²
                gradient[part] = torch.addcmul(picture, picture, picture, value=-1).mul_(difference).mul_(steepness)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(squared_error)
        return squared_error + quartic_weight * quartic_error, squared_error

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype)[:, None, None, None], None, None


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


def to_input(frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 [B, 64, 64, 3] → floating [B, 3, 64, 64] in [0, 1], channels last in memory as it was."""
    return frames.to(dtype).div_(255).permute(0, 3, 1, 2)


def to_blocks(frames: Tensor) -> Tensor:
    """[B, 64, 64, 3] → [B, 32, 32, 12]: blocks of 2×2 pixels; in a block rows, columns, channels."""
    return frames.view(-1, 32, 2, 32, 2, 3).transpose(2, 3).flatten(3)


def from_blocks(blocks: Tensor) -> Tensor:
    """[B, 32, 32, 12] → [B, 64, 64, 3], contiguous: back from `to_blocks`."""
    return blocks.view(-1, 32, 32, 2, 2, 3).transpose(2, 3).reshape(-1, 64, 64, 3)


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, 1)) in nats, summed over the latents: [B, Z], [B, Z] → [B]."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1)
