"""How unsure M is: along recorded episodes, and in the dreams that C has there.

Where C's dreams are more uncertain than what really happens, C has gone where M does not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Floats, Mask
from worldmodels.config import ControllerInputs, UncertaintyConfig
from worldmodels.data.latents import LatentStore
from worldmodels.models.precision import device_of
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.uncertainty import Uncertainty
from worldmodels.models.world_model import WorldModel
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.recorded import recorded_states
from worldmodels.worlds.rollout import EpisodeJob, Step, rollout

#: Episodes of each kind that are looked at, at most: every step takes as many times longer as there are masks.
MOST_EPISODES = 32


def _summary(found: Sequence[Tensor | NDArray[Any]]) -> dict[str, Any]:
    values = np.concatenate([np.asarray(part, np.float64) for part in found])
    return {"num_steps": len(values), "mean": float(values.mean()), "p90": float(np.quantile(values, 0.9))}


def of_recorded(
    config: UncertaintyConfig, world_model: WorldModel, store: LatentStore, episodes: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    """Returns M's uncertainty along recorded episodes: over how many steps, its mean, and what nine steps in ten stay below.

    Args:
        episodes: their numbers, int64 [E]; best those that M was not trained on.
        seed: of the draws of z.
    """
    device = device_of(world_model.rnn)
    uncertainty = Uncertainty(MDNStepper(world_model.rnn, torch.float32), config.masks, config.dropout, device)
    found = []
    for recorded in recorded_states(world_model, store, episodes[:MOST_EPISODES], seed):
        before, action = recorded.before, torch.from_numpy(store.action[recorded.rows]).to(device)
        found.append(uncertainty.of(before.z, action, before.restart, before.state).cpu())
    return _summary(found)


def of_dreams(
    config: UncertaintyConfig,
    rules: DreamRules,
    world_model: WorldModel,
    inputs: ControllerInputs,
    temperature: float,
    solution: Tensor,
    jobs: Sequence[EpisodeJob],
) -> dict[str, Any]:
    """Returns M's uncertainty in C's dreams, as `of_recorded` does.

    Args:
        rules: of the dreams, in which it is measured.
        solution: C, float [parameters].
        jobs: the dreams' seeds.
    """
    found = []

    def listen(running: Mask, obs: Any, actions: Floats, step: Step) -> None:
        found.append(step.infos["uncertainty"].cpu()[torch.from_numpy(running)])

    asked = list(jobs)[:MOST_EPISODES]
    measured = dataclasses.replace(rules, uncertainty=config, measured=True)
    world = DreamEnv(world_model, inputs, len(asked), temperature, as_tensors=True, rules=measured)
    policy = ControllerPolicy(world_model.spec, world_model.sizes, inputs, solution[None].to(device_of(world_model.rnn)))
    rollout(world, policy, asked, on_step=listen)
    return _summary(found)
