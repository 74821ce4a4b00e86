"""Plays episodes in the real environment, in one process: a pool's worker, or this one.

A chunk of jobs is played side by side by itself, so that what comes out does not depend on who played it beside what.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym
import torch

from worldmodels.base.tensors import load_module, save_tensors
from worldmodels.base.types import Floats, Frame
from worldmodels.config import ControllerInputs
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Task
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.vae import VAE
from worldmodels.models.world_model import InitialLatents, WorldModel
from worldmodels.policies.blind import Blind
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.runs import layout
from worldmodels.runs.task_file import Facts
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob, EpisodeResult, rollout

#: Jobs that are played side by side at most, and how many chunks there are at least, to be shared out.
MAX_CHUNK_JOBS, MIN_CHUNKS = 32, 4


def split_jobs(jobs: Sequence[EpisodeJob]) -> list[Sequence[EpisodeJob]]:
    """Returns the chunks of jobs that are played side by side."""
    size = min(max(1, -(-len(jobs) // MIN_CHUNKS)), MAX_CHUNK_JOBS)
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


class RealPlayer:
    """Environments that stay open, with V and M before them; or without, for a policy that does not look.

    Args:
        spec: the task.
        official: whether to play the official environment where training has a faster copy.
        world_model: V and M; None for a policy that does not look, ``blind``.
        inputs: what C sees.
    """

    def __init__(
        self,
        spec: Task,
        official: bool,
        world_model: WorldModel | None,
        inputs: ControllerInputs,
        blind: Blind = Blind(),  # noqa: B008 (frozen)
    ) -> None:
        self._spec, self._official, self._world_model, self._inputs, self._blind = spec, official, world_model, inputs, blind
        self._envs: list[gym.Env[Frame, Floats]] = []

    def play(
        self, solutions: Floats, jobs: Sequence[EpisodeJob], patience_steps: int, cap_steps: int = 0
    ) -> list[EpisodeResult]:
        """Plays a chunk of jobs side by side, each with its candidate of ``solutions`` (float [P, parameters])."""
        while len(self._envs) < len(jobs):
            self._envs.append(self._spec.make_env(self._official))
        pixels = PixelEnvs(self._envs[: len(jobs)], self._spec.env_threads)
        threads = torch.get_num_threads()
        # One thread: the processes share the cores out, and the arithmetic is the same wherever it happens.
        torch.set_num_threads(1)
        try:
            if self._world_model is None:
                return rollout(pixels, self._blind.policy(self._spec, pixels.single_action_space), jobs)
            world = LatentEnv(pixels, self._world_model, self._inputs)
            policy = ControllerPolicy(self._spec, self._world_model.sizes, self._inputs, torch.tensor(solutions))
            steps = self._spec.max_episode_steps
            return rollout(world, policy, jobs, patience_steps=patience_steps, max_steps=steps, cap_steps=cap_steps)
        finally:
            torch.set_num_threads(threads)
            pixels.release()

    def close(self) -> None:
        """Closes the environments."""
        for env in self._envs:
            env.close()
        self._envs = []


_player: RealPlayer | None = None


def save_weights(folder: Path, world_model: WorldModel) -> None:
    """Leaves V and M for the workers."""
    for name, module in (("vae", world_model.vae), ("rnn", world_model.rnn)):
        save_tensors(folder / f"{name}.safetensors", dict(module.named_parameters()))


def prepare_worker(
    weights: Path | None,
    task: str | Facts,
    frames: str,
    variant: str,
    official: bool,
    sizes: RNNSizes | None,
    inputs: ControllerInputs,
    blind: Blind,
) -> None:
    """Makes the player of a worker process; ``weights`` is the folder of V and M, and ``sizes`` are theirs; None where
    ``blind`` plays."""
    global _player
    torch.set_num_threads(1)
    spec = get_task(task).seeing(frames).varied(variant)
    world_model = None
    if weights is not None and sizes is not None:
        vae, rnn = VAE(sizes.latent_size, sizes.width), MDNRNN(sizes)
        load_module(weights / layout.VAE, vae)
        load_module(weights / layout.RNN, rnn)
        # Only dreams begin somewhere.
        none = torch.zeros(0, sizes.latent_size)
        world_model = WorldModel(spec, vae.eval(), rnn.eval(), InitialLatents(none, none))
    _player = RealPlayer(spec, official, world_model, inputs, blind)


def play_in_worker(
    solutions: Floats, jobs: Sequence[EpisodeJob], patience_steps: int, cap_steps: int = 0
) -> list[EpisodeResult]:
    """Plays a chunk in a worker process."""
    assert _player is not None
    return _player.play(solutions, jobs, patience_steps, cap_steps)
