"""Trains M on the latents: ``rnn/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.config import RNNConfig
from worldmodels.data.latents import LatentStore
from worldmodels.data.sampling import SequenceBatch, SequenceSampler, Split, split_run
from worldmodels.envs.spec import get_task
from worldmodels.errors import UserError
from worldmodels.files import sha256_of
from worldmodels.models.mdn_rnn import MDNRNN, RNNState
from worldmodels.models.precision import pick_device
from worldmodels.models.world_model import make_rnn
from worldmodels.run import Run
from worldmodels.stages.encode import open_latents
from worldmodels.training import WEIGHTS, begin_from_previous, train

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
        return self.model.loss(inputs, state, next_z, has_next, done, reward, valid, self._config.done_weight)

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


def run(config: RNNConfig, run: Run) -> None:
    """Trains M into ``run``'s ``rnn/``, from random weights or from the previous run's."""
    device = pick_device(config.device)
    inputs = run.require("encode")["outputs"] | run.inherited("rnn")
    if not run.begin("rnn", config, inputs):
        return
    torch.manual_seed(run.derive_seed("rnn/weights"))
    spec = get_task(run.task)
    model = make_rnn(spec).to(device)
    begin_from_previous(run, "rnn", model)
    store = open_latents(run)
    if store.lengths.max() < 2:
        raise UserError(f"{run.stage_path('encode')}: every episode has a single step; M needs some of at least 2")
    split = split_run(run, store.num_episodes, config.held_out_fraction)
    trainee = RNNTrainee(model, store, split, config, run.seed, spec.mirrored_action)
    train(run, "rnn", config, trainee, trainee.steps_per_batch, "time steps", config.max_grad_value)
    run.finish("rnn", {"rnn": sha256_of(run.stage_path("rnn") / WEIGHTS)})
