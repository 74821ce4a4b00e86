"""What M does not know: how far its predictions differ when a part of it is left out (Gal & Ghahramani, 2016).

K masks are drawn once, the same ones for every state and every model of a size. From a state, M predicts the next latent with
each of them; M's uncertainty is the variance of these predictions,

    u = 1/Z Σ_i 1/K Σ_k (m_ki - m̄_i)²,    m_ki = Σ_j π_kij μ_kij,    m̄_i = 1/K Σ_k m_ki

where m_k is the mean of the mixture of the next z with mask k. How widely a mixture spreads does not count: M may be sure that
the next step is a matter of luck. It means something for an M that was trained with dropout (``train-rnn --input-dropout
--recurrent-dropout``).

Shapes: N slots, K masks, Z latent, H hidden.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.seeding import derive_seed
from worldmodels.models.mdn_rnn import RNNSizes, RNNState
from worldmodels.models.stepper import Masks, MDNStepper


def draw_mask(rng: np.random.Generator, sizes: RNNSizes, dropout: float) -> NDArray[np.float32]:
    """Draws a mask, float32 [Z + H]: 0 with the chance ``dropout``, else 1 / (1 - dropout), as in M's training."""
    kept = rng.random(sizes.latent_size + sizes.hidden_size, np.float32) >= np.float32(dropout)
    return kept.astype(np.float32) / np.float32(1 - dropout)


def masks_of(rows: Tensor, sizes: RNNSizes) -> Masks:
    """Returns the masks of rows float32 [N, Z + H]."""
    return Masks(rows[:, : sizes.latent_size], rows[:, sizes.latent_size :])


class Uncertainty:
    """M's uncertainty in any state.

    Args:
        stepper: M's.
        num_masks: K.
        dropout: the share that each mask leaves out.
        device: where M is.
    """

    def __init__(self, stepper: MDNStepper, num_masks: int, dropout: float, device: str = "cpu") -> None:
        self._stepper = stepper
        generators = [np.random.default_rng(derive_seed(0, "uncertainty", index)) for index in range(num_masks)]
        rows = np.stack([draw_mask(rng, stepper.sizes, dropout) for rng in generators])
        self._masks = masks_of(torch.from_numpy(rows).to(device), stepper.sizes)

    @torch.no_grad()
    def of(self, z: Tensor, action: Tensor, restart: Tensor, state: RNNState) -> Tensor:
        """Returns u before a step, float32 [N]: z [N, Z], action [N, A], restart [N], and M's state before it."""
        hiddens = self._stepper.hidden_by_mask(z, action, restart, state, self._masks)
        means = [self._stepper.expected(hidden) for hidden in hiddens]
        # Summed one by one: a sum over a dimension is taken in an order that depends on the number of slots.
        middle = functools.reduce(torch.add, means) / len(means)
        return (functools.reduce(torch.add, [(mean - middle).square() for mean in means]) / len(means)).mean(1)
