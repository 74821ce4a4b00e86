"""M's dream as a Gymnasium vector environment, and as a single environment for any Gymnasium agent.

Shapes: N slots, Z latent, H hidden, F features, A action.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.errors import UserError
from worldmodels.base.types import FULL_HEALTH, Floats, Frame, Mask, Seeds
from worldmodels.config import ControllerInputs
from worldmodels.envs.action_space import action_space_of
from worldmodels.envs.gym_rules import admitted
from worldmodels.models.controller import feature_size, features
from worldmodels.models.precision import device_of
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.uncertainty import Uncertainty
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.threads import threads_for, with_its_threads
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.dropout import EpisodeMasks
from worldmodels.worlds.noise import EpisodeNoise
from worldmodels.worlds.state import WorldState, copy_state
from worldmodels.worlds.world import World, tensor_of


def check_temperature(temperature: float) -> None:
    """Raises `UserError` for a temperature that is not a positive number of sensible size."""
    if not isinstance(temperature, int | float | np.number) or not 0.01 <= temperature <= 10:
        raise UserError(f"temperature is {temperature!r}; it must lie between 0.01 and 10")


class DreamEnv(World):
    """The dream of a world model, N episodes at once.

    An episode begins at the first frame of a real one, drawn by the episode's seed, and is truncated after as many steps as
    the real one. What M's done head learns, hits or deaths, comes with its chance, or when its logit is above 0 as in the
    original; M's sizes say which. A hit costs what the task says, and the episode is terminated when nothing of the health is
    left; a death terminates it.

    Observations are features, float32 [N, F], as in `LatentEnv`. Rewards float64 [N], M's expectation where it has a reward
    head, else the task's constant, or 0 where it has none (the original's M of CarRacing); terminated and truncated bool [N];
    in the info, where M learns hits, ``hit_chance``, its chance of a hit in this step, else, with a done head, ``end_chance``,
    that of an end, a tensor float32 [N] on the world model's device; where the rules have M's uncertainty measured or its loss
    sought, ``uncertainty`` or ``loss`` in this step, likewise.

    Actions outside the real environment's space are clipped to it; those that are not finite or have another shape are refused
    (`InvalidAction`). A dream of one slot takes one of torch's threads, and so does every one in a forked process.

    Args:
        inputs: what C sees of z, h and c.
        temperature: τ: mixture logits are divided by it, the noise is multiplied by its square root.
        precision: the type of M's matrix products; the processor's best by default.
        as_tensors: observations stay on the world model's device, for a C that is there too.
        rules: what is left out of M, and what a step is worth; by default nothing, and what the game gives.
    """

    def __init__(
        self,
        world_model: WorldModel,
        inputs: ControllerInputs,
        num_envs: int,
        temperature: float,
        precision: torch.dtype | None = None,
        as_tensors: bool = False,
        rules: DreamRules = DreamRules(),  # noqa: B008 (frozen)
    ) -> None:
        check_temperature(temperature)
        spec, sizes = world_model.spec, world_model.sizes
        self._spec, self._inputs, self._vae, self._initial = spec, inputs, world_model.vae, world_model.initial
        self.temperature, self.rules = temperature, rules
        self._device, self._as_tensors = device_of(world_model.rnn), as_tensors
        self._hits, self._drawn = sizes.hits, sizes.drawn
        self._num_steps = np.zeros(num_envs, np.int64)
        with threads_for(num_envs):
            self._stepper = MDNStepper(world_model.rnn, precision)
            self._state = world_model.rnn.initial_state(num_envs)
            self._restart = torch.ones(num_envs, device=self._device)
            self._health = torch.full((num_envs,), FULL_HEALTH, device=self._device)
            self._damages = torch.tensor(spec.hit_damages, device=self._device)
            # One number more decides whether there is a hit or a death, and what a hit costs.
            self._noise = EpisodeNoise(num_envs, sizes.latent_size + (sizes.hits or sizes.drawn), self._device)
            self._masks = EpisodeMasks(num_envs, sizes, rules.dropout, self._device) if rules.dropout else None
            self._uncertainty = None
            if rules.measures:
                measure = rules.uncertainty
                self._uncertainty = Uncertainty(self._stepper, measure.masks, measure.dropout, self._device)
            self.z = torch.zeros(num_envs, sizes.latent_size, device=self._device)
        obs_space = spaces.Box(-np.inf, np.inf, (feature_size(sizes, inputs),), np.float32)
        self._set_spaces(obs_space, action_space_of(spec), num_envs)

    @with_its_threads
    def features(self) -> Floats | Tensor:
        """Returns the current observations, float32 [N, F]."""
        found = features(self.z, self.z, self._state.hidden, self._state.cell, self._inputs)
        return found if self._as_tensors else found.cpu().numpy()

    @with_its_threads
    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Floats | Tensor, dict[str, Any]]:
        mask, seeds = self.reset_request(seed, options)
        uniform, normal = self._noise.begin(mask, seeds)
        if self._masks is not None:
            self._masks.begin(mask, seeds)
        begun = torch.from_numpy(mask).to(self._device)
        # An episode's first uniform number picks where it begins.
        pick = (uniform[:, 0] * len(self._initial.mu)).long().clamp(max=len(self._initial.mu) - 1)
        first = self._initial.mu[pick] + torch.exp(0.5 * self._initial.logvar[pick]) * normal[:, : self.z.shape[1]]
        self.z = torch.where(begun[:, None], first, self.z)
        WorldState(self.z, self._state, self._restart, self._num_steps, self._health).begin(mask)
        return self.features(), {}

    @with_its_threads
    def step(self, actions: Floats) -> tuple[Floats | Tensor, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        actions = admitted(actions, self.action_space)
        before = self.z, tensor_of(actions).to(self._device), self._restart, self._state
        infos: dict[str, Any] = {}
        if self._uncertainty is not None:
            infos["uncertainty"] = self._uncertainty.of(*before)
        self._state = self._stepper.step(*before, masks=None if self._masks is None else self._masks.now)
        self._restart.zero_()
        uniform, normal = self._noise.next()
        size = self.z.shape[1]
        self.z, done, reward = self._stepper.sample(self._state.hidden, uniform[:, :size], normal[:, :size], self.temperature)
        self._num_steps += 1
        if self.rules.seeks == "loss":
            infos["loss"] = self._stepper.surprise(self._state.hidden, self.z)
        if done is None:
            terminated = np.zeros(self.num_envs, np.bool_)
        elif self._hits:
            infos["hit_chance"] = done.sigmoid()
            terminated = self._struck(infos["hit_chance"], uniform[:, size]).cpu().numpy()
        else:
            infos["end_chance"] = done.sigmoid()
            terminated = (uniform[:, size] < infos["end_chance"] if self._drawn else done > 0).cpu().numpy()
        truncated = ~terminated & (self._num_steps >= self._spec.max_episode_steps)
        if reward is None:
            rewards = np.full(self.num_envs, self._spec.dream_reward or 0.0)
        else:
            rewards = reward.cpu().numpy().astype(np.float64)
        if self.rules.seeks != "reward":
            rewards = infos[self.rules.seeks].cpu().numpy().astype(np.float64)
        elif self.rules.pessimism:
            rewards = rewards - self.rules.pessimism * infos["uncertainty"].cpu().numpy()
        return self.features(), rewards, terminated, truncated, infos

    def _struck(self, chance: Tensor, uniform: Tensor) -> Tensor:
        """Takes what hits cost, drawn or where their chance is above one half, and returns who has no health left, bool [N].

        Args:
            chance: float32 [N], of a hit.
            uniform: float32 [N] in [0, 1): a drawn hit below its chance, and how far below says what it costs.
        """
        share = uniform / chance if self._drawn else torch.where(chance > 0.5, uniform, 1.0)
        which = (share * len(self._damages)).long().clamp(0, len(self._damages) - 1)
        self._health = torch.where(share < 1, self._health - self._damages[which], self._health)
        return self._health <= 0

    @with_its_threads
    def shrink(self, keep: Mask) -> None:
        kept = torch.from_numpy(keep).to(self._device)
        self._noise.shrink(keep)
        if self._masks is not None:
            self._masks.shrink(keep)
        self._state = type(self._state)(*(part[kept] for part in self._state))
        self.z, self._restart, self._num_steps = self.z[kept], self._restart[kept], self._num_steps[keep]
        self._health = self._health[kept]
        self._set_spaces(self.single_observation_space, self.single_action_space, len(self.z))

    @with_its_threads
    def world_state(self) -> WorldState:
        """Returns the state of all slots, for `restore`."""
        return copy_state(WorldState(self.z, self._state, self._restart, self._num_steps, self._health))

    @with_its_threads
    def restore(self, state: WorldState, seeds: Sequence[int | None]) -> None:
        """Restores a state of this or of the real world and reseeds each slot with its one of ``seeds``."""
        here = copy_state(state)
        everywhere = np.ones(self.num_envs, np.bool_)
        self._noise.begin(everywhere, seeds)
        if self._masks is not None:
            self._masks.begin(everywhere, seeds)
        self._state = type(here.state)(*(part.to(self._device) for part in here.state))
        self.z, self._restart, self._num_steps = here.z.to(self._device), here.restart.to(self._device), here.num_steps
        self._health = here.health.to(self._device)

    @with_its_threads
    def go_on(self, mask: Mask, state: WorldState) -> None:
        """Puts the slots of ``mask``, bool [N], where ``state`` is, of as many slots; their noise goes on as it would have, and
        dropout leaves out something else."""
        if self._masks is not None:
            self._masks.go_on(mask)
        slots = torch.from_numpy(mask).to(self._device)
        here = (self.z, *self._state, self._restart, self._health)
        for mine, theirs in zip(here, (state.z, *state.state, state.restart, state.health), strict=True):
            mine[slots] = theirs.to(self._device)
        self._num_steps[mask] = state.num_steps

    @with_its_threads
    def decode(self) -> Frame:
        """Returns what V makes of the current latents, uint8 [N, 64, 64, 3]."""
        return self._vae.decode_frames(self.z).cpu().numpy()
