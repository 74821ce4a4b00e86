"""M, the MDN-RNN: an LSTM whose output is a mixture of Gaussians over the next latent (paper, appendix A.2).

Shapes: B batch, T time, N slots, Z latent, A action, H hidden, K mixtures, R = T·B rows.

The output layer's columns are [done logit], [reward], mixture logits [K, Z], means [K, Z], log standard deviations [K, Z]:
mixtures first, so that one mixture of all latents is contiguous. (The original has them last; `docs/fidelity.md`.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.models import stepping
from worldmodels.models.precision import autocast, compute_dtype, device_of, enough_rows, first_rows

#: Log standard deviations are clipped to this range: none explodes, and none collapses on a latent that V does not use.
LOG_STD_RANGE = (-6.0, 2.0)
#: Rows of the likelihood that are worked on together: what they need fits a processor's last cache.
LIKELIHOOD_ROWS = 1024
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Dreamt(NamedTuple):
    """What M says of the next step: ``z`` float32 [N, Z]; the done logit and the expected reward, float32 [N] each, where M
    has those heads."""

    z: Tensor
    done: Tensor | None
    reward: Tensor | None


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
        total = MixtureNLL.apply(mixtures, time_major(next_z), rows, self.sizes.num_mixtures)  # type: ignore[no-untyped-call]
        nll = total / (rows.sum().clamp(min=1) * self.sizes.latent_size)
        metrics = {"nll": nll.detach()}
        loss = nll
        counted = time_major(valid).float()
        num_counted = counted.sum().clamp(min=1)
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

    def stepper(self, dtype: torch.dtype | None = None) -> MDNStepper:
        """Returns M for stepping, with its weights laid out for one matrix product a layer.

        Args:
            dtype: the type of the matrix products; the processor's best by default.
        """
        return MDNStepper(self, dtype or compute_dtype(device_of(self)))


class MixtureNLL(torch.autograd.Function):
    """Sum over rows and latents of -log p(target) under the mixtures; the gradient is written down, not traced.

    Forward: outputs [R, 3·K·Z] of any floating type, target float32 [R, Z], row weight float32 [R], K → scalar.

    With responsibilities r_k = softmax_k(log pi_k + log N_k) the gradients are pi_k - r_k (logits), r_k e_k / σ_k (means)
    and r_k (1 - e_k²) (log σ), where e = (mean - target) / σ. Made in the forward pass, a few rows at a time and in place, so
    that nothing of the size of the outputs is kept in float32.
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, target: Tensor, row_weight: Tensor, num_mixtures: int) -> Tensor:
        rows, latent = target.shape
        shape = (-1, num_mixtures, latent)
        size = num_mixtures * latent
        gradient = torch.empty_like(outputs) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float64, device=outputs.device)
        # A GPU has no use for small pieces.
        step = LIKELIHOOD_ROWS if outputs.device.type == "cpu" else rows
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            weight = row_weight[part, None, None]
            share = outputs[part, :size].to(torch.float32, copy=True).view(shape)  # [r, K, Z], first the logits
            error = outputs[part, size : 2 * size].to(torch.float32, copy=True).view(shape)  # first the means
            raw_log_std = outputs[part, 2 * size :].float().view(shape)
            log_std = raw_log_std.clamp(*LOG_STD_RANGE)
            share.sub_(share.amax(1, keepdim=True))
            joint = share - log_std
            total_share = share.exp_().sum(1, keepdim=True)
            inverse_std = log_std.neg().exp_()
            error.sub_(target[part, None]).mul_(inverse_std)
            squared = error.square()
            # log pi_k + log N_k, but for a constant and the logarithm of the shares' sum
            joint.sub_(squared, alpha=0.5)
            largest = joint.amax(1, keepdim=True)
            responsibility = joint.sub_(largest).exp_()
            likelihood = responsibility.sum(1, keepdim=True)  # [r, 1, Z]
            log_likelihood = likelihood.log().add_(largest).sub_(total_share.log())
            total -= ((log_likelihood - _HALF_LOG_TWO_PI) * weight).sum(dtype=torch.float64)
            if gradient is not None:
                responsibility.mul_(weight / likelihood)
                gradient[part, :size] = share.mul_(weight / total_share).sub_(responsibility).flatten(1)
                gradient[part, size : 2 * size] = error.mul_(responsibility).mul_(inverse_std).flatten(1)
                by_log_std = torch.addcmul(responsibility, squared, responsibility, value=-1)
                # No gradient through the clip.
                by_log_std = torch.ops.aten.hardtanh_backward(by_log_std, raw_log_std, *LOG_STD_RANGE)
                gradient[part, 2 * size :] = by_log_std.flatten(1)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total.float()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None, None


