"""Coordinates for the search of C in which what C sees has one scale: its principal components.

M's hidden and cell states are highly correlated, and their variances differ widely: isotropic steps in the weights mostly
affect high-variance features. Along the principal components of the features, each scaled to a second moment of 1, steps of
one size change C's output equally, and components with almost no variance can be left out. C is still linear in its features;
only the search's coordinates change.

F features, K components, O outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.base.errors import UserError
from worldmodels.base.seeding import derive_seed
from worldmodels.config import ControllerInputs
from worldmodels.data.latents import LatentStore
from worldmodels.models.controller import features, layer_sizes
from worldmodels.models.world_model import WorldModel
from worldmodels.worlds.recorded import recorded_states

#: Recorded episodes that are looked at, and how many of their steps lie between two looks.
NUM_EPISODES = 256
STRIDE = 5
#: A component whose second moment is a smaller share of the largest one's is rounding: where fewer states were seen than C has
#: features, scaling it up would make C and the critic overflow.
LEAST = 1e-12


@torch.no_grad()
def recorded_features(world_model: WorldModel, inputs: ControllerInputs, store: LatentStore, seed: int) -> NDArray[np.float64]:
    """Returns what C would have seen along recorded episodes, float64 [steps, F]."""
    chosen = np.unique(np.linspace(0, store.num_episodes - 1, NUM_EPISODES).round().astype(np.int64))
    moments = recorded_states(world_model, store, chosen, derive_seed(seed, "controller/components"))
    seen = [
        features(mu, before.z, before.state.hidden, before.state.cell, inputs)
        for step, (_, mu, before, _) in enumerate(moments)
        if step % STRIDE == 0
    ]
    return torch.cat(seen).double().cpu().numpy()


def scaled_components(seen: NDArray[np.float64], num_components: int) -> NDArray[np.float64]:
    """Returns the principal components of features that hold anything, each scaled to a second moment of 1.

    Args:
        seen: float64 [steps, F].
        num_components: how many at most.

    Returns:
        float64 [F, K], what holds most first: features times it are the components.
    """
    moment, vectors = np.linalg.eigh(seen.T @ seen / len(seen))
    num = min(num_components, np.count_nonzero(moment > LEAST * moment[-1]))
    kept: NDArray[np.float64] = vectors[:, ::-1][:, :num] / np.sqrt(moment[::-1][:num])
    return kept


def principal_components(
    world_model: WorldModel, inputs: ControllerInputs, seen: NDArray[np.float64], num_components: int
) -> NDArray[np.float64]:
    """Returns the coordinates' basis, float64 [parameters, K · O]: a solution is the basis times what CMA-ES searches in.

    Args:
        seen: features float64 [steps, F], from `recorded_features`.
        num_components: K, or as many as there are.

    Raises:
        UserError: C has a hidden layer.
    """
    layers = layer_sizes(world_model.sizes, inputs)
    if len(layers) != 1:
        raise UserError(f"num_components is {num_components}; C on {inputs} has a hidden layer: leave it 0")
    outputs, bias = layers[0][1], world_model.spec.controller_bias
    if bias:  # a feature that is always 1; C keeps its biases first
        seen = np.concatenate([np.ones((len(seen), 1)), seen], 1)
    kept = scaled_components(seen, num_components)  # [F (+ 1), K]
    # Of a layer first the O biases, then the weights [O, F]; each output has components of its own.
    biases, weights = np.split(kept, [int(bias)])
    return np.concatenate([np.kron(np.eye(outputs), part) for part in (biases, weights)])
