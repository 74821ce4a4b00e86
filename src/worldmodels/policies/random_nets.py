"""The original's random data policy for CarRacing: V, M and C with random weights drive (its ``extract.py``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from worldmodels.base.types import Floats, Frame
from worldmodels.envs.task import Task
from worldmodels.models.controller import features, num_parameters
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import own_sizes
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.vae import VAE
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.worlds.rollout import EpisodeJob

#: An episode's weights are Cauchy numbers times a scale from U(0, MAX_SCALE).
MAX_SCALE = 0.01


class RandomNets:
    """One episode's random V, M and C: called once a step with the frame, uint8 [64, 64, 3]; returns an action, float32 [A].

    What does not act (V's decoder, M's output layer) is not drawn.

    Args:
        rng: the episode's own generator.
    """

    def __init__(self, spec: Task, rng: np.random.Generator) -> None:
        self._rng = rng
        scale = MAX_SCALE * rng.random()

        def cauchy(*shape: int) -> torch.Tensor:
            return torch.from_numpy((scale * rng.standard_cauchy(shape)).astype(np.float32))

        def fill(*modules: nn.Module) -> None:
            with torch.no_grad():
                for module in modules:
                    for parameter in module.parameters():
                        parameter.copy_(cauchy(*parameter.shape))

        # No head, and no mixtures to draw from: only M's state is looked at.
        sizes = replace(own_sizes(spec), num_mixtures=1, done_head=False, hits=False, reward_head=False)
        self._vae = VAE(sizes.latent_size, sizes.width)
        fill(self._vae.encoder, self._vae.mu, self._vae.logvar)
        rnn = MDNRNN(sizes)
        fill(rnn)
        self._stepper, self._state = MDNStepper(rnn, torch.float32), rnn.initial_state(1)
        self._controller = ControllerPolicy(spec, sizes, "zh", cauchy(1, num_parameters(sizes, "zh", spec.controller_bias)))
        self._controller.begin(np.ones(1, np.bool_), [EpisodeJob(0, 0)])
        self._restart = torch.ones(1)

    @torch.no_grad()
    def __call__(self, obs: Frame) -> Floats:
        mu, logvar = self._vae.encode_frames(torch.from_numpy(obs)[None])
        noise = torch.from_numpy(self._rng.standard_normal(mu.shape, np.float32))
        # Heavy tails: without the bound a variance overflows now and then, and the action is no number.
        z = mu + torch.exp(0.5 * logvar.clamp(max=20)) * noise
        action = self._controller.act(features(z, z, self._state.hidden, self._state.cell, "zh").numpy())
        self._state = self._stepper.step(z, torch.from_numpy(action), self._restart, self._state)
        self._restart = torch.zeros(1)
        return np.asarray(action[0])
