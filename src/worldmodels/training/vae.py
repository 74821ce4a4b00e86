"""What the training loop needs of V: its data, its loss, its validation and the pictures of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.seeding import derive_seed
from worldmodels.config import VAEConfig
from worldmodels.data.augment import augment, draw_looks
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.sampling import FrameSampler, Split, held_out_frames
from worldmodels.models.vae import VAE
from worldmodels.runtime.slices import Slice, cut, each_alone, measured
from worldmodels.training.rare_pixels import RarePixels

#: Held-out frames that a validation looks at, at most.
VALIDATION_FRAMES = 512
#: Frames of it that are looked at together.
VALIDATION_BATCH = 128
#: Frames of the training data that say what usually stands in a pixel's place, at most.
USUAL_FRAMES = 512
#: Frames of it that TensorBoard shows.
SHEET_FRAMES = 10
#: V has collapsed when its reconstructions vary by less than this share of what the frames do, and when the KL exceeds the
#: floor below which it costs nothing by less than so many nats.
COLLAPSED_SPREAD, COLLAPSED_NATS = 0.01, 1.0


class VAETrainee:
    """V, its data and its loss."""

    def __init__(self, model: VAE, store: EpisodeStore, split: Split, config: VAEConfig, seed: int) -> None:
        self.model = model
        self._config, self._seed = config, seed
        self._device = next(model.parameters()).device
        training, held_out = split
        self._sampler = FrameSampler(store, training, config.batch_size, seed)
        num_frames = min(VALIDATION_FRAMES, int(store.lengths[held_out].sum()))
        self._held_out = torch.from_numpy(held_out_frames(store, held_out, num_frames, seed))
        self._rare = None
        if config.rare_weight:
            num_frames = min(USUAL_FRAMES, int(store.lengths[training].sum()))
            self._rare = RarePixels(torch.from_numpy(held_out_frames(store, training, num_frames, seed)))

    def slices(self, step: int, generator: torch.Generator) -> list[Slice]:
        """The slices of a step's batch."""
        frames, config = self._sampler.batch(step), self._config
        if not config.augment:
            return self._slices(torch.from_numpy(frames), generator)
        looks = draw_looks(config.augment, config.looks, len(frames), derive_seed(self._seed, "vae/augment", step))

        def augmented(rows: slice) -> Tensor:
            def noise_seed(row: int) -> int:
                return derive_seed(self._seed, "vae/augment/noise", step, rows.start + row)

            return torch.from_numpy(augment(frames[rows], looks, np.arange(rows.start, rows.stop), noise_seed))

        return self._slices(torch.from_numpy(frames), generator, augmented)

    def _slices(
        self, frames: Tensor, generator: torch.Generator, augmented: Callable[[slice], Tensor] | None = None
    ) -> list[Slice]:
        """Returns a batch's slices; ``augmented`` gives what V sees of some rows of the frames, else it sees them as they
        are."""
        config, device = self._config, self._device
        noise = torch.randn(len(frames), self.model.latent_size, generator=generator)

        def part(rows: slice) -> Slice:
            share = (rows.stop - rows.start) / len(frames)

            def of(vae: VAE) -> tuple[Tensor, dict[str, Tensor]]:
                plain = frames[rows]
                seen = plain if augmented is None else augmented(rows)
                target = plain if config.augment_target == "plain" else seen
                weights = None if self._rare is None else self._rare.weights(target, config.rare_weight).to(device)
                given = seen.to(device), noise[rows].to(device)
                shown = None if target is seen else target.to(device)
                loss, parts = vae.loss(*given, config.kl_tolerance, config.quartic_weight, weights, shown)
                return loss * share, {name: value * share for name, value in parts.items()}

            return of

        return [part(rows) for rows in cut(len(frames), config.num_slices, device)]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Reconstruction and KL on held-out frames, and how much the reconstructions differ from one another.

        ``recon_spread`` is the variance across frames of a reconstructed pixel over that of a real one: near 0, V has
        collapsed to one picture.
        """
        generator = torch.Generator().manual_seed(0)
        sums: dict[str, float] = {}
        batches = torch.split(self._held_out, VALIDATION_BATCH)
        for frames in batches:
            for name, value in measured(self.model, self._slices(frames, generator), self._device).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(frames) / len(self._held_out)
        if len(self._held_out) == 1:
            return {**sums, "recon_spread": 1.0}  # one picture differs from no other
        reconstructed = each_alone(batches, self._reconstruct, self._device)
        spread = torch.cat(reconstructed).float().var(0).mean() / self._held_out.float().var(0).mean().clamp(min=1e-6)
        return {**sums, "recon_spread": float(spread)}

    def _reconstruct(self, frames: Tensor) -> Tensor:
        mu, _ = self.model.encode_frames(frames.to(self._device))
        return self.model.decode_frames(mu).cpu()

    @torch.no_grad()
    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Held-out frames above what V makes of them."""
        frames = self._held_out[:SHEET_FRAMES]
        rows = (frames.numpy(), self._reconstruct(frames).numpy())
        return {"reconstructions": np.concatenate([np.concatenate(list(row), 1) for row in rows])}

    def warning(self, measured: Mapping[str, float]) -> str | None:
        """Says that V shows every frame alike while its latents carry no more than they may for nothing."""
        floor = self._config.kl_tolerance * self.model.latent_size
        if measured["recon_spread"] > COLLAPSED_SPREAD or measured["kl_loss"] > floor + COLLAPSED_NATS:
            return None
        return (
            f"V has collapsed, or has hardly begun: its reconstructions are all alike (they vary by "
            f"{measured['recon_spread']:.2%} of what the frames do) and the KL, {measured['kl_loss']:.2f}, is at its floor"
        )

    def carried(self) -> dict[str, Tensor]:
        """Nothing goes from step to step but the weights."""
        return {}

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Nothing to take back."""
