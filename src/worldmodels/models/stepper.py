"""M one step at a time, its weights laid out for one matrix product a layer: in the dream, and beside the real environment.

The dream without this file: `MDNRNN.forward` on sequences of one step, and the mixture's draw in separate operations, with
products for the input, the hidden state and the bias each.

Shapes: N slots, Z latent, A action, H hidden.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodels.models import stepper_cpu
from worldmodels.models.mdn_rnn import MDNRNN, RNNState, normed, normed_gates
from worldmodels.models.mixture_nll import LOG_STD_RANGE
from worldmodels.models.precision import compute_dtype, device_of, enough_rows, first_rows


class Dreamt(NamedTuple):
    """What M says of the next step: ``z`` float32 [N, Z]; the done logit and the expected reward, float32 [N] each, where M
    has those heads."""

    z: Tensor
    done: Tensor | None
    reward: Tensor | None


class Masks(NamedTuple):
    """What dropout leaves of a slot's steps, of all of them the same, as factors, 0 or 1 / the share that is kept: of ``z``,
    float32 [N, Z], and of the LSTM's ``candidate``, what a step would write into the cell state, float32 [N, H]."""

    z: Tensor
    candidate: Tensor


class MDNStepper:
    """The same weights, one step at a time: in the dream, and beside the real environment.

    The input, the hidden state and a 1 for the bias are one row, so that a step is two matrix products and little else; that
    little is compiled loops on a CPU (`stepper_cpu`) and torch's operations on a GPU. tanh(x) is 2σ(2x) - 1.
    """

    def __init__(self, model: MDNRNN, dtype: torch.dtype | None = None) -> None:
        self.sizes = model.sizes
        self.dtype = dtype or compute_dtype(device_of(model))
        self._hidden_size = model.sizes.hidden_size
        with torch.no_grad():
            # A normalised gate gets its bias after.
            bias = torch.zeros_like(model.bias) if model.sizes.layer_norm else model.bias
            weight = torch.cat([model.weight_ih, model.weight_hh, bias[:, None]], 1)  # [4H, I + H + 1]
            if not model.sizes.layer_norm:
                # The candidate's argument is doubled here, once, for tanh(x) = 2σ(2x) - 1.
                weight[2 * self._hidden_size : 3 * self._hidden_size] *= 2
            self._weight = weight.to(self.dtype)
            self._weight_out = model.weight_out.detach().to(self.dtype)
            self._bias_out = model.bias_out.detach().to(self.dtype)
        self._row = torch.ones(0, weight.shape[1], dtype=self.dtype, device=weight.device)
        on_cpu = weight.device.type == "cpu"
        self._join = stepper_cpu.join if on_cpu else join
        self._advance: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = stepper_cpu.advance if on_cpu else advance
        self._advance_masked: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = advance
        if model.sizes.layer_norm:
            self._advance = self._advance_masked = functools.partial(advance_normed, model)
        self._draw = stepper_cpu.draw if on_cpu else draw

    @torch.no_grad()
    def step(self, z: Tensor, action: Tensor, restart: Tensor, state: RNNState, masks: Masks | None = None) -> RNNState:
        """Advances the state: z [N, Z], action [N, A], restart [N] → the new hidden and cell, float32 [N, H]; ``masks`` say
        what dropout leaves, None: all."""
        num_rows = len(z)
        if masks is not None:
            z = z * masks.z
        z, action, restart, *states = enough_rows(z, action, restart, *state)
        hidden, cell = states
        gates = self._gates(z, action, restart, hidden)
        if masks is None:
            return RNNState(*first_rows(num_rows, *self._advance(gates, cell)))
        return RNNState(*first_rows(num_rows, *self._advance_masked(gates, cell, *enough_rows(masks.candidate))))

    def _gates(self, z: Tensor, action: Tensor, restart: Tensor, hidden: Tensor) -> Tensor:
        """Returns the gates before their sigmoids, [N, 4H]."""
        if len(self._row) != len(z):
            self._row = torch.ones(len(z), self._row.shape[1], dtype=self.dtype, device=self._row.device)
        parts = [z, action, restart[:, None], hidden] if self.sizes.restart_input else [z, action, hidden]
        self._join(parts, self._row)
        return F.linear(self._row, self._weight)

    @torch.no_grad()
    def hidden_by_mask(self, z: Tensor, action: Tensor, restart: Tensor, state: RNNState, masks: Masks) -> Iterator[Tensor]:
        """Yields the hidden state after a step with each of K masks, float32 [N, H]; all but z's product is done once.

        Args:
            masks: [K, Z] and [K, H], each the same for all slots.
        """
        num_rows = len(z)
        z, action, restart, *states = enough_rows(z, action, restart, *state)
        hidden, cell = states
        others = self._gates(torch.zeros_like(z), action, restart, hidden).float()
        weight = self._weight[:, : z.shape[1]].contiguous()
        for of_z, of_candidate in zip(*masks, strict=True):
            gates = others + F.linear((z * of_z).to(self.dtype), weight).float()
            yield self._advance_masked(gates, cell, of_candidate)[0][:num_rows]

    @torch.no_grad()
    def sample(self, hidden: Tensor, uniform: Tensor, normal: Tensor, temperature: float) -> Dreamt:
        """Draws the next latent: logits divided by the temperature, the noise multiplied by its square root.

        Args:
            hidden: [N, H].
            uniform: [N, Z] in [0, 1), picks each latent's mixture.
            normal: [N, Z], the Gaussian's noise.
            temperature: τ > 0.
        """
        num_rows = len(hidden)
        hidden, uniform, normal = enough_rows(hidden, uniform, normal)
        outputs = F.linear(hidden.to(self.dtype), self._weight_out, self._bias_out)
        first = self.sizes.num_heads
        z = self._draw(outputs, first, uniform, normal, temperature, LOG_STD_RANGE)
        z, outputs = first_rows(num_rows, z, outputs)
        done = outputs[:, 0].float() if self.sizes.done_head else None
        reward = outputs[:, first - 1].float() if self.sizes.reward_head else None
        return Dreamt(z, done, reward)

    @torch.no_grad()
    def expected(self, hidden: Tensor) -> Tensor:
        """Returns the mean of the next latent over M's mixtures, float32 [N, Z], of hidden states [N, H]."""
        logit, mean = self._mixtures(hidden, 2)
        return (logit.softmax(1) * mean).sum(1)

    @torch.no_grad()
    def surprise(self, hidden: Tensor, z: Tensor) -> Tensor:
        """Returns M's loss at a latent that came: its negative log-likelihood in nats, the mean over latents, float32 [N].

        Args:
            hidden: [N, H].
            z: [N, Z].
        """
        logit, mean, log_std = self._mixtures(hidden, 3)
        log_std = log_std.clamp(*LOG_STD_RANGE)
        error = (z[:, None] - mean) * (-log_std).exp()
        log_chance = logit.log_softmax(1) - log_std - 0.5 * error.square() - 0.5 * math.log(2 * math.pi)
        return -log_chance.logsumexp(1).mean(1)

    def _mixtures(self, hidden: Tensor, num_parts: int) -> tuple[Tensor, ...]:
        """Returns the first of the mixtures' logits, means and log standard deviations, float32 [N, K, Z] each."""
        num_rows, latent_size = len(hidden), self.sizes.latent_size
        first, size = self.sizes.num_heads, self.sizes.num_mixtures * latent_size
        columns = slice(first, first + num_parts * size)
        (hidden,) = enough_rows(hidden)
        outputs = F.linear(hidden.to(self.dtype), self._weight_out[columns], self._bias_out[columns])[:num_rows].float()
        return outputs.view(num_rows, num_parts, -1, latent_size).unbind(1)


