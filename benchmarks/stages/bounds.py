"""What the machine's matrix products allow: operations per second, and operations per unit of each stage.

An operation is a multiplication or an addition. Only matrix products count, so a bound is never reached: everything else
a stage does comes on top. Layers' shapes are the weights' own, so nothing here repeats a number of the models.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.stages.timing import Work
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import VAE

#: Edge of the square matrices: large enough to be as fast as any, small enough to take turns with other work.
EDGES = {"cpu": 2048, "cuda": 8192}
#: A backward pass is two products for every one of the forward pass: for the inputs and for the weights.
TRAINING = 3


def matrix_product(device: str, dtype: torch.dtype) -> Work:
    """Returns the work of one square matrix product; its units are operations."""
    edge = EDGES[device.split(":")[0]]
    a, b = (torch.randn(edge, edge, device=device).to(dtype) for _ in range(2))

    def work() -> float:
        torch.mm(a, b)
        return 2.0 * edge**3

    return work


def _weights(*layers: nn.Module) -> float:
    return 2.0 * sum(p.numel() for layer in layers for name, p in layer.named_parameters() if name.endswith("weight"))


@torch.no_grad()
def encoder_operations(vae: VAE) -> float:
    """Returns the operations of V's encoder per frame: a convolution's weight works once for every output pixel."""
    x = torch.zeros(1, 3, 64, 64)
    total = _weights(vae.mu, vae.logvar)
    for layer in vae.encoder:
        x = layer(x)
        total += _weights(layer) * x[0, 0].numel()
    return total


@torch.no_grad()
def vae_operations(vae: VAE) -> float:
    """Returns the operations of V's forward pass per frame: a deconvolution's weight works once for every input pixel."""
    total = encoder_operations(vae) + _weights(vae.expand)
    x = torch.zeros(1, vae.expand.out_features, 1, 1)
    for layer in vae.decoder:
        total += _weights(layer) * x[0, 0].numel()
        x = layer(x)
    return total


def rnn_operations(rnn: MDNRNN) -> float:
    """Returns the operations of M's forward pass per time step: the gates and the output layer."""
    return 2.0 * (rnn.weight_ih.numel() + rnn.weight_hh.numel() + rnn.weight_out.numel())
