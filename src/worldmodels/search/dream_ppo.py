"""C improved along its gradient inside the dream: proximal policy optimization (Schulman et al., 2017), where hits cost.

An iteration: from states that were recorded, or imagined ones if none were, M dreams on, and C is made to choose at random,
once every few steps, between its two actions: the positive one with chance σ(w · components of what it sees). A critic learns
which hits are still to come, generalized advantage estimation (Schulman et al., 2016) says what each choice was worth, and w
moves towards the better ones. A fitness of CMA-ES is one number an episode; here every choice has an answer. Nothing is cut
short when the health is used up: the dreams of an iteration are all of one length, and what is learned is not to be hit.

N slots, T choices, F features, K components, R = N · T rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.base.errors import UserError
from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import FULL_HEALTH
from worldmodels.config import ControllerConfig, ControllerInputs, DreamPPOConfig, RandomPolicyConfig
from worldmodels.data.latents import LatentStore
from worldmodels.envs.task import Task
from worldmodels.models.controller import HIDDEN_LAYER, features
from worldmodels.models.mdn_rnn import RNNSizes
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.side_by_side import shared_out
from worldmodels.runtime.slices import cut
from worldmodels.search.components import scaled_components
from worldmodels.training.optim import DenseAdam, falling_rate
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.recorded import recorded_states
from worldmodels.worlds.state import WorldState


class ActorCritic(nn.Module):
    """C, as weights of the components of what it sees, and the critic of the same.

    ``mean`` is what is learned: C's weights, or their mean over the last iterations once these have begun (see `averaged`).

    Args:
        basis: float32 [F, K]; features times it are the components, each of a second moment of 1.
        weight: float32 [K].
        critic_units: the critic's hidden units.
    """

    basis: Tensor
    mean: Tensor

    def __init__(self, basis: Tensor, weight: Tensor, critic_units: int) -> None:
        super().__init__()
        self.register_buffer("basis", basis)
        self.weight = nn.Parameter(weight)
        self.register_buffer("mean", weight.clone())
        self.critic_hidden = nn.Linear(basis.shape[1], critic_units)
        self.critic_out = nn.Linear(critic_units, 1)
        nn.init.zeros_(self.critic_out.weight)
        nn.init.zeros_(self.critic_out.bias)

    def logit(self, components: Tensor) -> Tensor:
        """Returns the log-odds of the positive action: [..., K] → [...]."""
        return components @ self.weight

    def value(self, components: Tensor) -> Tensor:
        """Returns what is still to come, minus ``hit_cost`` a hit: [..., K] → [...]."""
        value: Tensor = self.critic_out(self.critic_hidden(components).tanh())[..., 0]
        return value

    def solution(self) -> Tensor:
        """Returns C, float32 [F]: its output before tanh is the logit. What it would do with even odds is to stand still."""
        solution: Tensor = self.basis @ self.mean
        return solution


class Rows(NamedTuple):
    """What an iteration has seen: the components, float16 [R, K]; where the positive action was chosen, 0 or 1, the choice's
    advantage, and what came of it, float32 [R] each; the mean number of hits a step, float32 [1]."""

    components: Tensor
    chosen: Tensor
    advantage: Tensor
    target: Tensor
    hits: Tensor


def recorded_starts(
    config: DreamPPOConfig, world_model: WorldModel, store: LatentStore, num_newest: int, seed: int
) -> WorldState:
    """Returns states of recorded episodes, for dreams to go on from.

    Args:
        num_newest: how many of the last episodes are looked at: those of an agent like C, where there is one.
        seed: of the choice among them, and of the draws of z.
    """
    rng = np.random.default_rng(derive_seed(seed, "starts"))
    newest = np.arange(store.num_episodes)[-num_newest:]
    chosen, stride = rng.permutation(newest)[: config.start_episodes], config.start_stride_steps
    first = int(rng.integers(min(stride, store.lengths[chosen].max())))
    moments = recorded_states(world_model, store, chosen, derive_seed(seed, "draws"))
    return WorldState.joined([recorded.before for step, recorded in enumerate(moments) if step % stride == first])


def dreamt_starts(
    config: DreamPPOConfig, world_model: WorldModel, temperature: float, random: RandomPolicyConfig, seed: int
) -> WorldState:
    """Returns states of dreams in which the data's random policy acts, from first frame to last whatever its health: for a
    world model that comes without episodes.

    Args:
        random: of the random policy.
        seed: of the policies, of the dreams and of the choice of states.
    """
    spec, num_episodes, stride = world_model.spec, config.start_episodes, config.start_stride_steps
    generators = [np.random.default_rng(derive_seed(seed, "policy", index)) for index in range(num_episodes)]
    policies = [spec.random_policy(generator, random) for generator in generators]
    world = DreamEnv(world_model, "z", num_episodes, temperature)
    world.reset(seed=[derive_seed(seed, "dream", index) for index in range(num_episodes)])
    first = int(np.random.default_rng(derive_seed(seed, "starts")).integers(stride))
    unseen = np.zeros((64, 64, 3), np.uint8)
    moments = []
    for step in range(spec.max_episode_steps):
        if step % stride == first:
            moments.append(world.world_state())
        world.step(np.stack([policy(unseen) for policy in policies]))
    found = WorldState.joined(moments)
    return replace(found, health=torch.full_like(found.health, FULL_HEALTH))


def begin(config: DreamPPOConfig, starts: WorldState, inputs: ControllerInputs, solution: Tensor, seed: int) -> ActorCritic:
    """Returns a controller as the search begins with it, and a critic that knows nothing.

    Args:
        solution: float32 [F]; zeros choose by a coin.
        seed: of the critic's weights.
    """
    seen = features(starts.z, starts.z, *starts.state, inputs)
    seen = seen[:: -(-len(seen) // config.component_rows)]
    basis = torch.from_numpy(scaled_components(seen.double().cpu().numpy(), config.num_components)).float().to(seen.device)
    # The components are orthonormal over what was seen: this is the nearest that they come to C's output.
    weight = ((seen @ basis) * (seen @ solution)[:, None]).mean(0)
    torch.manual_seed(seed)
    weight = weight * (config.initial_logit_rms / weight.norm().clamp(min=1e-6))
    return ActorCritic(basis, weight, config.critic_units).to(seen.device)


@dataclass(frozen=True)
class DreamPPO:
    """A search whose dreams go on from ``starts``; every draw derives from (``seed``, iteration, block)."""

    config: DreamPPOConfig
    world_model: WorldModel
    inputs: ControllerInputs
    temperature: float
    starts: WorldState
    num_iterations: int
    seed: int

    @torch.no_grad()
    def dream(self, net: ActorCritic, iteration: int, block: int, check: Callable[[], None]) -> Rows:
        """Dreams a block of an iteration; calls ``check`` periodically (see `side_by_side`)."""
        config, num_slots = self.config, self.config.block_slots
        rng = np.random.default_rng(derive_seed(self.seed, "block", iteration, block))
        start = self.starts.only(rng.integers(len(self.starts.num_steps), size=num_slots))
        each = config.slots_per_seed
        seeds = rng.integers(2**31, size=-(-num_slots // each)).repeat(each)[:num_slots]
        uniform = torch.from_numpy(rng.random((config.num_choices, num_slots), np.float32)).to(start.z.device)
        world = DreamEnv(self.world_model, self.inputs, num_slots, self.temperature, as_tensors=True)
        world.restore(start, seeds.tolist())
        components, values, chosen, costs = [], [], [], []
        for draw in uniform:
            check()
            here = torch.as_tensor(world.features()) @ net.basis
            components.append(here)
            values.append(net.value(here))
            chosen.append((draw < net.logit(here).sigmoid()).float())
            action = (2 * chosen[-1] - 1).cpu().numpy()[:, None]
            costs.append(torch.stack([world.step(action)[-1]["hit_chance"] for _ in range(config.hold_steps)]))
        after = net.value(torch.as_tensor(world.features()) @ net.basis)
        cost = torch.stack(costs)  # [T, steps, N]
        later = config.gamma ** torch.arange(config.hold_steps, device=cost.device)
        value = torch.stack([*values, after])
        advantages = advantages_of(config, -config.hit_cost * (cost * later[:, None]).sum(1), value)
        parts = (torch.stack(components).half(), torch.stack(chosen), advantages, advantages + value[:-1])
        seen, positive, advantage, target = (part.flatten(0, 1) for part in parts)
        return Rows(seen, positive, advantage, target, cost.mean()[None])

    def improve(self, net: ActorCritic, adam: DenseAdam, iteration: int) -> dict[str, float]:
        """Dreams, and takes an iteration's steps; returns the mean ``hits`` a step, the ``kl`` between C before and after, and
        the share of what came that the critic had ``explained``."""
        config = self.config
        num_threads = min(torch.get_num_threads(), config.num_blocks) if self.starts.z.device.type == "cpu" else 1

        def work(mine: Sequence[int], check: Callable[[], None]) -> list[Rows]:
            return [self.dream(net, iteration, block, check) for block in mine]

        blocks = shared_out(range(config.num_blocks), num_threads, work)
        rows = Rows(*(torch.cat(same) for same in zip(*blocks, strict=True)))
        components, side = rows.components.float(), 2 * rows.chosen - 1

        with torch.no_grad():
            before = F.logsigmoid(side * net.logit(components))
        worth = (rows.advantage - rows.advantage.mean()) / (rows.advantage.std() + 1e-8)

        def loss(whole: int, which: Tensor, net: ActorCritic) -> tuple[Tensor, dict[str, Tensor]]:
            seen = components[which]
            error = (net.value(seen) - rows.target[which]).square()
            ratio = (F.logsigmoid(side[which] * net.logit(seen)) - before[which]).exp()
            gain = torch.minimum(ratio * worth[which], ratio.clamp(1 - config.clip_range, 1 + config.clip_range) * worth[which])
            return (error - gain * (iteration >= config.critic_iterations)).sum() / whole, {}

        generator = torch.Generator().manual_seed(derive_seed(self.seed, "batches", iteration))
        rate = learning_rate(config, iteration, self.num_iterations)
        for _ in range(config.num_epochs):
            for batch in torch.split(torch.randperm(len(side), generator=generator).to(side.device), config.batch_size):
                parts = cut(len(batch), config.num_slices, batch.device)
                adam.step([partial(loss, len(batch), batch[part]) for part in parts], rate, None)
        with torch.no_grad():
            net.mean += (net.weight - net.mean) / averaged(config, iteration, self.num_iterations)
            kl = (before - F.logsigmoid(side * net.logit(components))).mean()
        explained = 1 - rows.advantage.var() / (rows.target.var() + 1e-8)
        return {"hits": float(rows.hits.mean()), "kl": float(kl), "explained": float(explained)}


def learning_rate(config: DreamPPOConfig, iteration: int, num_iterations: int) -> float:
    """Returns Adam's step in an iteration, counted from 0."""
    return falling_rate(config.learning_rate, config.final_learning_rate, iteration, num_iterations)