def time_major(x: Tensor) -> Tensor:
    """[B, T, ...] → [T·B, ...]: as the LSTM leaves its hidden states in memory, so that these are not copied."""
    return x.transpose(0, 1).flatten(0, 1)


class MDNStepper:
    """The same weights, one step at a time: in the dream, and beside the real environment.

    The input, the hidden state and a 1 for the bias are one row, so that a step is two matrix products and little else; that
    little is compiled loops on a CPU (`stepping`) and torch's operations on a GPU. tanh(x) is 2σ(2x) - 1.
    """

    def __init__(self, model: MDNRNN, dtype: torch.dtype) -> None:
        self.sizes = model.sizes
        self.dtype = dtype
        self._hidden_size = model.sizes.hidden_size
        with torch.no_grad():
            weight = torch.cat([model.weight_ih, model.weight_hh, model.bias[:, None]], 1)  # [4H, I + H + 1]
            # The candidate's argument is doubled here, once, for tanh(x) = 2σ(2x) - 1.
            weight[2 * self._hidden_size : 3 * self._hidden_size] *= 2
            self._weight = weight.to(dtype)
            self._weight_out = model.weight_out.detach().to(dtype)
            self._bias_out = model.bias_out.detach().to(dtype)
        self._row = torch.ones(0, weight.shape[1], dtype=dtype, device=weight.device)
        on_cpu = weight.device.type == "cpu"
        self._join = stepping.join if on_cpu else join
        self._advance = stepping.advance if on_cpu else advance
        self._draw = stepping.draw if on_cpu else draw

    @torch.no_grad()
    def step(self, z: Tensor, action: Tensor, restart: Tensor, state: RNNState) -> RNNState:
        """Advances the state: z [N, Z], action [N, A], restart [N] → the new hidden and cell, float32 [N, H]."""
        num_rows = len(z)
        z, action, restart, *states = enough_rows(z, action, restart, *state)
        hidden, cell = states
        if len(self._row) != len(z):
            self._row = torch.ones(len(z), self._row.shape[1], dtype=self.dtype, device=self._row.device)
        parts = [z, action, restart[:, None], hidden] if self.sizes.restart_input else [z, action, hidden]
        self._join(parts, self._row)
        gates = F.linear(self._row, self._weight)  # [N, 4H]
        return RNNState(*first_rows(num_rows, *self._advance(gates, cell)))

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


def join(parts: Sequence[Tensor], row: Tensor) -> None:
    """`stepping.join` in torch's operations, for a GPU."""
    first = 0
    for part in parts:
        last = first + part.shape[1]
        row[:, first:last] = part
        first = last


def advance(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """`stepping.advance` in torch's operations, for a GPU."""
    gate_in, gate_forget, candidate, gate_out = gates.float().sigmoid_().chunk(4, 1)
    # i tanh(x) = 2 i σ(2x) - i
    cell = (cell * gate_forget).addcmul_(gate_in, candidate, value=2).sub_(gate_in)
    hidden = (cell * 2).sigmoid_().mul_(2).sub_(1).mul_(gate_out)
    return hidden, cell


def draw(
    outputs: Tensor, num_heads: int, uniform: Tensor, normal: Tensor, temperature: float, log_std_range: tuple[float, float]
) -> Tensor:
    """`stepping.draw` in torch's operations, for a GPU."""
    latent = uniform.shape[1]
    parameters = outputs[:, num_heads:].reshape(len(outputs), 3, -1, latent)
    share = parameters[:, 0].float()  # [N, K, Z]
    share = share.sub_(share.amax(1, keepdim=True)).div_(temperature).exp_().cumsum(1)
    chosen = ((uniform * share[:, -1])[:, None] >= share[:, :-1]).sum(1)  # [N, Z]: so many sums are passed
    chosen = chosen[:, None, None].expand(-1, 2, 1, latent)
    mean, log_std = parameters[:, 1:].gather(2, chosen)[:, :, 0].float().unbind(1)
    return torch.addcmul(mean, log_std.clamp_(*log_std_range).exp_(), normal, value=math.sqrt(temperature))
