"""C improved along its gradient inside the dream: proximal policy optimization (Schulman et al., 2017), where hits cost.

An iteration: from moments that were recorded, or dreamt where nothing was, M dreams on, and C is made to choose at random,
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
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.base.errors import UserError
from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import FULL_HEALTH
from worldmodels.config import CollectConfig, ControllerInputs
from worldmodels.data.latents import LatentStore
from worldmodels.envs.task import Task
from worldmodels.models.controller import HIDDEN_LAYER, features
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.side_by_side import shared_out
from worldmodels.search.components import scaled_components
from worldmodels.training.optim import DenseAdam, falling_rate
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.recorded import recorded_states
from worldmodels.worlds.state import WorldState

#: Episodes whose moments dreams begin at, and how many of their steps lie between two.
NUM_EPISODES = 512
STRIDE = 12
#: Rows that the components are taken from, and how many of these C and the critic see: all that M's states hold but noise.
COMPONENT_ROWS = 65_536
NUM_COMPONENTS = 512
#: Dreams of an iteration: blocks, slots of a block, and slots that share their dice (drawing them costs as much as dreaming).
NUM_BLOCKS = 4
BLOCK_SLOTS = 512
SHARED_DICE = 8
#: Choices of a dream, and the steps that each is held for: one step's choice changes next to nothing.
NUM_CHOICES = 64
HOLD_STEPS = 4
#: What a step later is worth, and λ of the advantages, a choice. Looking less far ahead (0.97) it stops improving earlier.
GAMMA = 0.993
LAMBDA = 0.95
#: Passes over an iteration's rows, rows of a batch, and how far the ratio of chances may go from 1.
NUM_EPOCHS = 3
BATCH = 8192
CLIP = 0.2
#: Adam's step in the first iteration and in the last; between them it falls exponentially.
LEARNING_RATE = 2e-3
FINAL_LEARNING_RATE = 2e-4
#: The share of the iterations, the last ones, whose mean C is the result: the noise of single ones cancels out.
MEAN_SHARE = 1 / 3
#: Iterations in which only the critic learns, and its hidden units.
CRITIC_FIRST = 3
HIDDEN_UNITS = 128
#: What a hit costs: the critic's loss is then of the size of C's.
COST = 10.0
#: C's output before tanh, root mean square, where the search begins.
INITIAL_LOGIT_RMS = 3.0


class ActorCritic(nn.Module):
    """C, as weights of the components of what it sees, and the critic of the same.

    ``mean`` is what is learned: C's weights, or their mean over the last iterations once these have begun (see `averaged`).

    Args:
        basis: float32 [F, K]; features times it are the components, each of a second moment of 1.
        weight: float32 [K].
    """

    basis: Tensor
    mean: Tensor

    def __init__(self, basis: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("basis", basis)
        self.weight = nn.Parameter(weight)
        self.register_buffer("mean", weight.clone())
        self.critic_hidden = nn.Linear(basis.shape[1], HIDDEN_UNITS)
        self.critic_out = nn.Linear(HIDDEN_UNITS, 1)
        nn.init.zeros_(self.critic_out.weight)
        nn.init.zeros_(self.critic_out.bias)

    def logit(self, components: Tensor) -> Tensor:
        """Returns the log-odds of the positive action: [..., K] → [...]."""
        return components @ self.weight

    def value(self, components: Tensor) -> Tensor:
        """Returns what is still to come, -`COST` a hit: [..., K] → [...]."""
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


def recorded_starts(world_model: WorldModel, store: LatentStore, num_newest: int, seed: int) -> WorldState:
    """Returns moments of recorded episodes, for dreams to go on from.

    Args:
        num_newest: how many of the last episodes are looked at: those of an agent like C, where there is one.
        seed: of the choice among them, and of the draws of z.
    """
    rng = np.random.default_rng(derive_seed(seed, "starts"))
    newest = np.arange(store.num_episodes)[-num_newest:]
    chosen = rng.permutation(newest)[:NUM_EPISODES]
    first = int(rng.integers(min(STRIDE, store.lengths[chosen].max())))
    moments = recorded_states(world_model, store, chosen, derive_seed(seed, "draws"))
    return WorldState.joined([recorded.moment for step, recorded in enumerate(moments) if step % STRIDE == first])


def dreamt_starts(world_model: WorldModel, temperature: float, data: CollectConfig, seed: int) -> WorldState:
    """Returns moments of dreams in which the data's random policy acts, from first frame to last whatever its health: for a
    world model that comes without episodes.

    Args:
        data: of the random policy.
        seed: of the policies, of the dreams and of the choice of moments.
    """
    spec = world_model.spec
    generators = [np.random.default_rng(derive_seed(seed, "policy", index)) for index in range(NUM_EPISODES)]
    policies = [spec.random_policy(generator, data) for generator in generators]
    world = DreamEnv(world_model, "z", NUM_EPISODES, temperature)
    world.reset(seed=[derive_seed(seed, "dream", index) for index in range(NUM_EPISODES)])
    first = int(np.random.default_rng(derive_seed(seed, "starts")).integers(STRIDE))
    unseen = np.zeros((64, 64, 3), np.uint8)
    moments = []
    for step in range(spec.max_episode_steps):
        if step % STRIDE == first:
            moments.append(world.moment())
        world.step(np.stack([policy(unseen) for policy in policies]))
    found = WorldState.joined(moments)
    return replace(found, health=torch.full_like(found.health, FULL_HEALTH))


def begin(starts: WorldState, inputs: ControllerInputs, solution: Tensor, seed: int) -> ActorCritic:
    """Returns a controller as the search begins with it, and a critic that knows nothing.

    Args:
        solution: float32 [F]; zeros choose by a coin.
        seed: of the critic's weights.
    """
    seen = features(starts.z, starts.z, *starts.state, inputs)
    seen = seen[:: -(-len(seen) // COMPONENT_ROWS)]
    basis = torch.from_numpy(scaled_components(seen.double().cpu().numpy(), NUM_COMPONENTS)).float().to(seen.device)
    # The components are orthonormal over what was seen: this is the nearest that they come to C's output.
    weight = ((seen @ basis) * (seen @ solution)[:, None]).mean(0)
    torch.manual_seed(seed)
    return ActorCritic(basis, weight * (INITIAL_LOGIT_RMS / weight.norm().clamp(min=1e-6))).to(seen.device)


@dataclass(frozen=True)
class DreamPPO:
    """A search whose dreams go on from ``starts``; every draw derives from (``seed``, iteration, block)."""

    world_model: WorldModel
    inputs: ControllerInputs
    temperature: float
    starts: WorldState
    num_iterations: int
    seed: int

    @torch.no_grad()
    def dream(self, net: ActorCritic, iteration: int, block: int, check: Callable[[], None]) -> Rows:
        """Dreams a block of an iteration; ``check`` is called now and then (see `side_by_side`)."""
        rng = np.random.default_rng(derive_seed(self.seed, "block", iteration, block))
        start = self.starts.only(rng.integers(len(self.starts.num_steps), size=BLOCK_SLOTS))
        dice = rng.integers(2**31, size=-(-BLOCK_SLOTS // SHARED_DICE)).repeat(SHARED_DICE)[:BLOCK_SLOTS]
        uniform = torch.from_numpy(rng.random((NUM_CHOICES, BLOCK_SLOTS), np.float32)).to(start.z.device)
        world = DreamEnv(self.world_model, self.inputs, BLOCK_SLOTS, self.temperature, as_tensors=True)
        world.begin_at(start, dice.tolist())
        components, values, chosen, costs = [], [], [], []
        for draw in uniform:
            check()
            here = torch.as_tensor(world.features()) @ net.basis
            components.append(here)
            values.append(net.value(here))
            chosen.append((draw < net.logit(here).sigmoid()).float())
            action = (2 * chosen[-1] - 1).cpu().numpy()[:, None]
            costs.append(torch.stack([world.step(action)[-1]["hit_chance"] for _ in range(HOLD_STEPS)]))
        after = net.value(torch.as_tensor(world.features()) @ net.basis)
        cost = torch.stack(costs)  # [T, steps, N]
        later = GAMMA ** torch.arange(HOLD_STEPS, device=cost.device)
        value = torch.stack([*values, after])
        advantages = advantages_of(-COST * (cost * later[:, None]).sum(1), value)
        parts = (torch.stack(components).half(), torch.stack(chosen), advantages, advantages + value[:-1])
        seen, positive, advantage, target = (part.flatten(0, 1) for part in parts)
        return Rows(seen, positive, advantage, target, cost.mean()[None])

    def improve(self, net: ActorCritic, adam: DenseAdam, iteration: int) -> dict[str, float]:
        """Dreams, and takes an iteration's steps; returns the mean ``hits`` a step, the ``kl`` between C before and after, and
        the share of what came that the critic had ``explained``."""
        num_threads = min(torch.get_num_threads(), NUM_BLOCKS) if self.starts.z.device.type == "cpu" else 1

        def work(mine: Sequence[int], check: Callable[[], None]) -> list[Rows]:
            return [self.dream(net, iteration, block, check) for block in mine]

        blocks = shared_out(range(NUM_BLOCKS), num_threads, work)
        rows = Rows(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))
        components, side = rows.components.float(), 2 * rows.chosen - 1

        def log_chance(which: Tensor | slice) -> Tensor:
            return F.logsigmoid(side[which] * net.logit(components[which]))

        with torch.no_grad():
            before = log_chance(slice(None))
        worth = (rows.advantage - rows.advantage.mean()) / (rows.advantage.std() + 1e-8)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "batches", iteration))
        rate = learning_rate(iteration, self.num_iterations)
        for _ in range(NUM_EPOCHS):
            for batch in torch.split(torch.randperm(len(side), generator=generator).to(side.device), BATCH):
                loss = (net.value(components[batch]) - rows.target[batch]).square().mean()
                ratio = (log_chance(batch) - before[batch]).exp()
                gain = torch.minimum(ratio * worth[batch], ratio.clamp(1 - CLIP, 1 + CLIP) * worth[batch]).mean()
                adam.step(loss - gain * (iteration >= CRITIC_FIRST), rate, None)
        with torch.no_grad():
            net.mean += (net.weight - net.mean) / averaged(iteration, self.num_iterations)
            kl = (before - log_chance(slice(None))).mean()
        explained = 1 - rows.advantage.var() / (rows.target.var() + 1e-8)
        return {"hits": float(rows.hits.mean()), "kl": float(kl), "explained": float(explained)}


def learning_rate(iteration: int, num_iterations: int) -> float:
    """Returns Adam's step in an iteration, counted from 0."""
    return falling_rate(LEARNING_RATE, FINAL_LEARNING_RATE, iteration, num_iterations)


