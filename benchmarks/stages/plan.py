"""What is measured, on what, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.stages import bounds
from benchmarks.stages.timing import Work, rates
from worldmodels.config import Preset
from worldmodels.envs.task import Task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.precision import compute_dtype
from worldmodels.models.sizes import own_sizes
from worldmodels.models.vae import VAE
from worldmodels.models.world_model import InitialLatents, WorldModel

#: The scale whose settings are measured.
SCALE = "laptop"


@dataclass(frozen=True)
class Bench:
    """What the measurements share.

    ``seconds`` is how long a measurement goes on, and its baseline as long again.
    """

    spec: Task
    folder: Path
    device: str
    seconds: float

    @property
    def preset(self) -> Preset:
        """The settings that are measured."""
        return self.spec.preset(SCALE)

    def measure(self, ours: Work, *others: Work, operations: float) -> tuple[float, ...]:
        """Returns units/s of our way, of other ways, and at last of matrix products alone with so many operations a unit."""
        product = bounds.matrix_product(self.device, compute_dtype(self.device))
        seconds = [self.seconds] * (1 + len(others)) + [self.seconds / 4]
        *found, bound = rates([ours, *others, product], seconds, self.device)
        return (*found, bound / operations)

    def model(self) -> WorldModel:
        """Makes V and M with random weights on the CPU; the done head never ends an episode."""
        torch.manual_seed(0)
        vae, rnn = VAE(self.spec.latent_size).eval(), MDNRNN(own_sizes(self.spec)).eval()
        if self.spec.done_head:
            with torch.no_grad():
                rnn.bias_out[0] = -100.0
        latents = torch.randn(256, self.spec.latent_size)
        return WorldModel(self.spec, vae, rnn, InitialLatents(latents, torch.zeros_like(latents)))
