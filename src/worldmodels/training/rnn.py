"""What the training loop needs of M: its data, its loss and its validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.config import RNNConfig
from worldmodels.data.latents import LatentStore
from worldmodels.data.sampling import SequenceBatch, SequenceSampler, Split
from worldmodels.models.mdn_rnn import ALL_KEPT, MDNRNN, Kept, RNNState, Sequences
from worldmodels.runtime.slices import Slice, cut, measured

#: Windows of held-out sequences that a validation reads at most.
VALIDATION_WINDOWS = 32


class RNNTrainee:
    """M, its data and its loss; the LSTM's state is carried from window to window."""

    def __init__(
        self,
        model: MDNRNN,
        store: LatentStore,
        split: Split,
        config: RNNConfig,
        seed: int,
        mirrored_action: Sequence[float] = (),
    ) -> None:
        self.model = model
        self._config = config
        self._device = next(model.parameters()).device
        training, held_out = split
        # Without a restart input, M's state is put back at the start of every episode instead.
        self._padded = not model.sizes.restart_input
        sizes = (config.batch_size, config.sequence_length, seed, self._padded)
        self._sampler = SequenceSampler(store, training, *sizes, mirrored_action)
        self._held_out = SequenceSampler(store, held_out, *sizes)
        self._state = model.initial_state(self._sampler.batch_size)

    @property
    def steps_per_batch(self) -> int:
        """Time steps of one gradient step: with few episodes the batch is narrower than the configuration's."""
        return self._sampler.batch_size * self._config.sequence_length

    def _kept(self, generator: torch.Generator, shape: torch.Size) -> Kept:
        """Draws what dropout leaves of a window [B, T], of all its slices together, so that these may be any number."""
        sizes, config = self.model.sizes, self._config

        def mask(share: float, size: int) -> Tensor | None:
            if not share:
                return None
            drawn = torch.rand(*shape, size, generator=generator)
            return (drawn >= share).float() / (1 - share)

        return Kept(
            mask(config.input_dropout, sizes.input_size),
            mask(config.recurrent_dropout, sizes.hidden_size),
            mask(config.output_dropout, sizes.hidden_size),
        )

    def _slices(
        self, batch: SequenceBatch, state: RNNState, generator: torch.Generator, dropout: bool
    ) -> tuple[list[Slice], RNNState]:
        """Returns a window's slices, which draw z from (mu, logvar), anew at every use, and the state after it, which they
        fill."""
        noise, noise_after = (torch.randn(mu.shape, generator=generator) for mu in (batch.mu, batch.next_mu))
        kept = self._kept(generator, noise.shape[:2]) if dropout else ALL_KEPT
        state_after = RNNState(torch.empty_like(state.hidden), torch.empty_like(state.cell))
        ends = batch.hit if self.model.sizes.hits else batch.done
        counts = int(batch.has_next.sum()), int(batch.valid.sum())

        def part(rows: slice) -> Slice:
            def here(array: NDArray[Any]) -> Tensor:
                return torch.from_numpy(array[rows]).to(self._device)

            def draw(mu: NDArray[np.float32], logvar: NDArray[np.float32], noise: Tensor) -> Tensor:
                return here(mu) + torch.exp(0.5 * here(logvar)) * noise[rows].to(self._device)

            def of(rnn: MDNRNN) -> tuple[Tensor, dict[str, Tensor]]:
                z = draw(batch.mu, batch.logvar, noise)
                # The step's own z is the target of the step before: one draw, as when a sequence is read in one piece.
                next_z = torch.cat([z[:, 1:], draw(batch.next_mu, batch.next_logvar, noise_after)], 1)
                restart = here(batch.restart)
                before = RNNState(state.hidden[rows], state.cell[rows])
                if self._padded:
                    goes_on = ~restart[:, :1]
                    before = RNNState(before.hidden * goes_on, before.cell * goes_on)
                inputs = rnn.inputs(z, here(batch.action), restart)
                has_next, done, reward, valid = (here(array) for array in (batch.has_next, ends, batch.reward, batch.valid))
                left = Kept(*(None if mask is None else mask[rows].to(self._device) for mask in kept))
                sequences = Sequences(inputs, next_z, has_next, done, reward, valid, left)
                loss, parts, after = rnn.loss(sequences, before, self._config.done_weight, counts)
                state_after.hidden[rows], state_after.cell[rows] = after
                return loss, parts

            return of

        return [part(rows) for rows in cut(len(noise), self._config.num_slices, self._device)], state_after

    def slices(self, step: int, generator: torch.Generator) -> list[Slice]:
        """The slices of a step's window."""
        batch = self._sampler.batch(step)
        if batch.fresh:
            self._state = self.model.initial_state(self._sampler.batch_size)
        slices, self._state = self._slices(batch, self._state, generator, dropout=True)
        return slices

    def validate(self) -> dict[str, float]:
        """Likelihood and done loss on held-out episodes, read from their beginnings."""
        state = self.model.initial_state(self._held_out.batch_size)
        generator = torch.Generator().manual_seed(0)
        num_windows = min(VALIDATION_WINDOWS, self._held_out.windows_per_epoch)
        sums: dict[str, float] = {}
        for window in range(num_windows):
            slices, state = self._slices(self._held_out.batch(window), state, generator, dropout=False)
            for name, value in measured(self.model, slices, self._device).items():
                sums[name] = sums.get(name, 0.0) + float(value) / num_windows
        return sums

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """None: what M dreams needs V to be seen."""
        return {}

    def warning(self, measured: Mapping[str, float]) -> str | None:
        """Nothing that a number tells by itself: whether M's dream is true is `fidelity`'s business."""
        return None

    def carried(self) -> dict[str, Tensor]:
        """The LSTM's state at the end of the last window."""
        return {"hidden": self._state.hidden, "cell": self._state.cell}

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Takes back the LSTM's state."""
        self._state = RNNState(carried["hidden"].to(self._device), carried["cell"].to(self._device))