def averaged(iteration: int, num_iterations: int) -> int:
    """Returns over how many iterations C is averaged after this one, counted from 0: 1 until the last of them begin."""
    first = num_iterations - math.ceil(MEAN_SHARE * num_iterations)
    return max(1, iteration - first + 1)


def steps_per_iteration() -> int:
    """Returns how many steps Adam takes in an iteration."""
    return NUM_EPOCHS * -(-NUM_BLOCKS * BLOCK_SLOTS * NUM_CHOICES // BATCH)


def advantages_of(reward: Tensor, value: Tensor) -> Tensor:
    """Returns generalized advantage estimates, float32 [T, N].

    Args:
        reward: of each choice, float32 [T, N], discounted within it.
        value: before each choice and after the last, float32 [T + 1, N].
    """
    gamma = GAMMA**HOLD_STEPS
    surprise = reward + gamma * value[1:] - value[:-1]
    found, ahead = torch.zeros_like(reward), torch.zeros_like(reward[0])
    for index in reversed(range(len(reward))):
        ahead = found[index] = surprise[index] + gamma * LAMBDA * ahead
    return found


def check_ppo(spec: Task, inputs: ControllerInputs, num_iterations: int) -> None:
    """Raises `UserError` where the task is not one of going one way or the other, C is not linear in what it sees, or there are
    so few iterations that it would not learn."""
    if not spec.hit_damages or spec.action_size != 1 or spec.controller_bias:
        raise UserError(f"ppo_iterations is {num_iterations}; it is for tasks of one action and hits, such as take-cover")
    if num_iterations <= CRITIC_FIRST:
        raise UserError(f"ppo_iterations is {num_iterations}; only the critic learns in the first {CRITIC_FIRST}: use more")
    if inputs == HIDDEN_LAYER:
        raise UserError(f"ppo_iterations is {num_iterations}; C on {inputs} has a hidden layer: leave it 0")
