"""A mask an episode (Dropout's Dream Land, Wellmer & Kwok, 2021): every dream is M with another part of it left out.

A C that has found what one M gets wrong then meets another M in the next episode. A mask depends on its episode's seed alone,
as the episode's noise does; where a slot's dream goes on elsewhere without a new seed, on how often it has, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import Mask
from worldmodels.models.mdn_rnn import RNNSizes
from worldmodels.models.stepper import Masks
from worldmodels.models.uncertainty import draw_mask, masks_of


class EpisodeMasks:
    """What dropout leaves of M in each of N slots.

    Args:
        dropout: the share that is left out.
        device: where the slots are.
    """

    def __init__(self, num_slots: int, sizes: RNNSizes, dropout: float, device: str = "cpu") -> None:
        self._sizes, self._dropout = sizes, dropout
        self._seeds = np.zeros(num_slots, np.int64)
        self._turns = np.zeros(num_slots, np.int64)
        """How often a slot's dream has gone on elsewhere since it was given its seed."""
        self._rows = torch.ones(num_slots, sizes.latent_size + sizes.hidden_size, device=device)

    @property
    def now(self) -> Masks:
        """The slots' masks."""
        return masks_of(self._rows, self._sizes)

    def begin(self, mask: Mask, seeds: Sequence[int | None]) -> None:
        """Episodes begin in the slots of ``mask``, bool [N], with these seeds."""
        for slot in np.flatnonzero(mask):
            seed = seeds[int(slot)]
            assert seed is not None
            self._seeds[slot], self._turns[slot] = seed, 0
        self._draw(mask)

    def go_on(self, mask: Mask) -> None:
        """The dreams in the slots of ``mask`` go on elsewhere."""
        self._turns[mask] += 1
        self._draw(mask)

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` is false."""
        self._seeds, self._turns = self._seeds[keep], self._turns[keep]
        self._rows = self._rows[torch.from_numpy(keep).to(self._rows.device)]

    def _draw(self, mask: Mask) -> None:
        """Draws the masks of some slots; those of one seed and turn are one, as their noise is."""
        slots = np.flatnonzero(mask)
        if not len(slots):
            return
        drawn: dict[tuple[int, int], NDArray[np.float32]] = {}
        for slot in slots:
            key = int(self._seeds[slot]), int(self._turns[slot])
            if key not in drawn:
                rng = np.random.default_rng(derive_seed(key[0], "dream dropout", key[1]))
                drawn[key] = draw_mask(rng, self._sizes, self._dropout)
        rows = np.stack([drawn[int(self._seeds[slot]), int(self._turns[slot])] for slot in slots])
        where = torch.from_numpy(slots).to(self._rows.device)
        self._rows[where] = torch.from_numpy(rows).to(self._rows.device)
