"""V and M together, and the folder that ships them with C: what `evaluate`, the dream and a player load.

model/
  config.json                    task, sizes, what C sees, the temperature of its dream, hashes
  vae.safetensors  rnn.safetensors  controller.safetensors
  initial_latents.safetensors    mu, logvar float16 [I, Z]: the dream's first frames
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.tensors import load_numbers
from worldmodels.envs.task import Task
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.precision import device_of
from worldmodels.models.vae import VAE


@dataclass(frozen=True)
class InitialLatents:
    """The dream's first frames as V sees them: ``mu`` and ``logvar``, float32 [I, Z]."""

    mu: Tensor
    logvar: Tensor


@dataclass(frozen=True)
class WorldModel:
    """V, M and the dream's beginnings, for one task."""

    spec: Task
    vae: VAE
    rnn: MDNRNN
    initial: InitialLatents

    @property
    def sizes(self) -> RNNSizes:
        """The sizes of V and M."""
        return self.rnn.sizes

    def on(self, device: str) -> WorldModel:
        """Returns it on a device: itself if it is there, else a copy."""
        if device_of(self.rnn) == device:
            return self
        initial = InitialLatents(self.initial.mu.to(device), self.initial.logvar.to(device))
        return WorldModel(self.spec, copy.deepcopy(self.vae).to(device), copy.deepcopy(self.rnn).to(device), initial)


#: The largest |mu|, and the largest logvar, of a latent: beyond them a draw exceeds 1,000,000, which M makes NaN of.
LARGEST = {"mu": 1e6, "logvar": 2 * math.log(1e6)}


def load_initial_latents(path: Path, latent_size: int) -> InitialLatents:
    """Reads initial latents. Raises `BadFileError`, or `UserError` if they are not of the model's size."""
    tensors = load_numbers(path)
    try:
        mu, logvar = tensors["mu"], tensors["logvar"]
    except KeyError as error:
        raise BadFileError(f"{path}: {error} is missing") from None
    if mu.shape != logvar.shape or mu.ndim != 2 or not len(mu):
        raise BadFileError(f"{path}: mu has shape {tuple(mu.shape)} and logvar {tuple(logvar.shape)}")
    if mu.shape[1] != latent_size:
        raise UserError(f"{path}: latents of size {mu.shape[1]}; the model's have {latent_size}")
    for name, largest in (("mu", float(mu.abs().max())), ("logvar", float(logvar.max()))):
        if largest > (bound := LARGEST[name]):
            raise BadFileError(f"{path}: '{name}' goes up to {largest:g}; what V makes of a frame stays below {bound:g}")
    return InitialLatents(mu, logvar)
