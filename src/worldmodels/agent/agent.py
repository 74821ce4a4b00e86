"""One agent: V, M and C of one task, which sees frames, acts, dreams, and is saved.

Shapes: B frames, N slots, Z latent, A action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.agent.files import save_model
from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.base.types import Floats, Frame, Mask
from worldmodels.config import ControllerInputs
from worldmodels.envs.task import Task
from worldmodels.models.controller import feature_size, features, named_weights, uses_memory
from worldmodels.models.mdn_rnn import MDNRNN, RNNState
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.vae import VAE
from worldmodels.models.world_model import WorldModel
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.runtime.threads import threads_for
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.noise import EpisodeNoise
from worldmodels.worlds.rollout import EpisodeJob
from worldmodels.worlds.world import checked_seed


@dataclass
class AgentState:
    """What an agent remembers of N episodes that it is playing, and the noise that its z are drawn with.

    It belongs to one loop: `Agent.predict` changes it and returns it. ``copy.deepcopy`` gives a state to branch off with.
    """

    seeds: list[int]
    """The seed of each slot's episode; the next episode of a slot has the seed that is N higher."""
    noise: EpisodeNoise
    memory: RNNState
    restart: Tensor
    """float32 [N]: 1 before an episode's first step."""
    fresh: bool = True
    """Whether no frame has been seen yet."""


