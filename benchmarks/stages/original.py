"""The other ways, re-created to be measured beside ours: the original code's, and what one writes first in PyTorch.

Shapes: B batch, T time, N slots, Z latent, A action, H hidden, K mixtures.
"""

from __future__ import annotations

import math
from itertools import pairwise

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.nn import functional as F

from worldmodels.base.types import Floats, Frame
from worldmodels.config import ControllerInputs
from worldmodels.envs.task import Task
from worldmodels.models.controller import feature_size, features
from worldmodels.models.sizes import own_sizes

#: The original plays, and records, TakeCover at this resolution.
RESOLUTION = "640x480"


def make_env(spec: Task) -> gym.Env[Frame, Floats]:
    """Makes the environment that others train on: the official one, or ViZDoom at the original's resolution."""
    return spec.make_env(official=True) if spec.official_id else spec.make_env(resolution=RESOLUTION)


class PlainVAE(nn.Module):
    """V in float32 and PyTorch's default memory format, straight from the paper's figure."""

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        sizes = [3, 32, 64, 128, 256]
        encoder: list[nn.Module] = []
        for i, o in pairwise(sizes):
            encoder += [nn.Conv2d(i, o, 4, stride=2), nn.ReLU()]
        self.encoder = nn.Sequential(*encoder, nn.Flatten())
        self.mu, self.logvar = nn.Linear(1024, latent_size), nn.Linear(1024, latent_size)
        self.expand = nn.Linear(latent_size, 1024)
        decoder: list[nn.Module] = []
        for i, o, kernel in ((1024, 128, 5), (128, 64, 5), (64, 32, 6), (32, 3, 6)):
            decoder += [nn.ConvTranspose2d(i, o, kernel, stride=2), nn.ReLU()]
        self.decoder = nn.Sequential(*decoder[:-1], nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mu and logvar [B, Z] of frames [B, 3, 64, 64] in [0, 1]."""
        x = self.encoder(x)
        return self.mu(x), self.logvar(x)

    def loss(self, x: Tensor) -> Tensor:
        """Returns the original's loss for frames [B, 3, 64, 64] in [0, 1]."""
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        y = self.decoder(self.expand(z)[:, :, None, None])
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1)
        loss: Tensor = ((y - x).square().sum((1, 2, 3)) + kl.clamp(min=0.5 * mu.shape[1])).mean()
        return loss


class PlainRNN(nn.Module):
    """M in float32: `nn.LSTM`, and the likelihood through torch.distributions and autograd."""

    def __init__(self, spec: Task) -> None:
        super().__init__()
        self.mixtures = (spec.latent_size, spec.num_mixtures)
        inputs = spec.latent_size + spec.action_size + int(spec.restart_input)
        self.lstm = nn.LSTM(inputs, spec.hidden_size, batch_first=True)
        self.out = nn.Linear(spec.hidden_size, 1 + 3 * spec.latent_size * spec.num_mixtures)

    def loss(self, inputs: Tensor, next_z: Tensor, done: Tensor) -> Tensor:
        """Returns the loss for inputs [B, T, I], next_z [B, T, Z], done float [B, T]."""
        hidden, _ = self.lstm(inputs)
        outputs = self.out(hidden)
        logits, mean, log_std = outputs[..., 1:].unflatten(-1, (3, *self.mixtures)).unbind(-3)
        mixture = MixtureSameFamily(Categorical(logits=logits), Normal(mean, log_std.exp()))
        nll = -mixture.log_prob(next_z).mean()  # type: ignore[no-untyped-call]
        done_loss = F.binary_cross_entropy_with_logits(outputs[..., 0], done, 1 + 9 * done)
        loss: Tensor = nll + done_loss
        return loss


