"""Episodes of an agent, for the data of the next round: each with its own share of random actions mixed in.

An agent alone shows M only what it does already; what would happen if it did otherwise is what C has to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import Floats, Mask
from worldmodels.config import CollectConfig
from worldmodels.data.episodes import Recording
from worldmodels.envs.held_random import RandomPolicy
from worldmodels.envs.task import Task
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.rollout import EpisodeJob, Step


class NoisyDriver:
    """The agent's action a and the held random action r of each slot, mixed: (1 - ε) a + ε r, and all that was seen and done.

    ε is drawn once an episode, from U(0, ``max_noise``). Choices cannot be mixed: there r is done with the chance ε, else a.
    """

    def __init__(
        self,
        world: LatentEnv,
        agent: ControllerPolicy,
        task: Task,
        config: CollectConfig,
        seed: int,
        indices: Sequence[int],
        attempt: int,
    ) -> None:
        self._world, self._agent, self._spec, self._config = world, agent, task, config
        self._seed, self._indices, self._attempt = seed, indices, attempt
        self._slots: list[tuple[int, float, RandomPolicy, np.random.Generator]] = []
        self._frames: Any = None
        self.recordings = {index: Recording() for index in indices}

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """All slots begin at once, slot i with episode ``indices[i]``."""
        assert mask.all()
        self._agent.begin(mask, jobs)
        for index in self._indices:
            rng = np.random.default_rng(derive_seed(self._seed, "collect/policy", index, self._attempt))
            noise = self._config.max_noise * rng.random()
            self._slots.append((index, noise, self._spec.random_policy(rng, self._config.random), rng))

    def act(self, obs: Floats) -> Floats:
        """Returns the mixed actions, float32 [N, A], of features [N, F]."""
        self._frames = self._world.frames
        actions = self._agent.act(obs)
        mixed = []
        for action, frame, (_, noise, random, rng) in zip(actions, self._frames, self._slots, strict=True):
            share = float(rng.random() < noise) if self._spec.choices else noise
            mixed.append((1 - share) * action + share * random(frame))
        return np.stack(mixed).astype(np.float32)

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` is false."""
        self._agent.shrink(keep)
        self._slots = [slot for slot, kept in zip(self._slots, keep, strict=True) if kept]

    def __call__(self, running: Mask, obs: Any, actions: Floats, step: Step) -> None:
        """Remembers a step of every slot that is playing."""
        for slot in np.flatnonzero(running):
            recording = self.recordings[self._slots[slot][0]]
            reward, terminated, info = step.of(int(slot))
            recording.add(self._frames[slot], actions[slot], reward, terminated, info["damage"])