@dataclass(frozen=True)
class Agent:
    """V, M and C of one task, as `worldmodels.load` returns them.

    Example:
        >>> import numpy as np, worldmodels as wm
        >>> agent = wm.load("car-racing")
        >>> agent.task.name, agent.temperature, agent.inputs
        ('car-racing', 1.0, 'muh')
        >>> frames = np.zeros((2, 64, 64, 3), np.uint8)
        >>> mu, logvar = agent.encode(frames)
        >>> mu.shape, agent.decode(mu).shape
        ((2, 32), (2, 64, 64, 3))
        >>> action, state = agent.predict(frames[0])
        >>> action.shape, action.dtype
        ((3,), dtype('float32'))
    """

    world_model: WorldModel
    """V, M and where dreams begin. An M that ``can_dream`` is false for has random weights and is never used."""
    inputs: ControllerInputs
    """What C sees of z (or mu, its mean), h and c."""
    solution: Tensor | None
    """C's weights in one row, float32 [parameters]; None: there is no C yet."""
    temperature: float
    """The agent's own: of the dream that it was trained or scored in."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each part's file."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """The JSON facts of the model's folder: ``config``, and where they are there ``evaluation`` and ``training``."""
    can_dream: bool = True
    """Whether there is an M."""

    @property
    def task(self) -> Task:
        """What the agent has learned to do."""
        return self.world_model.spec

    def varied(self, variant: str) -> Agent:
        """Returns the same agent, whose real game has another look: a key of the task's ``variants``, or ``"plain"``; of an
        empty name the agent itself. `save` keeps no look. Raises `UserError` with the nearest match."""
        if not variant:
            return self
        return replace(self, world_model=replace(self.world_model, spec=self.task.varied(variant)))

    @property
    def vae(self) -> VAE:
        """V."""
        return self.world_model.vae

    @property
    def rnn(self) -> MDNRNN:
        """M."""
        return self.world_model.rnn

    @property
    def controller(self) -> dict[str, Tensor]:
        """C's weights by name: ``weight`` float32 [A, F] and ``bias`` [A], or with a hidden layer ``0.weight``, ``0.bias``,
        ``1.weight``, ``1.bias``. Raises `UserError` where there is no C yet."""
        return named_weights(self.world_model.sizes, self.inputs, self.task.controller_bias, self.needed_solution())

    def needed_solution(self) -> Tensor:
        """Returns C's weights in one row, float32 [parameters]. Raises `UserError` where there is no C yet."""
        if self.solution is None:
            raise UserError(f"{self.task.name}: there is no C yet; 'worldmodels train-controller' makes it")
        return self.solution

    def encode(self, frames: Frame) -> tuple[Floats, Floats]:
        """Sends frames through V.

        Args:
            frames: uint8 [B, 64, 64, 3].

        Returns:
            mu and logvar, float32 [B, Z] each: mean and log-variance of each latent.

        Raises:
            UserError: frames of another shape or type.
        """
        seen = _frames(frames, 4)
        with threads_for(len(seen)):
            mu, logvar = self.vae.encode_frames(torch.from_numpy(seen))
        return mu.cpu().numpy(), logvar.cpu().numpy()

    def decode(self, z: Floats) -> Frame:
        """Returns what V makes of latents.

        Args:
            z: float [B, Z].

        Returns:
            Frames uint8 [B, 64, 64, 3].

        Raises:
            UserError: latents of another shape, or not finite.
        """
        found, size = np.asarray(z, np.float32), self.vae.latent_size
        if found.ndim != 2 or found.shape[1] != size:
            raise UserError(f"latents have shape {found.shape}; they must be [B, {size}]")
        _check_finite(found, "latents")
        with threads_for(len(found)):
            frames: Frame = self.vae.decode_frames(torch.tensor(found)).cpu().numpy()
        return frames

    def act(self, features: Floats) -> Floats:
        """Returns what C does, in the dream or wherever there are features.

        Args:
            features: float32 [N, F], the observations of `dream`.

        Returns:
            The environment's actions, float32 [N, A].

        Raises:
            UserError: there is no C yet, or features of another shape, or not finite.
        """
        found, size = np.asarray(features, np.float32), feature_size(self.world_model.sizes, self.inputs)
        if found.ndim != 2 or found.shape[1] != size:
            raise UserError(f"features have shape {found.shape}; they must be [N, {size}]")
        _check_finite(found, "features")
        policy = ControllerPolicy(self.task, self.world_model.sizes, self.inputs, self.needed_solution()[None])
        policy.begin(np.ones(len(found), np.bool_), [EpisodeJob(0, 0)] * len(found))
        return policy.act(found)

    def initial_state(self, seeds: int | Sequence[int] = 0) -> AgentState:
        """Returns the state before the first frame of one episode a seed.

        With the seeds that the environments are reset with, a loop of one's own plays what `worldmodels.evaluate` scores: z is
        drawn with the same noise. The episodes after the first of a slot have the seeds that are N higher each time.

        Args:
            seeds: one for each of N slots, or one number for a single slot; each at least 0.

        Raises:
            UserError: a seed is no whole number, or below 0.
        """
        several = list(seeds) if isinstance(seeds, Sequence | np.ndarray) and not isinstance(seeds, str) else [seeds]
        several = [checked_seed(seed) for seed in several]
        noise = EpisodeNoise(len(several), self.vae.latent_size)
        return AgentState(several, noise, self.rnn.initial_state(len(several)), torch.ones(len(several)))

    def predict(
        self,
        frame: Frame,
        state: AgentState | None = None,
        episode_start: bool | Sequence[bool] | Mask | None = None,
        deterministic: bool = False,
    ) -> tuple[Floats, AgentState]:
        """Sees, acts and remembers: Stable-Baselines3's convention, for a loop of one's own.

        Args:
            frame: uint8 [64, 64, 3] of one environment, or [N, 64, 64, 3] of N.
            state: what the last call returned, which is changed and returned again (``copy.deepcopy`` keeps one to go back to);
                None begins N episodes with the seeds 0 to N - 1 (`initial_state`).
            episode_start: which slots' frames are an episode's first, bool or bool [N]; None: no slot's, but for a new state.
            deterministic: z is V's mean, in place of being drawn as it is when the agent is scored.

        Returns:
            The environment's actions, float32 [A] or [N, A], and the state for the next call. M remembers that these actions
            were taken.

        Raises:
            UserError: there is no C yet, ``frame`` or ``episode_start`` has another shape or type, or ``state`` is none of this
                agent's.
        """
        single = np.ndim(frame) == 3
        frames = _frames(frame, 3 if single else 4).reshape(-1, 64, 64, 3)
        num_slots = len(frames)
        if state is None:
            state = self.initial_state(range(num_slots))
        elif not isinstance(state, AgentState):
            raise UserError(f"the state is a {type(state).__name__}; give what the last call returned, or None to begin")
        elif state.memory.hidden.shape[1] != self.world_model.sizes.hidden_size:
            raise UserError(f"the state is another agent's; begin {self.task.name}'s with None or its own initial_state()")
        elif len(state.seeds) != num_slots:
            raise UserError(f"{num_slots} frames for a state of {len(state.seeds)} slots")
        with threads_for(num_slots):
            normal = self._noise(state, _starts(episode_start, num_slots))
            mu, logvar = self.vae.encode_frames(torch.from_numpy(frames))
            z = mu if deterministic else mu + torch.exp(0.5 * logvar) * normal
            actions = self.act(features(mu, z, state.memory.hidden, state.memory.cell, self.inputs).numpy())
            if uses_memory(self.inputs):
                state.memory = self._stepper.step(z, torch.from_numpy(actions), state.restart, state.memory)
        state.restart = torch.zeros(num_slots)
        return actions[0] if single else actions, state

    def _noise(self, state: AgentState, starts: Mask) -> Tensor:
        """Begins the slots of ``starts`` (bool [N]) and returns this step's normal numbers, float32 [N, Z]."""
        if state.fresh:
            state.fresh = False
            _, normal = state.noise.begin(np.ones(len(starts), np.bool_), state.seeds)
            return normal
        _, normal = state.noise.next()
        if starts.any():
            state.seeds = [seed + len(starts) * int(begun) for seed, begun in zip(state.seeds, starts, strict=True)]
            _, first = state.noise.begin(starts, state.seeds)
            begun = torch.from_numpy(starts)
            normal = torch.where(begun[:, None], first, normal)
            state.memory = RNNState(*(part.masked_fill(begun[:, None], 0) for part in state.memory))
            state.restart = begun.float()
        return normal

    @cached_property
    def _stepper(self) -> MDNStepper:
        return MDNStepper(self.rnn, torch.float32)

    def dream(self, num_envs: int = 1, temperature: float | None = None, dropout: float = 0.0) -> DreamEnv:
        """Returns M's dream of the task, a Gymnasium vector environment of ``num_envs`` slots.

        Observations are what C sees, float32 [N, F]; actions are the real environment's, float32 [N, A]. A slot that has ended
        stays ended until ``reset(options={"reset_mask": mask})`` names it. ``decode()`` gives its frames, uint8 [N, 64, 64, 3].

        Args:
            num_envs: N, at least 1.
            temperature: how uncertain the dream is, 0.01 to 10; None is the agent's own.
            dropout: the share of M that is left out, 0 to 0.9, by one mask an episode, drawn by its seed.

        Raises:
            UserError: there is no M yet, or a number is out of range.
        """
        if not self.can_dream:
            raise UserError(f"{self.task.name}: nothing can dream yet; 'worldmodels train-rnn' makes M")
        if not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise UserError(f"num_envs is {num_envs!r}; it must be a whole number, at least 1")
        at = self.temperature if temperature is None else temperature
        return DreamEnv(self.world_model, self.inputs, num_envs, at, rules=DreamRules(dropout))

    def save(self, folder: str | Path) -> dict[str, str]:
        """Writes the agent into a model's folder, which `worldmodels.load` and every command take.

        Returns:
            The SHA-256 of each part.

        Raises:
            UserError: it is not whole: there is no M or no C yet; or ``folder`` is empty or a file.
            EnvironmentFailure: the disk refuses.
        """
        if not self.can_dream:
            raise UserError(f"{self.task.name}: there is no M yet; 'worldmodels train-rnn' makes it")
        if not isinstance(folder, str | Path) or folder == "":
            raise UserError(f"{folder!r} is no folder's name; give one to save into")
        files.check_folder(Path(folder))
        return save_model(Path(folder), self.world_model, self.inputs, self.needed_solution(), self.temperature)


