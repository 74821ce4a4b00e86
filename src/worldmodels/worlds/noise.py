"""Noise for many episodes at once, each with its own seed: what an episode sees depends on that seed alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Mask

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
        free = self._free_rows(~mask)
        row_of: dict[int, int] = {}
        firsts = torch.zeros(2, len(mask), self._size)
        drawn: dict[int, Tensor] = {}
        for slot in np.flatnonzero(mask):
            seed = seeds[int(slot)]
            assert seed is not None
            if seed not in row_of:
                uniform, normal = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
                row_of[seed] = free.pop() if free else len(self._generators)
                self._generators[row_of[seed] : row_of[seed] + 1] = [(uniform, normal)]
                numbers = uniform.random(self._size, np.float32), normal.standard_normal(self._size, np.float32)
                drawn[seed] = torch.from_numpy(np.stack(numbers))
            self._stream[slot] = row_of[seed]
            firsts[:, slot] = drawn[seed]
        if missing := len(self._generators) - self._numbers.shape[1]:
            fresh = np.zeros((2, missing, BLOCK_STEPS, self._size), np.float32)
            self._numbers = np.concatenate([self._numbers, fresh], 1)
        # All streams are refilled at the same time, so a new one fills only what is left of the block.
        self._fill(row_of.values(), self._position)
        self._send()
        return firsts[0].to(self._device), firsts[1].to(self._device)

    def _free_rows(self, in_use: Mask) -> list[int]:
        """Returns the rows that no slot of ``in_use`` draws from, for new streams to take: the others stay where they are, and
        a beginning costs no more for the slots beside it. Once most rows are free, they are dropped."""
        if 2 * len(self._used_rows(in_use)) < len(self._generators):
            self._drop_unused(in_use)
        return [int(row) for row in np.setdiff1d(np.arange(len(self._generators)), self._used_rows(in_use))]

    def _used_rows(self, in_use: Mask) -> NDArray[np.int64]:
        stream = self._stream.numpy()
        return np.unique(stream[in_use & (stream >= 0)])

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

    def _fill(self, rows: Iterable[int], start: int) -> None:
        shape = (BLOCK_STEPS - start, self._size)
        for row in rows:
            uniform, normal = self._generators[row]
            self._numbers[0, row, start:] = uniform.random(shape, np.float32)
            self._numbers[1, row, start:] = normal.standard_normal(shape, np.float32)

    def next(self) -> tuple[Tensor, Tensor]:
        """Returns this step's uniform and normal numbers, float32 [N, size] each, and moves on.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if not self._generators:
            raise gym.error.ResetNeeded("call reset() before step()")
        uniform, normal = self._slot_numbers[:, :, self._position].index_select(1, self._slot_stream)
        self._position += 1
        if self._position == BLOCK_STEPS:
            self._position = 0
            self._fill(range(len(self._generators)), 0)
            self._send()
        return uniform, normal