def join(parts: Sequence[Tensor], row: Tensor) -> None:
    """`stepper_cpu.join` in torch's operations, for a GPU."""
    first = 0
    for part in parts:
        last = first + part.shape[1]
        row[:, first:last] = part
        first = last


def advance(gates: Tensor, cell: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`stepper_cpu.advance` in torch's operations, for a GPU; and on any device with ``kept``, what dropout leaves of the
    candidate, float32 [N, H] or [H]."""
    gate_in, gate_forget, candidate, gate_out = gates.float().sigmoid_().chunk(4, 1)
    if kept is None:
        # i tanh(x) = 2 i σ(2x) - i
        cell = (cell * gate_forget).addcmul_(gate_in, candidate, value=2).sub_(gate_in)
    else:
        cell = (cell * gate_forget).addcmul_(gate_in, (candidate * 2).sub_(1).mul_(kept))
    hidden = (cell * 2).sigmoid_().mul_(2).sub_(1).mul_(gate_out)
    return hidden, cell


def advance_normed(model: MDNRNN, gates: Tensor, cell: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The same with layer normalisation, on any device."""
    gate_in, gate_forget, candidate, gate_out = normed_gates(model, gates.float()).chunk(4, 1)
    candidate = candidate.tanh() if kept is None else candidate.tanh() * kept
    cell = cell * gate_forget.sigmoid() + gate_in.sigmoid() * candidate
    cell = normed(cell, model.cell_gain, model.cell_shift)
    return cell.tanh() * gate_out.sigmoid(), cell


def draw(
    outputs: Tensor, num_heads: int, uniform: Tensor, normal: Tensor, temperature: float, log_std_range: tuple[float, float]
) -> Tensor:
    """`stepper_cpu.draw` in torch's operations, for a GPU."""
    latent = uniform.shape[1]
    parameters = outputs[:, num_heads:].reshape(len(outputs), 3, -1, latent)
    share = parameters[:, 0].float()  # [N, K, Z]
    share = share.sub_(share.amax(1, keepdim=True)).div_(temperature).exp_().cumsum(1)
    chosen = ((uniform * share[:, -1])[:, None] >= share[:, :-1]).sum(1)  # [N, Z]: so many sums are passed
    chosen = chosen[:, None, None].expand(-1, 2, 1, latent)
    mean, log_std = parameters[:, 1:].gather(2, chosen)[:, :, 0].float().unbind(1)
    return torch.addcmul(mean, log_std.clamp_(*log_std_range).exp_(), normal, value=math.sqrt(temperature))
