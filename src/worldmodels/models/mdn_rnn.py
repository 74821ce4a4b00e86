"""M, the MDN-RNN: an LSTM whose output is a mixture of Gaussians over the next latent (paper, section 2.2 and appendix A.2).

    h_t+1, c_t+1 = LSTM([z_t, a_t], h_t, c_t)
    p(z_t+1 | h_t+1) = Π_i Σ_k π_ik N(z_i; μ_ik, σ_ik)      (i: latents; k: mixtures; π, μ, σ linear in h_t+1)
    loss = -log p(z_t+1) / Z, mean over steps
         + weighted cross-entropy of the done head          (where there is one)
         + half the squared error of the reward head        (where there is one; not the paper's)

The likelihood with its gradient is in `mixture_nll`; M one step at a time, for the dream, in `stepper`.

Shapes: B batch, T time, N slots, Z latent, A action, H hidden, K mixtures, R = T·B rows.

The output layer's columns are [done logit], [reward], mixture logits [K, Z], means [K, Z], log standard deviations [K, Z]:
mixtures first, so that one mixture of all latents is contiguous. (The original has them last; `docs/fidelity.md`.)
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.models.mixture_nll import MixtureNLL
from worldmodels.models.precision import autocast, device_of


class RNNState(NamedTuple):
    """The LSTM's state: ``hidden`` and ``cell``, float32 [N, H] each."""

    hidden: Tensor
    cell: Tensor


class Kept(NamedTuple):
    """What dropout leaves in a training step, as factors, 0 or 1 / the share that is kept: of ``inputs`` [B, T, I], of the
    ``candidate`` of each step [B, T, H] (recurrent dropout) and of ``hidden`` [B, T, H] before the output layer; None: all."""

    inputs: Tensor | None = None
    candidate: Tensor | None = None
    hidden: Tensor | None = None


ALL_KEPT = Kept()


class Sequences(NamedTuple):
    """A batch of sequences, and what M is to predict along them.

    ``inputs`` float32 [B, T, I], from `MDNRNN.inputs`; ``next_z`` float32 [B, T, Z], the latents to predict; ``has_next``
    bool [B, T], False where the episode ended and nothing follows; ``done`` bool [B, T], termination (or a hit, see
    `RNNSizes.hits`) at this step; ``reward`` float32 [B, T], of this step; ``valid`` bool [B, T], False where an episode is
    padded; ``kept``, what dropout leaves.
    """

    inputs: Tensor
    next_z: Tensor
    has_next: Tensor
    done: Tensor
    reward: Tensor
    valid: Tensor
    kept: Kept = ALL_KEPT


@dataclass(frozen=True)
class RNNSizes:
    """What decides the shapes of M's weights, and of V's."""

    latent_size: int
    action_size: int
    hidden_size: int
    num_mixtures: int = 5
    restart_input: bool = False
    done_head: bool = False
    hits: bool = False
    """The done head learns hits, else terminations."""
    drawn: bool = False
    """The done logit is the log-odds of what that head learns, and dreams draw it; else they compare the logit with 0."""
    reward_head: bool = False
    layer_norm: bool = False
    """The gates and the cell state are normalised."""
    width: int = 1
    """V's channels, as a multiple of the paper's."""

    @property
    def input_size(self) -> int:
        """z, action, and the restart bit if there is one."""
        return self.latent_size + self.action_size + int(self.restart_input)

    @property
    def output_size(self) -> int:
        """Three numbers for every mixture of every latent, and one for each other head."""
        return 3 * self.num_mixtures * self.latent_size + self.num_heads

    @property
    def num_heads(self) -> int:
        """How many columns come before the mixtures: the done logit and the reward, if they are there."""
        return int(self.done_head) + int(self.reward_head)


