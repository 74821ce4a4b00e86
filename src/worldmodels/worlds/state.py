"""Where slots are in a world, so that a dream can go on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import FULL_HEALTH, Mask
from worldmodels.models.mdn_rnn import RNNState


@dataclass(frozen=True)
class WorldState:
    """Where slots are in a world: what V saw last and what M remembers, so that a dream can go on from there.

    ``z`` float32 [N, Z], ``state`` M's, ``restart`` float32 [N] (1 before an episode's first step), ``num_steps`` int64 [N],
    ``health`` float32 [N], of 100.
    """

    z: Tensor
    state: RNNState
    restart: Tensor
    num_steps: NDArray[np.int64]
    health: Tensor

    def only(self, which: slice | NDArray[np.bool_] | NDArray[np.int64]) -> WorldState:
        """Returns the state of some slots: a slice, a mask bool [N] or numbers int64 [M]."""
        where = which if isinstance(which, slice) else torch.as_tensor(which, device=self.z.device)
        state = RNNState(*(part[where] for part in self.state))
        return WorldState(self.z[where], state, self.restart[where], self.num_steps[which], self.health[where])

    def begin(self, mask: Mask) -> None:
        """Episodes begin in the slots of ``mask``, bool [N], in place: all but their ``z``."""
        begun = torch.from_numpy(mask).to(self.restart.device)
        self.restart[begun] = 1
        self.num_steps[mask] = 0
        self.health[begun] = FULL_HEALTH
        for part in self.state:
            part[begun] = 0

    @staticmethod
    def joined(states: Sequence[WorldState]) -> WorldState:
        """Concatenates states along the slots."""
        state = RNNState(*(torch.cat(parts) for parts in zip(*(each.state for each in states), strict=True)))
        z, restart, health = (torch.cat([getattr(each, name) for each in states]) for name in ("z", "restart", "health"))
        return WorldState(z, state, restart, np.concatenate([each.num_steps for each in states]), health)


def copy_state(world_state: WorldState) -> WorldState:
    """Returns a deep copy."""
    state = RNNState(*(part.clone() for part in world_state.state))
    return WorldState(
        world_state.z.clone(), state, world_state.restart.clone(), world_state.num_steps.copy(), world_state.health.clone()
    )