def averaged(config: DreamPPOConfig, iteration: int, num_iterations: int) -> int:
    """Returns over how many iterations C is averaged after this one, counted from 0: 1 until the last of them begin."""
    first = num_iterations - math.ceil(config.averaged_fraction * num_iterations)
    return max(1, iteration - first + 1)


def steps_per_iteration(config: DreamPPOConfig) -> int:
    """Returns how many steps Adam takes in an iteration."""
    num_rows = config.num_blocks * config.block_slots * config.num_choices
    return config.num_epochs * -(-num_rows // config.batch_size)


def advantages_of(config: DreamPPOConfig, reward: Tensor, value: Tensor) -> Tensor:
    """Returns generalized advantage estimates, float32 [T, N].

    Args:
        reward: of each choice, float32 [T, N], discounted within it.
        value: before each choice and after the last, float32 [T + 1, N].
    """
    gamma = config.gamma**config.hold_steps
    surprise = reward + gamma * value[1:] - value[:-1]
    found, ahead = torch.zeros_like(reward), torch.zeros_like(reward[0])
    for index in reversed(range(len(reward))):
        ahead = found[index] = surprise[index] + gamma * config.gae_lambda * ahead
    return found


def check_ppo(spec: Task, sizes: RNNSizes, config: ControllerConfig) -> None:
    """Raises `UserError` where the task is not one of going one way or the other, M does not learn hits, C is not linear in
    what it sees, or there are so few iterations that it would not learn."""
    asked, critic_alone = f"ppo_iterations is {config.ppo_iterations}", config.ppo.critic_iterations
    if not spec.hit_damages or spec.action_size != 1 or spec.controller_bias:
        raise UserError(f"{asked}; it is for tasks of one action and hits, such as take-cover")
    if not sizes.hits:
        raise UserError(f"{asked}, and it needs the hits that M foresees, whose end_target is deaths: leave it 0")
    if config.ppo_iterations <= critic_alone:
        raise UserError(f"{asked}; only the critic learns in the first {critic_alone}: use more")
    if config.inputs == HIDDEN_LAYER:
        raise UserError(f"{asked}; C on {config.inputs} has a hidden layer: leave it 0")
