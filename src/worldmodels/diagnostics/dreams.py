"""Dreams to look at: several beginnings dreamt side by side, and the one of them that shows most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.agent.agent import Agent
from worldmodels.base.types import Floats, Frame
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.runtime.threads import threads_for
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.rollout import EpisodeJob

#: Beginnings that are looked at, how many steps of each, and how many steps apart the frames are that are compared.
BEGINNINGS, LOOK_STEPS, EVERY_STEPS = 16, 200, 10


@dataclass(frozen=True)
class Dream:
    """A dream that has been looked at."""

    seed: int
    frames: Frame
    """uint8 [K, 64, 64, 3], `EVERY_STEPS` apart; the dream may end before there are as many as asked for."""

    @property
    def changes(self) -> NDArray[np.float64]:
        """The mean change of a pixel from each frame to the next, 0 to 255, float64 [K - 1]."""
        changed: NDArray[np.float64] = np.abs(np.diff(self.frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        return changed

    @property
    def motion(self) -> float:
        """How much happens: all of its changes. A dream that ends early has few."""
        return float(self.changes.sum())

    def liveliest(self, num_frames: int) -> int:
        """Returns the first of so many frames in a row that change the most; 0 where there are no more than so many."""
        starts = max(1, len(self.frames) - num_frames + 1)
        return int(np.argmax([self.changes[start : start + num_frames - 1].sum() for start in range(starts)]))


def look(agent: Agent, temperature: float, first_seed: int = 0, num_dreams: int = BEGINNINGS) -> list[Dream]:
    """Dreams the beginnings of seeds from ``first_seed`` on, with the agent acting, or chance where there is no C yet.

    Args:
        agent: it must have an M.
    """
    seeds = range(first_seed, first_seed + num_dreams)
    with torch.no_grad(), threads_for(num_dreams):
        env = DreamEnv(agent.world_model, agent.inputs, num_dreams, temperature, torch.float32)
        act = _player(agent, seeds)
        env.reset(seed=list(seeds))
        alive, frames = np.ones(num_dreams, np.bool_), [env.decode()]
        lasting = [1] * num_dreams
        for step in range(1, LOOK_STEPS + 1):
            _, _, terminated, truncated, _ = env.step(act(env.features()))
            alive &= ~(terminated | truncated)
            if not alive.any():
                break
            if step % EVERY_STEPS == 0:
                frames.append(env.decode())
                lasting = [count + int(still) for count, still in zip(lasting, alive, strict=True)]
        env.close()
    pictures = np.stack(frames, 1)  # [N, K, 64, 64, 3]
    return [Dream(seed, pictures[i, : lasting[i]]) for i, seed in enumerate(seeds)]


def most_eventful(agent: Agent, temperature: float, first_seed: int = 0) -> Dream:
    """Returns the dream with the most motion of `BEGINNINGS` seeds from ``first_seed`` on; the first of several that are alike.

    The same agent, temperature and seed give the same one. Nothing is scored by it.
    """
    return max(look(agent, temperature, first_seed), key=lambda dream: dream.motion)


def _player(agent: Agent, seeds: range) -> Callable[[Floats | torch.Tensor], Floats]:
    """Returns what chooses the actions of all slots, float32 [N, A], from their features: C, or chance."""
    if agent.solution is None:
        policies = [agent.task.seeded_random_policy(seed) for seed in seeds]
        unseen = np.zeros((64, 64, 3), np.uint8)
        return lambda _: np.stack([policy(unseen) for policy in policies]).astype(np.float32)
    policy = ControllerPolicy(agent.task, agent.world_model.sizes, agent.inputs, agent.solution[None])
    policy.begin(np.ones(len(seeds), np.bool_), [EpisodeJob(0, seed) for seed in seeds])
    return policy.act
