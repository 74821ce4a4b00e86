"""V, the convolutional variational autoencoder (Ha & Schmidhuber 2018, appendix A.1).

Shapes: B batch, Z latent. Frames are [B, 3, 64, 64] in [0, 1] inside and uint8 [B, 64, 64, 3] outside.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.models.precision import autocast, device_of

#: Pictures of at most this many rows are convolved as one matrix product where no gradient is asked for.
PRODUCT_SIZE = 14


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

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mu and logvar, both [B, Z], of frames [B, 3, 64, 64] in [0, 1]."""
        for layer in self.encoder:
            assert isinstance(layer, nn.Conv2d)
            small = x.shape[2] <= PRODUCT_SIZE and not torch.is_grad_enabled()
            x = F.relu(convolve_small(x, layer) if small else layer(x))
        x = x.permute(0, 2, 3, 1).flatten(1)  # [B, 1024] in TensorFlow's order: rows, columns, channels
        return self.mu(x), self.logvar(x)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Returns the frames [B, 3, 64, 64] before the sigmoid, of latents [B, Z]."""
        x = self.expand(z)[:, :, None, None]
        # On a 1×1 input the first deconvolution is a matrix product, and torch is faster at those.
        weight, bias = self.decoder[0].get_parameter("weight"), self.decoder[0].get_parameter("bias")
        channels, size = weight.shape[1], weight.shape[2]
        x = F.linear(x.flatten(1), weight.permute(2, 3, 1, 0).flatten(0, 2), bias.repeat(size * size))
        x = x.view(-1, size, size, channels).permute(0, 3, 1, 2)
        for layer in self.decoder[1:]:
            x = layer(F.relu(x))
        return torch.as_tensor(x)

    def loss(self, frames: Tensor, noise: Tensor, kl_tolerance: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The original's loss: squared error summed over pixels + max(KL, tolerance · Z), averaged over the batch.

        Args:
            frames: uint8 [B, 64, 64, 3].
            noise: standard normal [B, Z], for the reparametrisation.
            kl_tolerance: nats per latent below which the KL is not pushed.

        Returns:
            The loss and its parts: ``recon_loss``, ``kl_loss`` (as measured, without the tolerance).
        """
        x = to_input(frames)
        with autocast(device_of(self)):
            mu, logvar = self.encode(x)
            mu, logvar = mu.float(), logvar.float()
            z = mu + torch.exp(0.5 * logvar) * noise
            logits = self.decode_logits(z)
        recon = (torch.sigmoid(logits.float()) - x).square().sum((1, 2, 3))  # [B]
        kl = kl_to_standard_normal(mu, logvar)  # [B]
        loss = (recon + kl.clamp(min=kl_tolerance * self.latent_size)).mean()
        return loss, {"recon_loss": recon.mean().detach(), "kl_loss": kl.mean().detach()}

    @torch.no_grad()
    def encode_frames(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mu and logvar, float32 [B, Z], of frames uint8 [B, 64, 64, 3]."""
        with autocast(device_of(self)):
            mu, logvar = self.encode(to_input(frames))
        return mu.float(), logvar.float()

    @torch.no_grad()
    def decode_frames(self, z: Tensor) -> Tensor:
        """Returns frames uint8 [B, 64, 64, 3] of latents [B, Z]."""
        with autocast(device_of(self)):
            logits = self.decode_logits(z)
        return (torch.sigmoid(logits.float()) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def convolve_small(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """A 4×4 convolution of stride 2 as one matrix product: on small pictures torch's own takes up to thrice the time.

    Channels last, a row of a window is one piece of memory, so that gathering the windows costs next to nothing.

    Args:
        x: [B, I, S, S], channels last in memory.
        layer: its weight is [O, I, 4, 4].

    Returns:
        [B, O, S', S'] with S' = S // 2 - 1, channels last in memory.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    batch, channels, size, _ = x.shape
    out = size // 2 - 1
    strides = (size * size * channels, 2 * size * channels, 2 * channels, size * channels, 1)
    windows = x.as_strided((batch, out, out, 4, 4 * channels), strides).reshape(-1, 16 * channels)
    y = F.linear(windows, layer.weight.permute(0, 2, 3, 1).flatten(1), layer.bias)
    return y.view(batch, out, out, -1).permute(0, 3, 1, 2)


def to_input(frames: Tensor) -> Tensor:
    """uint8 [B, 64, 64, 3] → float32 [B, 3, 64, 64] in [0, 1], channels last in memory as it was."""
    return (frames.float() / 255).permute(0, 3, 1, 2)


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, 1)) in nats, summed over the latents: [B, Z], [B, Z] → [B]."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1)
