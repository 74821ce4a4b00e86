"""What M remembers along recorded episodes.

Shapes: N episodes that are still running, Z latent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import FULL_HEALTH
from worldmodels.data.latents import LatentStore
from worldmodels.models.mdn_rnn import RNNState
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.world_model import WorldModel
from worldmodels.worlds.state import WorldState


class Recorded(NamedTuple):
    """A step of the episodes: its rows in the store, int64 [N]; mu, float32 [N, Z]; the state before it, where health is taken
    to be full; and M's state after it."""

    rows: NDArray[np.int64]
    mu: Tensor
    before: WorldState
    after: RNNState


@torch.no_grad()
def recorded_states(world_model: WorldModel, store: LatentStore, episodes: NDArray[np.int64], seed: int) -> Iterator[Recorded]:
    """Has M follow what was done in some episodes, side by side, and yields step by step; z is drawn anew.

    Args:
        episodes: their numbers, int64 [E].
        seed: of the draws.
    """
    device = world_model.initial.mu.device
    longest_first = episodes[np.argsort(-store.lengths[episodes], kind="stable")]
    stepper, state = MDNStepper(world_model.rnn, torch.float32), world_model.rnn.initial_state(len(episodes))
    generator = torch.Generator().manual_seed(seed)
    for step in range(int(store.lengths[longest_first[0]])):
        num = int((store.lengths[longest_first] > step).sum())
        rows = store.offsets[longest_first[:num]] + step
        mu, logvar = (torch.from_numpy(array[rows].astype(np.float32)) for array in (store.mu, store.logvar))
        z = mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape, generator=generator)
        mu, z, action = mu.to(device), z.to(device), torch.from_numpy(store.action[rows]).to(device)
        state = RNNState(*(part[:num] for part in state))
        restart = torch.full((num,), float(step == 0), device=device)
        before = WorldState(z, state, restart, np.full(num, step), torch.full((num,), FULL_HEALTH, device=device))
        state = stepper.step(z, action, restart, state)
        yield Recorded(rows, mu, before, state)
