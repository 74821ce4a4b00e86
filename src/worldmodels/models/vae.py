"""V, the convolutional variational autoencoder (Ha & Schmidhuber 2018, section 2.1 and appendix A.1).

    μ, log σ² = encoder(x),    z = μ + σ ε with ε ~ N(0, 1),    y = decoder(z)
    loss = Σ (y - x)² + max(KL(N(μ, σ²) ‖ N(0, 1)), tolerance · Z), mean over frames

What makes it fast is in `vae_kernels`, which also says what it costs to do without.

Shapes: B batch, Z latent. Frames are [B, 3, 64, 64] in [0, 1] inside and uint8 [B, 64, 64, 3] outside.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.models.precision import autocast, compute_dtype, device_of, enough_rows, first_rows
from worldmodels.models.vae_kernels import (
    PictureError,
    add_bias,
    convolve_small,
    deconvolve_point,
    deconvolve_to_blocks,
    from_blocks,
    relu,
    to_blocks,
    to_input,
)

#: Pictures of at most this many rows are convolved as one matrix product: of many frames, and of the few that games show.
PRODUCT_SIZE, FEW_FRAMES_PRODUCT_SIZE = 6, 14


class VAE(nn.Module):
    """Encoder: four 4×4 convolutions of stride 2; decoder: a dense layer and four deconvolutions, sigmoid at the end.

    4,348,547 parameters with Z = 32 and 4,446,915 with Z = 64, the paper's counts.

    Args:
        latent_size: Z.
        width: W, a multiple of the paper's channels in every layer.
    """

    def __init__(self, latent_size: int, width: int = 1) -> None:
        super().__init__()
        self.latent_size = latent_size
        sizes = [3, 32 * width, 64 * width, 128 * width, 256 * width]
        self.encoder = nn.ModuleList(nn.Conv2d(i, o, 4, stride=2) for i, o in pairwise(sizes))
        self.mu = nn.Linear(1024 * width, latent_size)
        self.logvar = nn.Linear(1024 * width, latent_size)
        self.expand = nn.Linear(latent_size, 1024 * width)
        layers = ((1024 * width, 128 * width, 5), (128 * width, 64 * width, 5), (64 * width, 32 * width, 6), (32 * width, 3, 6))
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
        x = x.permute(0, 2, 3, 1).flatten(1)  # [B, 1024 W] in TensorFlow's order: rows, columns, channels
        return self.mu(x), self.logvar(x)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Returns the frames before the sigmoid, of latents [B, Z], in blocks of 2×2 pixels: [B, 32, 32, 12] (`to_blocks`)."""
        first, *others, last = (layer for layer in self.decoder if isinstance(layer, nn.ConvTranspose2d))
        x = relu(deconvolve_point(self.expand(z), first))  # [B, 128 W, 5, 5]
        for layer in others:
            x = relu(add_bias(F.conv_transpose2d(x, layer.weight, stride=2), layer))
        return deconvolve_to_blocks(x, last)

    def loss(
        self,
        frames: Tensor,
        noise: Tensor,
        kl_tolerance: float,
        quartic_weight: float = 0.0,
        pixel_weights: Tensor | None = None,
        target: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The original's loss: squared error summed over pixels + max(KL, tolerance · Z), averaged over the batch.

        Args:
            frames: uint8 [B, 64, 64, 3].
            noise: standard normal [B, Z], for the reparametrisation.
            kl_tolerance: nats per latent below which the KL is not pushed.
            quartic_weight: of the pixels' errors to the fourth, which are added to their squares (not the original's).
            pixel_weights: how much each number of each frame weighs, floating [B, 64, 64, 3]; None: 1, the original's.
            target: what V is to make of the frames, uint8 [B, 64, 64, 3]; None: the frames themselves.

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
        weights = None if pixel_weights is None else to_blocks(pixel_weights)
        error, squared = PictureError.apply(  # type: ignore[no-untyped-call]
            logits, to_blocks(frames if target is None else target), quartic_weight, weights
        )
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


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, 1)) in nats, summed over the latents: [B, Z], [B, Z] → [B]."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1)
