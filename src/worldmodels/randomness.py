"""Noise for many episodes at once, each with its own seed: what an episode sees depends on that seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from worldmodels.worlds import Mask

#: Steps that are drawn ahead.
BLOCK_STEPS = 32


class EpisodeNoise:
    """Uniform and normal numbers for N slots, one row per slot and step.

    Slots that begin together with the same seed share one stream: the candidates of a generation all meet the same
    16 seeds, and 1,024 slots then cost what 16 do.

    The streams are drawn on the CPU, so that they are the same wherever the slots are.

    Args:
        size: numbers of each kind per step.
        device: where the slots are.
    """

    def __init__(self, num_slots: int, size: int, device: str = "cpu") -> None:
        self._size, self._device = size, device
        self._stream = torch.full((num_slots,), -1)  # slot → row of the streams; -1 before its first episode
        self._generators: list[tuple[np.random.Generator, np.random.Generator]] = []
        self._numbers = np.zeros((2, 0, BLOCK_STEPS, size), np.float32)  # uniform and normal
        self._position = 0
        self._send()

    def _send(self) -> None:
        """Puts streams and numbers where the slots are (on the CPU: nothing is copied)."""
        self._slot_stream = self._stream.clamp(min=0).to(self._device)
        self._slot_numbers = torch.from_numpy(self._numbers).to(self._device)

    def begin(self, mask: Mask, seeds: Sequence[int | None]) -> tuple[Tensor, Tensor]:
        """Episodes begin in the slots of ``mask``; a slot's seed decides all its numbers.

        Returns:
            The first uniform and normal numbers of those slots, float32 [N, size] each, zeros elsewhere. The slots that play
            on keep their places in their streams.
        """
        self._drop_unused(~mask)
        first = len(self._generators)
        row_of: dict[int, int] = {}
        for slot in np.flatnonzero(mask):
            seed = seeds[int(slot)]
            assert seed is not None
            if seed not in row_of:
                row_of[seed] = first + len(row_of)
                self._generators.append((np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])))
            self._stream[slot] = row_of[seed]
        firsts = torch.zeros(2, len(mask), self._size)
        if not mask.any():
            self._send()
            return firsts[0].to(self._device), firsts[1].to(self._device)
        begun = self._generators[first:]
        uniform = np.stack([generators[0].random(self._size, np.float32) for generators in begun])
        normal = np.stack([generators[1].standard_normal(self._size, np.float32) for generators in begun])
        fresh = np.zeros((2, len(row_of), BLOCK_STEPS, self._size), np.float32)
        self._numbers = np.concatenate([self._numbers, fresh], 1)
        # All streams are refilled at the same time, so a new one fills only what is left of the block.
        self._fill(range(first, len(self._generators)), self._position)
        slots = torch.from_numpy(mask)
        row = self._stream[slots] - first
        firsts[0, slots], firsts[1, slots] = torch.from_numpy(uniform)[row], torch.from_numpy(normal)[row]
        self._send()
        return firsts[0].to(self._device), firsts[1].to(self._device)

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` is false."""
        self._stream = self._stream[torch.from_numpy(keep)]
        self._drop_unused(np.ones(len(self._stream), np.bool_))
        self._send()

    def _drop_unused(self, in_use: Mask) -> None:
        slots = torch.from_numpy(in_use) & (self._stream >= 0)
        used, self._stream[slots] = torch.unique(self._stream[slots], return_inverse=True)
        rows = used.numpy()
        if len(rows) == len(self._generators):
            return
        self._generators = [self._generators[row] for row in rows]
        self._numbers = self._numbers[:, rows]

    def _fill(self, rows: range, start: int) -> None:
        shape = (BLOCK_STEPS - start, self._size)
        for row in rows:
            uniform, normal = self._generators[row]
            self._numbers[0, row, start:] = uniform.random(shape, np.float32)
            self._numbers[1, row, start:] = normal.standard_normal(shape, np.float32)

    def next(self) -> tuple[Tensor, Tensor]:
        """Returns this step's uniform and normal numbers, float32 [N, size] each, and moves on."""
        uniform, normal = self._slot_numbers[:, :, self._position].index_select(1, self._slot_stream)
        self._position += 1
        if self._position == BLOCK_STEPS:
            self._position = 0
            self._fill(range(len(self._generators)), 0)
            self._send()
        return uniform, normal