class PlainStepper:
    """M in float32 one step at a time, N slots (the original: one), from PyTorch's own cell."""

    def __init__(self, spec: Task, inputs: ControllerInputs, num_slots: int) -> None:
        self.inputs = inputs
        size = spec.latent_size + spec.action_size + int(spec.restart_input)
        self.spec = spec
        self.restart_input = spec.restart_input
        self.cell = nn.LSTMCell(size, spec.hidden_size)
        self.out = nn.Linear(spec.hidden_size, 1 + 3 * spec.latent_size * spec.num_mixtures)
        self.state = (torch.zeros(num_slots, spec.hidden_size), torch.zeros(num_slots, spec.hidden_size))
        self.restart = torch.zeros(num_slots, 1)

    @torch.no_grad()
    def step(self, z: Tensor, action: Tensor) -> None:
        """Advances the state with z [N, Z] and action [N, A]."""
        parts = [z, action, self.restart] if self.restart_input else [z, action]
        self.state = self.cell(torch.cat(parts, 1), self.state)

    @torch.no_grad()
    def mixture(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns mixture logits, means and log standard deviations, [N, Z, K] each."""
        outputs = self.out(self.state[0])[:, 1:]
        logits, mean, log_std = outputs.unflatten(1, (3, self.spec.latent_size, self.spec.num_mixtures)).unbind(1)
        return logits, mean, log_std

    def features(self, z: Tensor) -> Tensor:
        """Returns what C sees, [N, F]."""
        return features(z, z, self.state[0], self.state[1], self.inputs)


class OriginalDream:
    """The original's dream: one episode, and a Python loop over the latents at every step."""

    def __init__(self, spec: Task, inputs: ControllerInputs, temperature: float) -> None:
        self._stepper = PlainStepper(spec, inputs, 1)
        self._temperature = temperature
        self._rng = np.random.default_rng(0)
        self._weight = 0.1 * self._rng.standard_normal((feature_size(own_sizes(spec), inputs), spec.action_size), np.float32)
        self._z = torch.zeros(1, spec.latent_size)

    def _pick(self, x: float, probabilities: NDArray[np.float64]) -> int:
        total = 0.0
        for i in range(len(probabilities)):
            total += probabilities[i]
            if total >= x:
                return i
        return len(probabilities) - 1

    def step(self) -> None:
        """Acts and dreams one step."""
        action = np.tanh(self._stepper.features(self._z).numpy() @ self._weight)
        self._stepper.step(self._z, torch.from_numpy(action))
        logits, mean, log_std = (part[0].numpy().astype(np.float64) for part in self._stepper.mixture())
        logits = logits / self._temperature
        weights = np.exp(logits - logits.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        size = len(logits)
        chosen_mean, chosen_log_std = np.zeros(size), np.zeros(size)
        for j in range(size):
            k = self._pick(self._rng.random(), weights[j])
            chosen_mean[j], chosen_log_std[j] = mean[j, k], log_std[j, k]
        noise = self._rng.standard_normal(size) * np.sqrt(self._temperature)
        self._z = torch.from_numpy((chosen_mean + np.exp(chosen_log_std) * noise).astype(np.float32))[None]


class NaiveDream:
    """N slots at once, as one writes it first: `nn.LSTMCell` in float32, softmax, `torch.multinomial`, gather."""

    def __init__(self, spec: Task, inputs: ControllerInputs, num_slots: int, temperature: float) -> None:
        self._stepper = PlainStepper(spec, inputs, num_slots)
        self._temperature = temperature
        self._weight = 0.1 * torch.randn(num_slots, spec.action_size, feature_size(own_sizes(spec), inputs))
        self._z = torch.zeros(num_slots, spec.latent_size)

    @torch.no_grad()
    def step(self) -> None:
        """Acts and dreams one step in every slot."""
        action = torch.tanh((self._stepper.features(self._z)[:, None] * self._weight).sum(2))
        self._stepper.step(self._z, action)
        logits, mean, log_std = self._stepper.mixture()
        weights = torch.softmax(logits / self._temperature, 2)
        chosen = torch.multinomial(weights.flatten(0, 1), 1).view(*self._z.shape, 1)
        noise = torch.randn_like(self._z) * math.sqrt(self._temperature)
        self._z = mean.gather(2, chosen)[..., 0] + log_std.gather(2, chosen)[..., 0].exp() * noise


class OriginalAgent:
    """V, M and C beside one real environment, a frame at a time in float32."""

    def __init__(self, spec: Task, inputs: ControllerInputs) -> None:
        self._vae, self._stepper = PlainVAE(spec.latent_size), PlainStepper(spec, inputs, 1)
        shape = (feature_size(own_sizes(spec), inputs), spec.action_size)
        self._weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.1
        self._squash = spec.squash

    @torch.no_grad()
    def act(self, frame: Frame) -> Floats:
        """Returns the action float32 [A] for a frame uint8 [64, 64, 3], and advances M."""
        mu, logvar = self._vae.encode(torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)[None])
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        action = self._squash(torch.tanh(self._stepper.features(z) @ self._weight).numpy())
        self._stepper.step(z, torch.from_numpy(action))
        return np.asarray(action[0], np.float32)
