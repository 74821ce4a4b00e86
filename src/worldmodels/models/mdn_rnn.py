"""M, the MDN-RNN: an LSTM whose output is a mixture of Gaussians over the next latent (paper, appendix A.2).

Shapes: B batch, T time, N slots, Z latent, A action, H hidden, K mixtures, R = T·B rows.

The output layer's columns are [done logit], [reward], mixture logits [K, Z], means [K, Z], log standard deviations [K, Z]:
mixtures first, so that one mixture of all latents is contiguous. (The original has them last; `docs/fidelity.md`.)
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class RNNSizes:
    """What decides the shapes of M's weights."""

    latent_size: int
    action_size: int
    hidden_size: int
    num_mixtures: int = 5
    restart_input: bool = False
    done_head: bool = False
    hits: bool = False
    """The done head learns hits, and its logit is their log-odds."""
    reward_head: bool = False

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

    def forward(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """Runs sequences: inputs [B, T, I] → hidden [B, T, H] and the state after the last step. For training."""
        weights = [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]
        start = (state.hidden[None], state.cell[None])
        hidden, last_hidden, last_cell = torch.lstm(inputs, start, weights, True, 1, 0.0, self.training, False, True)
        return hidden, RNNState(last_hidden[0].float(), last_cell[0].float())

    def done_logit(self, hidden: Tensor) -> Tensor:
        """Returns the done head's logit: [..., H] → [...]."""
        return hidden @ self.weight_out[0] + self.bias_out[0]

    def loss(
        self,
        inputs: Tensor,
        state: RNNState,
        next_z: Tensor,
        has_next: Tensor,
        done: Tensor,
        reward: Tensor,
        valid: Tensor,
        done_weight: float,
        counts: tuple[int, int] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], RNNState]:
        """Negative log-likelihood per latent of the next z, plus the done head's weighted cross-entropy, plus half the squared
        error of the reward.

        Args:
            inputs: [B, T, I], from `inputs`.
            state: the state before the first step.
            next_z: [B, T, Z], the latents to predict.
            has_next: bool [B, T]; False where the episode ended and nothing follows.
            done: bool [B, T], termination (or a hit, see `RNNSizes.hits`) at this step.
            reward: float32 [B, T], of this step.
            valid: bool [B, T]; False where an episode is padded.
            done_weight: weight of the steps with done = 1.
            counts: of a slice of a batch, how many steps of the whole batch have a next and how many are valid: what is
                returned is then the slice's share.

        Returns:
            The loss; its parts ``nll`` (nats per latent, mean over steps that have a next), ``done_loss`` and ``reward_loss``
            (means over valid steps, where M has those heads); the last state.
        """
        first = self.sizes.num_heads
        with autocast(device_of(self)):
            hidden, state = self(inputs, state)
            hidden = time_major(hidden)
            # Apart: products with an odd number of columns take up to twice as long.
            heads = F.linear(hidden, self.weight_out[:first], self.bias_out[:first]).float()  # [R, heads]
            mixtures = F.linear(hidden, self.weight_out[first:], self.bias_out[first:])  # [R, 3·K·Z]
        rows = time_major(has_next).float()
        counted = time_major(valid).float()
        num_next, num_counted = (max(1, count) for count in counts or (int(has_next.sum()), int(valid.sum())))
        total = MixtureNLL.apply(mixtures, time_major(next_z), rows, self.sizes.num_mixtures)  # type: ignore[no-untyped-call]
        nll = total / (num_next * self.sizes.latent_size)
        metrics = {"nll": nll.detach()}
        loss = nll
        if self.sizes.done_head:
            logit, target = heads[:, 0], time_major(done).float()
            if self.sizes.hits:
                # The weight inflates the odds that the loss is content with; the head's own logit is free of it.
                logit = logit + math.log(done_weight)
            weight = (1 + (done_weight - 1) * target) * counted
            done_loss = F.binary_cross_entropy_with_logits(logit, target, weight, reduction="sum") / num_counted
            metrics["done_loss"] = done_loss.detach()
            loss = loss + done_loss
        if self.sizes.reward_head:
            error = heads[:, first - 1] - time_major(reward)
            reward_loss = 0.5 * (error.square() * counted).sum() / num_counted
            metrics["reward_loss"] = reward_loss.detach()
            loss = loss + reward_loss
        return loss, metrics, RNNState(state.hidden.detach(), state.cell.detach())


def time_major(x: Tensor) -> Tensor:
    """[B, T, ...] → [T·B, ...]: as the LSTM leaves its hidden states in memory, so that these are not copied."""
    return x.transpose(0, 1).flatten(0, 1)
