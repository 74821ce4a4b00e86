"""The real world as C sees it: frames go through V, actions through M, and out come features.

Shapes: N slots, Z latent, H hidden, F features, A action.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import FULL_HEALTH, Floats, Frame, Mask, Seeds
from worldmodels.config import ControllerInputs
from worldmodels.envs.gym_rules import admitted
from worldmodels.models.controller import feature_size, features, uses_memory
from worldmodels.models.precision import device_of
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.threads import threads_for, with_its_threads
from worldmodels.worlds.noise import EpisodeNoise
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.state import WorldState, copy_state
from worldmodels.worlds.world import World, tensor_of


class LatentEnv(World):
    """Pixel environments behind V and M.

    Observations are features, float32 [N, F]: what ``inputs`` names of mu, z, h and c; z is drawn from V's (mu, logvar) as in
    the original.
    ``frames`` holds the last frames, uint8 [N, 64, 64, 3], and ``z`` their latents [N, Z], for whoever shows them.

    M runs in float32 here: beside the game its cost does not show. A C that sees nothing of M does without it.

    Wrong actions and torch's threads are as in `DreamEnv`.

    Args:
        inputs: what C sees.
        always_remember: M follows the game even if C sees nothing of it, so that a dream can go on from any `world_state`.
    """

    def __init__(
        self, envs: PixelEnvs, world_model: WorldModel, inputs: ControllerInputs, always_remember: bool = False
    ) -> None:
        sizes = world_model.sizes
        self._remembers = always_remember or uses_memory(inputs)
        self._envs, self._inputs, self._vae = envs, inputs, world_model.vae
        self._device = device_of(world_model.vae)
        self._num_steps = np.zeros(envs.num_envs, np.int64)
        with threads_for(envs.num_envs):
            self._stepper = MDNStepper(world_model.rnn, torch.float32)
            self._state = world_model.rnn.initial_state(envs.num_envs)
            self._restart = torch.ones(envs.num_envs)
            self._health = torch.full((envs.num_envs,), FULL_HEALTH)
            self._noise = EpisodeNoise(envs.num_envs, sizes.latent_size)
            self.mu = self.z = torch.zeros(envs.num_envs, sizes.latent_size)
        self.frames: Frame = np.zeros((envs.num_envs, 64, 64, 3), np.uint8)
        obs_space = spaces.Box(-np.inf, np.inf, (feature_size(sizes, inputs),), np.float32)
        self._set_spaces(obs_space, envs.single_action_space, envs.num_envs)

    def _see(self, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mu and z for the current frames, z drawn with noise [N, Z]."""
        mu, logvar = self._vae.encode_frames(torch.from_numpy(self.frames).to(self._device))
        return mu, mu + torch.exp(0.5 * logvar) * normal.to(self._device)

    @with_its_threads
    def features(self) -> Floats:
        """Returns the current observations, float32 [N, F]."""
        return features(self.mu, self.z, self._state.hidden, self._state.cell, self._inputs).cpu().numpy()

    @with_its_threads
    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        mask, seeds = self.reset_request(seed, options)
        self.frames, _ = self._envs.reset(seed=seeds, options={"reset_mask": mask})
        _, normal = self._noise.begin(mask, seeds)
        begun = torch.from_numpy(mask)
        mu, z = self._see(normal)
        self.mu, self.z = torch.where(begun[:, None], mu, self.mu), torch.where(begun[:, None], z, self.z)
        WorldState(self.z, self._state, self._restart, self._num_steps, self._health).begin(mask)
        return self.features(), {}

    @with_its_threads
    def step(self, actions: Floats) -> tuple[Floats, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        actions = admitted(actions, self.action_space)
        if self._remembers:
            self._state = self._stepper.step(self.z, tensor_of(actions), self._restart, self._state)
        self._restart = torch.zeros_like(self._restart)
        self.frames, rewards, terminated, truncated, infos = self._envs.step(actions)
        self.mu, self.z = self._see(self._noise.next()[1])
        self._num_steps += 1
        self._health -= torch.from_numpy(infos["damage"]).float()
        return self.features(), rewards, terminated, truncated, infos

    @with_its_threads
    def world_state(self) -> WorldState:
        """Returns the state of all slots, from which a dream can go on (`DreamEnv.restore`)."""
        return copy_state(WorldState(self.z.cpu(), self._state, self._restart, self._num_steps, self._health))

    @with_its_threads
    def shrink(self, keep: Mask) -> None:
        self._envs.shrink(keep)
        self._noise.shrink(keep)
        kept = torch.from_numpy(keep)
        self._state = type(self._state)(*(part[kept] for part in self._state))
        self.mu, self.z, self._restart, self.frames = self.mu[kept], self.z[kept], self._restart[kept], self.frames[keep]
        self._num_steps, self._health = self._num_steps[keep], self._health[kept]
        self._set_spaces(self.single_observation_space, self.single_action_space, self._envs.num_envs)

    def close_extras(self, **kwargs: Any) -> None:
        self._envs.close()
