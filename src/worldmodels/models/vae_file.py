"""V's files: in a model's folder the decoder's first two linear layers are stored as their product.

The dense layer and the first deconvolution have no nonlinearity between them. Their product has 128 · 5 · 5 · (Z + 1) numbers,
the two layers 3.3 million, three quarters of V. Read back, V has the paper's layers again, of whose 1,024 channels in between
Z + 1 are used; the function is the same.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from worldmodels.base.errors import UserError
from worldmodels.base.tensors import fill_module, load_numbers, save_tensors
from worldmodels.models.vae import VAE

#: The name of the map: [Z + 1, 128, 5, 5], a row for each latent and one that is always added.
OPENING = "opening"
TWO_LAYERS = ("expand.weight", "expand.bias", "decoder.0.weight", "decoder.0.bias")


@torch.no_grad()
def save_vae(path: Path, vae: VAE) -> None:
    """Writes V's weights in the type that they have. Raises what `save_tensors` does."""
    tensors = dict(vae.named_parameters())
    weight, bias, deconvolution, added = (tensors.pop(name).float() for name in TWO_LAYERS)
    rows = torch.cat([weight.T, bias[None]])  # [Z + 1, 1024]
    opening = (rows @ deconvolution.flatten(1)).view(-1, *deconvolution.shape[1:])
    opening[-1] += added[:, None, None]
    save_tensors(path, {**tensors, OPENING: opening.to(vae.mu.weight.dtype)})


@torch.no_grad()
def load_vae(path: Path, vae: VAE) -> None:
    """Fills V from a file of `save_vae`, or one of the two layers (a run's). Raises what `load_module` does."""
    tensors = load_numbers(path)
    if OPENING in tensors:
        tensors |= _two_layers(path, tensors.pop(OPENING), vae)
    fill_module(path, vae, tensors)


def _two_layers(path: Path, opening: Tensor, vae: VAE) -> dict[str, Tensor]:
    """Returns the dense layer, which leaves every latent as it is and puts a 1 beside them, and the deconvolution of these."""
    layers = [torch.zeros_like(vae.get_parameter(name)) for name in TWO_LAYERS]
    weight, bias, deconvolution, _ = layers
    num_rows, wanted = vae.latent_size + 1, deconvolution.shape[1:]
    if opening.shape != (num_rows, *wanted):
        raise UserError(f"{path}: '{OPENING}' has shape {tuple(opening.shape)}; this task's model has {(num_rows, *wanted)}")
    weight[: vae.latent_size] = torch.eye(vae.latent_size)
    bias[vae.latent_size] = 1
    deconvolution[:num_rows] = opening
    return dict(zip(TWO_LAYERS, layers, strict=True))