class MDNRNN(nn.Module):
    """The LSTM and its mixture output; 1,678,785 parameters for TakeCover, 422,368 for CarRacing without its two heads.

    One bias vector for the gates, as in TensorFlow's cell (torch's own LSTM has two that only ever act as a sum).
    """

    def __init__(self, sizes: RNNSizes) -> None:
        super().__init__()
        self.sizes = sizes
        hidden, inputs = sizes.hidden_size, sizes.input_size
        bound = math.sqrt(6 / (inputs + hidden + 4 * hidden))  # Glorot, over the joint kernel as in TensorFlow
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))  # gates in torch's order: input, forget, candidate, output
        with torch.no_grad():
            self.bias[hidden : 2 * hidden] = 1.0  # the forget bias of TensorFlow's cell, as part of the parameter
        if sizes.layer_norm:
            # The gates' shifts are the bias; the cell state's are its own.
            self.gate_gain = nn.Parameter(torch.ones(4 * hidden))
            self.cell_gain = nn.Parameter(torch.ones(hidden))
            self.cell_shift = nn.Parameter(torch.zeros(hidden))
        bound = math.sqrt(6 / (hidden + sizes.output_size))
        self.weight_out = nn.Parameter(torch.empty(sizes.output_size, hidden).uniform_(-bound, bound))
        self.bias_out = nn.Parameter(torch.zeros(sizes.output_size))

    def initial_state(self, num: int) -> RNNState:
        """Returns zeros for ``num`` sequences."""
        zeros = torch.zeros(num, self.sizes.hidden_size, device=self.bias.device)
        return RNNState(zeros, zeros.clone())

    def inputs(self, z: Tensor, action: Tensor, restart: Tensor) -> Tensor:
        """Joins z [..., Z], action [..., A] and restart [...] into what the LSTM reads."""
        parts = [z, action, restart[..., None].to(z.dtype)] if self.sizes.restart_input else [z, action]
        return torch.cat(parts, -1)

    def forward(self, inputs: Tensor, state: RNNState, kept: Kept = ALL_KEPT) -> tuple[Tensor, RNNState]:
        """Runs sequences: inputs [B, T, I] → hidden [B, T, H] and the state after the last step. For training."""
        if kept.inputs is not None:
            inputs = inputs * kept.inputs
        if self.sizes.layer_norm or kept.candidate is not None:
            hidden, last = self._step_by_step(inputs, state, kept.candidate)
        else:
            hidden, last = self._at_once(inputs, state)
        return hidden if kept.hidden is None else hidden * kept.hidden, last

    def _at_once(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        weights = [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]
        start = (state.hidden[None], state.cell[None])
        hidden, last_hidden, last_cell = torch.lstm(inputs, start, weights, True, 1, 0.0, self.training, False, True)
        return hidden, RNNState(last_hidden[0].float(), last_cell[0].float())

    def _step_by_step(self, inputs: Tensor, state: RNNState, kept: Tensor | None) -> tuple[Tensor, RNNState]:
        """The original's cell with its switches: recurrent dropout on the candidate (Semeniuta et al., 2016), and layer
        normalisation of each gate and of the new cell state (Ba et al., 2016), which is what the next step gets."""
        read = F.linear(inputs, self.weight_ih)
        hidden, cell = state
        steps = []
        for step in range(inputs.shape[1]):
            gates = (read[:, step] + F.linear(hidden, self.weight_hh)).float()
            gates = normed_gates(self, gates) if self.sizes.layer_norm else gates + self.bias
            gate_in, gate_forget, candidate, gate_out = gates.chunk(4, 1)
            candidate = candidate.tanh() if kept is None else candidate.tanh() * kept[:, step]
            cell = cell * gate_forget.sigmoid() + gate_in.sigmoid() * candidate
            if self.sizes.layer_norm:
                cell = normed(cell, self.cell_gain, self.cell_shift)
            hidden = cell.tanh() * gate_out.sigmoid()
            steps.append(hidden)
        # As the LSTM leaves them in memory, see `time_major`.
        return torch.stack(steps).transpose(0, 1), RNNState(hidden, cell)

    def done_logit(self, hidden: Tensor) -> Tensor:
        """Returns the done head's logit: [..., H] → [...]."""
        return hidden @ self.weight_out[0] + self.bias_out[0]

    def outputs(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the other heads' columns, float32 [R, heads], and the mixtures', [R, 3·K·Z], of hidden states [R, H].

        Two products: one with an odd number of columns takes up to twice as long.
        """
        num = self.sizes.num_heads
        heads = F.linear(hidden, self.weight_out[:num], self.bias_out[:num]).float()
        return heads, F.linear(hidden, self.weight_out[num:], self.bias_out[num:])

    def loss(
        self, batch: Sequences, state: RNNState, done_weight: float, counts: tuple[int, int] | None = None
    ) -> tuple[Tensor, dict[str, Tensor], RNNState]:
        """Negative log-likelihood per latent of the next z, plus the done head's weighted cross-entropy, plus half the squared
        error of the reward.

        Args:
            batch: the sequences.
            state: the state before their first step.
            done_weight: weight of the steps with done = 1.
            counts: of a slice of a batch, how many steps of the whole batch have a next and how many are valid: what is
                returned is then the slice's share.

        Returns:
            The loss; its parts ``nll`` (nats per latent, mean over steps that have a next), ``done_loss`` and ``reward_loss``
            (means over valid steps, where M has those heads); the last state.
        """
        with autocast(device_of(self)):
            hidden, state = self(batch.inputs, state, batch.kept)
            heads, mixtures = self.outputs(time_major(hidden))
        has_next, valid = time_major(batch.has_next).float(), time_major(batch.valid).float()
        num_next, num_valid = (max(1, count) for count in counts or (int(batch.has_next.sum()), int(batch.valid.sum())))

        target = time_major(batch.next_z)
        total = MixtureNLL.apply(mixtures, target, has_next, self.sizes.num_mixtures)  # type: ignore[no-untyped-call]
        parts = {"nll": total / (num_next * self.sizes.latent_size)}
        if self.sizes.done_head:
            errors = self._done_errors(heads[:, 0], time_major(batch.done).float(), valid, done_weight)
            parts["done_loss"] = errors / num_valid
        if self.sizes.reward_head:
            error = heads[:, -1] - time_major(batch.reward)
            parts["reward_loss"] = 0.5 * (error.square() * valid).sum() / num_valid

        loss = functools.reduce(torch.add, parts.values())
        detached = {name: part.detach() for name, part in parts.items()}
        return loss, detached, RNNState(state.hidden.detach(), state.cell.detach())

    def _done_errors(self, logit: Tensor, done: Tensor, valid: Tensor, done_weight: float) -> Tensor:
        """The cross-entropy of the done head summed over the valid steps, those with done = 1 counted ``done_weight`` times.

        Args:
            logit, done, valid: float32 [R].
        """
        if self.sizes.drawn:
            # The weight inflates the odds that the loss is content with; the head's own logit is free of it.
            logit = logit + math.log(done_weight)
        weight = (1 + (done_weight - 1) * done) * valid
        return F.binary_cross_entropy_with_logits(logit, done, weight, reduction="sum")


def normed(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Layer normalisation of float32 [N, H] over H, with TensorFlow's epsilon."""
    x = x - x.mean(1, keepdim=True)
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-12) * gain.float() + shift.float()


def normed_gates(rnn: MDNRNN, gates: Tensor) -> Tensor:
    """Layer normalisation of each of the four gates by itself: float32 [N, 4H]."""
    parts = zip(gates.chunk(4, 1), rnn.gate_gain.chunk(4), rnn.bias.chunk(4), strict=True)
    return torch.cat([normed(*part) for part in parts], 1)


def time_major(x: Tensor) -> Tensor:
    """[B, T, ...] → [T·B, ...]: as the LSTM leaves its hidden states in memory, so that these are not copied."""
    return x.transpose(0, 1).flatten(0, 1)
