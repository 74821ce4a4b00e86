"""What the training loop needs of M: its data, its loss and its validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.config import RNNConfig
from worldmodels.data.latents import LatentStore
from worldmodels.data.sampling import SequenceBatch, SequenceSampler, Split
from worldmodels.models.mdn_rnn import MDNRNN, RNNState, Sequences

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

    def _loss_of(
        self, batch: SequenceBatch, state: RNNState, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], RNNState]:
        """Draws z from (mu, logvar), anew at every use, and returns the loss, its parts and the state."""

        def draw(mu: Tensor, logvar: Tensor) -> Tensor:
            noise = torch.randn(mu.shape, generator=generator)
            return (mu + torch.exp(0.5 * logvar) * noise).to(self._device)

        z = draw(torch.from_numpy(batch.mu), torch.from_numpy(batch.logvar))
        # The step's own z is the target of the step before: one draw, as when a sequence is read in one piece.
        after = draw(torch.from_numpy(batch.next_mu), torch.from_numpy(batch.next_logvar))
        next_z = torch.cat([z[:, 1:], after], 1)
        inputs = self.model.inputs(
            z, torch.from_numpy(batch.action).to(self._device), torch.from_numpy(batch.restart).to(self._device)
        )
        if self._padded:
            goes_on = ~torch.from_numpy(batch.restart[:, :1]).to(self._device)
            state = RNNState(state.hidden * goes_on, state.cell * goes_on)
        ends = batch.hit if self.model.sizes.hits else batch.done
        has_next, done, reward, valid = (
            torch.from_numpy(array).to(self._device) for array in (batch.has_next, ends, batch.reward, batch.valid)
        )
        sequences = Sequences(inputs, next_z, has_next, done, reward, valid)
        return self.model.loss(sequences, state, self._config.done_weight)

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step's window."""
        batch = self._sampler.batch(step)
        if batch.fresh:
            self._state = self.model.initial_state(self._sampler.batch_size)
        loss, parts, self._state = self._loss_of(batch, self._state, generator)
        return loss, parts

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Likelihood and done loss on held-out episodes, read from their beginnings."""
        state = self.model.initial_state(self._held_out.batch_size)
        generator = torch.Generator().manual_seed(0)
        num_windows = min(VALIDATION_WINDOWS, self._held_out.windows_per_epoch)
        sums: dict[str, float] = {}
        for window in range(num_windows):
            _, parts, state = self._loss_of(self._held_out.batch(window), state, generator)
            for name, value in parts.items():
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