def _frames(frames: Any, num_dimensions: int) -> NDArray[np.uint8]:
    """Returns frames as a NumPy array. Raises `UserError` for another shape or type."""
    found = np.asarray(frames)
    wanted = "uint8 [64, 64, 3]" if num_dimensions == 3 else "uint8 [B, 64, 64, 3]"
    if found.dtype != np.uint8 or found.ndim != num_dimensions or found.shape[-3:] != (64, 64, 3):
        raise UserError(f"frames are {found.dtype} {list(found.shape)}; they must be {wanted}")
    return np.require(found, requirements=["C", "W"])


def _check_finite(numbers: Floats, name: str) -> None:
    """Raises `UserError` for a row of numbers, float32 [B, K], that holds NaN or infinity."""
    finite = np.isfinite(numbers).all(axis=1)
    if not finite.all():
        raise UserError(f"{name}: row {int(finite.argmin())} holds NaN or infinity")


def _starts(episode_start: bool | Sequence[bool] | Mask | None, num_slots: int) -> Mask:
    """Returns which slots' episodes begin, bool [N]. Raises `UserError` for another shape."""
    if episode_start is None:
        return np.zeros(num_slots, np.bool_)
    starts = np.atleast_1d(np.asarray(episode_start, np.bool_))
    if starts.shape != (num_slots,):
        raise UserError(f"episode_start has shape {starts.shape} for {num_slots} frames")
    return starts
