"""C improved along its gradient inside the dream: proximal policy optimization (Schulman et al., 2017).

An iteration: from states that were recorded, or imagined ones if none were, M dreams on, and C is made to act by chance, once
every few steps, around what it would do (`action_distributions`). A critic learns what is still to come, generalized advantage
estimation (Schulman et al., 2016) says what each choice was worth, and C moves towards the better ones. A fitness of CMA-ES is
one number an episode; here every choice has an answer.

Where the task has hits, these cost, and nothing else counts: nothing is cut short when the health is used up, and what is
learned is not to be hit. Elsewhere the dream's rewards count, as far as M expects it to go on: what comes after a step counts
with the chance, by M's done head, that this one is not the last. Where that is below a half, as in every dream, nothing comes
after it, and the slot begins anew from another state. The limit of an episode's steps is no end here.

A pessimistic search pays for M's uncertainty in every step. One that seeks that, or M's loss, has it for its reward: hits then
cost nothing, and the end of the health is the end.

N slots, T choices, F features, K components, U hidden units, A outputs of C, R = N · T rows.
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

from worldmodels.base.errors import UserError
from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import FULL_HEALTH, Floats, Mask
from worldmodels.config import ControllerConfig, ControllerInputs, DreamPPOConfig, RandomPolicyConfig
from worldmodels.data.latents import LatentStore
from worldmodels.envs.task import Task
from worldmodels.models.controller import HIDDEN_UNITS, features, has_hidden_layer
from worldmodels.models.world_model import WorldModel
from worldmodels.runtime.side_by_side import shared_out
from worldmodels.runtime.slices import cut
from worldmodels.search.action_distributions import ActionDistribution, Gaussian, TwoWays, distribution_of
from worldmodels.search.components import scaled_components
from worldmodels.training.optim import DenseAdam, falling_rate
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.recorded import recorded_states
from worldmodels.worlds.state import WorldState

#: What an iteration's row says of a step of its dreams: the first, or, where the task has no hits, the others.
CAME = ("hits", "reward", "ends")


class ActorCritic(nn.Module):
    """C, as weights of the components of what it sees (and of a 1 before it, if C has biases), and the critic of the same.

    ``mean`` is what is learned: C's weights, or their mean over the last iterations once these have begun (see `averaged`);
    so is ``hidden_mean`` of those into its hidden layer, if it has one.

    Args:
        basis: float32 [F, K], or [1 + F, K] with ``bias``; features times it are the components, each of a second moment of 1.
        weight: float32 [K, A], or [K] for `TwoWays`; with a hidden layer U, or 1 + U with ``bias``, in the place of K.
        hidden: float32 [K, U], of the components into the hidden layer; None: there is none.
        critic_units: the critic's hidden units.
        bias: whether C has biases.
        scales: whether rewards are scaled; else they are taken as they are.
    """

    basis: Tensor
    mean: Tensor
    hidden: Tensor | None
    hidden_mean: Tensor | None
    reward_scale: Tensor
    """What rewards are multiplied by, so that the critic has numbers of about 1 to learn; 0: not known yet."""

    def __init__(
        self, basis: Tensor, weight: Tensor, critic_units: int, bias: bool, scales: bool, hidden: Tensor | None = None
    ) -> None:
        super().__init__()
        self.bias = bias
        self.register_buffer("basis", basis)
        # Where nothing is scaled, the files are those of older runs.
        self.register_buffer("reward_scale", weight.new_tensor(float(not scales)), persistent=scales)
        self.weight = nn.Parameter(weight)
        self.register_buffer("mean", weight.clone())
        self.hidden = None if hidden is None else nn.Parameter(hidden)
        self.register_buffer("hidden_mean", None if hidden is None else hidden.clone())
        self.critic_hidden = nn.Linear(basis.shape[1], critic_units)
        self.critic_out = nn.Linear(critic_units, 1)
        nn.init.zeros_(self.critic_out.weight)
        nn.init.zeros_(self.critic_out.bias)

    def components(self, seen: Tensor) -> Tensor:
        """Returns the components of features: [..., F] → [..., K]."""
        return seen @ self.basis[1:] + self.basis[0] if self.bias else seen @ self.basis

    def logit(self, components: Tensor) -> Tensor:
        """Returns C's outputs before tanh: [..., K] → [..., A], or [...] for `TwoWays`."""
        if self.hidden is None:
            return components @ self.weight
        return through_hidden(components, self.hidden, self.weight)

    def value(self, components: Tensor) -> Tensor:
        """Returns what is still to come, minus ``hit_cost`` a hit: [..., K] → [...]."""
        value: Tensor = self.critic_out(self.critic_hidden(components).tanh())[..., 0]
        return value

    def average(self, num: int) -> None:
        """Takes the weights into their mean, as the last of ``num``."""
        self.mean += (self.weight - self.mean) / num
        if self.hidden is not None and self.hidden_mean is not None:
            self.hidden_mean += (self.hidden - self.hidden_mean) / num

    def is_finite(self) -> bool:
        """Returns whether all of C's weights are finite."""
        return bool(torch.isfinite(self.weight).all()) and (self.hidden is None or bool(torch.isfinite(self.hidden).all()))

    def solution(self) -> Tensor:
        """Returns C, float32 [parameters]: its outputs before tanh are `logit`'s. With even odds it stands still."""
        if self.hidden_mean is None:
            return self._layer(self.basis @ self.mean)
        return torch.cat([self._layer(self.basis @ self.hidden_mean), self._layer(self.mean)])

    def _layer(self, weight: Tensor) -> Tensor:
        """Returns a layer as a solution has it, its biases first: [1 + inputs, outputs] → float32 [parameters]; without biases
        [inputs, outputs], of one output [inputs]."""
        if self.bias:
            return torch.cat([weight[0].flatten(), weight[1:].T.flatten()])
        return weight.T.flatten() if weight.ndim == 2 else weight


def through_hidden(components: Tensor, hidden: Tensor, weight: Tensor) -> Tensor:
    """Returns the outputs of a C with a hidden layer, before tanh: [..., K] → [..., A], or [...].

    Args:
        hidden: float32 [K, U].
        weight: float32 [U, A] or [U]; with a row more before it, the biases.
    """
    units = (components @ hidden).tanh()
    num = hidden.shape[1]
    return units @ weight if len(weight) == num else units @ weight[1:] + weight[0]


class Rows(NamedTuple):
    """What an iteration has seen: the components, float16 [R, K]; what was chosen, float32 [R, …] (`ActionDistribution`); the
    choice's advantage, and what came of it, float32 [R] each; the mean number of hits a step, float32 [1], or of ends in a task
    without hits; the mean reward a step there, float32 [1]; M's mean uncertainty, float32 [1], 0 where it is not measured."""

    components: Tensor
    chosen: Tensor
    advantage: Tensor
    target: Tensor
    hits: Tensor
    reward: Tensor
    uncertainty: Tensor


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
    """Returns states of dreams in which the data's random policy acts, from first frame to last whatever its health, or until
    M ends them: for a world model that comes without episodes.

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
    unseen, going = np.zeros((64, 64, 3), np.uint8), np.ones(num_episodes, np.bool_)
    beginnings, moments = world.world_state(), []
    for step in range(spec.max_episode_steps):
        if step % stride == first:
            moments.append(world.world_state().only(going))
        terminated = world.step(np.stack([policy(unseen) for policy in policies]))[2]
        going &= ~terminated | world_model.sizes.hits
        if not going.any():
            break
    found = WorldState.joined(moments or [beginnings])
    return replace(found, health=torch.full_like(found.health, FULL_HEALTH))


def begin(
    config: DreamPPOConfig,
    starts: WorldState,
    inputs: ControllerInputs,
    solution: Tensor,
    seed: int,
    spec: Task | None = None,
    hits: bool | None = None,
) -> ActorCritic:
    """Returns a controller as the search begins with it, and a critic that knows nothing.

    Args:
        solution: float32 [parameters]; zeros choose by a coin.
        seed: of the critic's weights.
        spec: the task; None: one of two ways and hits, and a C without biases. A C that chooses is brought to
            ``initial_logit_rms``, which does not change what it chooses.
        hits: whether hits are what counts (`hits_count`); None: where the task has them.
    """
    actions = TwoWays() if spec is None else distribution_of(spec, config.initial_std)
    bias = spec is not None and spec.controller_bias
    if hits is None:
        hits = spec is None or bool(spec.hit_damages)
    seen = features(starts.z, starts.z, *starts.state, inputs)
    seen = seen[:: -(-len(seen) // config.component_rows)]
    if bias:
        seen = torch.cat([torch.ones_like(seen[:, :1]), seen], 1)
    basis = torch.from_numpy(scaled_components(seen.double().cpu().numpy(), config.num_components)).float().to(seen.device)
    hidden = None
    if has_hidden_layer(inputs):
        num_first = HIDDEN_UNITS * seen.shape[1]
        first, weight = solution[:num_first], _rows(solution[num_first:], HIDDEN_UNITS + bias, bias).T
        hidden = _along(basis, seen, _rows(first, seen.shape[1], bias)) if first.any() else _random(basis, seed)
        outputs = through_hidden(seen @ basis, hidden, weight)
    else:
        weight = _along(basis, seen, _rows(solution, seen.shape[1], bias))
        outputs = None
    if isinstance(actions, TwoWays):
        weight = weight[:, 0]
    torch.manual_seed(seed)
    if not isinstance(actions, Gaussian):
        # The components are orthonormal over what was seen: without a hidden layer this is the outputs' root mean square.
        rms = weight.norm() / math.sqrt(weight[0].numel()) if outputs is None else outputs.square().mean().sqrt()
        weight = weight * (config.initial_logit_rms / rms.clamp(min=1e-6))
    return ActorCritic(basis, weight.contiguous(), config.critic_units, bias, not hits, hidden).to(seen.device)


def _rows(layer: Tensor, num_inputs: int, bias: bool) -> Tensor:
    """Returns a layer of a solution, its biases as the first column: float32 [outputs, num_inputs], a 1 among the inputs."""
    num_outputs = len(layer) // num_inputs
    if not bias:
        return layer.view(num_outputs, num_inputs)
    return torch.cat([layer[:num_outputs, None], layer[num_outputs:].view(num_outputs, num_inputs - 1)], 1)


def _along(basis: Tensor, seen: Tensor, rows: Tensor) -> Tensor:
    """Returns weights of the components, float32 [K, outputs]: the nearest that they come to a layer's outputs, as they are
    orthonormal over what was seen, [rows, F]."""
    return torch.stack([((seen @ basis) * (seen @ row)[:, None]).mean(0) for row in rows], -1)


def _random(basis: Tensor, seed: int) -> Tensor:
    """Returns weights into the hidden layer, float32 [K, U], for which a unit's second moment is 1 before its tanh."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "hidden"))
    num_components = basis.shape[1]
    return (torch.randn(num_components, HIDDEN_UNITS, generator=generator) / math.sqrt(num_components)).to(basis.device)


def hits_count(world_model: WorldModel, rules: DreamRules) -> bool:
    """Returns whether hits are what a search is about, and not rewards."""
    return world_model.sizes.hits and rules.seeks == "reward"


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
    rules: DreamRules = DreamRules()  # noqa: RUF009 (frozen)

    @property
    def hits_count(self) -> bool:
        """Whether hits are what it is about."""
        return hits_count(self.world_model, self.rules)

    def actions(self, iteration: int) -> ActionDistribution:
        """Returns how C acts in an iteration, counted from 0."""
        std = falling_rate(self.config.initial_std, self.config.final_std, iteration, self.num_iterations)
        return distribution_of(self.world_model.spec, std)

    @torch.no_grad()
    def dream(self, net: ActorCritic, iteration: int, block: int, check: Callable[[], None]) -> Rows:
        """Dreams a block of an iteration; calls ``check`` periodically (see `side_by_side`)."""
        config, num_slots, spec = self.config, self.config.block_slots, self.world_model.spec
        actions = self.actions(iteration)
        rng = np.random.default_rng(derive_seed(self.seed, "block", iteration, block))
        start = self.starts.only(rng.integers(len(self.starts.num_steps), size=num_slots))
        each = config.slots_per_seed
        seeds = rng.integers(2**31, size=-(-num_slots // each)).repeat(each)[:num_slots]
        draws = torch.from_numpy(actions.draws(rng, config.num_choices, num_slots)).to(start.z.device)
        world = DreamEnv(self.world_model, self.inputs, num_slots, self.temperature, as_tensors=True, rules=self.rules)
        world.restore(start, seeds.tolist())
        components, values, chosen, gains, goings, doubts = [], [], [], [], [], []
        for draw in draws:
            check()
            here = net.components(torch.as_tensor(world.features()))
            components.append(here)
            values.append(net.value(here))
            chosen.append(actions.sample(net.logit(here), draw))
            action = spec.squash(actions.said(chosen[-1]).cpu().numpy())
            gain, going, over, doubt = self.held(world, action)
            gains.append(gain)
            goings.append(going)
            doubts.append(doubt)
            if over.any():
                world.go_on(over, self.starts.only(rng.integers(len(self.starts.num_steps), size=int(over.sum()))))
        values.append(net.value(net.components(torch.as_tensor(world.features()))))
        gain, going, value, doubt = torch.stack(gains), torch.stack(goings), torch.stack(values), torch.stack(doubts)
        later = config.gamma ** torch.arange(config.hold_steps, device=gain.device)
        worth = -config.hit_cost if self.hits_count else float(net.reward_scale) or 1.0
        reward = worth * (gain * later[:, None]).sum(1)
        if self.hits_count and self.rules.pessimism:  # elsewhere the dream's reward has it already
            reward = reward - self.rules.pessimism * (doubt * later[:, None]).sum(1)
        advantages = advantages_of(config, reward, value, going)
        parts = (torch.stack(components).half(), torch.stack(chosen), advantages, advantages + value[:-1])
        hits = gain.mean() if self.hits_count else (1 - going).mean() / config.hold_steps
        seen, which, advantage, target = (part.flatten(0, 1) for part in parts)
        return Rows(seen, which, advantage, target, hits[None], gain.mean()[None], doubt.mean()[None])

    def held(self, world: DreamEnv, action: Floats) -> tuple[Tensor, Tensor, Mask, Tensor]:
        """Holds an action for some steps, float32 [N, A].

        Returns:
            Of each step M's chance of a hit, or the reward times the chance that the dream went on until then, float32
            [steps, N]; the chance that it goes on after them, float32 [N]; where it has ended, bool [N]; M's uncertainty in
            each step, float32 [steps, N], zeros where it is not measured. Nothing ends where hits are what counts.
        """
        gains, doubts, device = [], [], self.starts.z.device
        going, over = torch.ones(self.config.block_slots, device=device), np.zeros(self.config.block_slots, np.bool_)
        for _ in range(self.config.hold_steps):
            _, reward, terminated, _, info = world.step(action)
            doubts.append(info.get("uncertainty", torch.zeros_like(going)))
            if self.hits_count:
                gains.append(info["hit_chance"])
                continue
            gains.append(going * torch.from_numpy(reward.astype(np.float32)).to(device))
            over |= terminated
            if "end_chance" in info:
                going = going * (1 - info["end_chance"]) * torch.from_numpy(~terminated).to(device)
            elif self.world_model.sizes.hits:
                going = going * torch.from_numpy(~terminated).to(device)
        return torch.stack(gains), going, over, torch.stack(doubts)

    def improve(self, net: ActorCritic, adam: DenseAdam, iteration: int) -> dict[str, float]:
        """Dreams, and takes an iteration's steps; returns the mean ``hits`` a step, or the mean ``reward`` and ``ends`` a step
        where the task has none, the ``kl`` between C before and after, and the share of what came that the critic had
        ``explained``."""
        config = self.config
        num_threads = min(torch.get_num_threads(), config.num_blocks) if self.starts.z.device.type == "cpu" else 1

        def work(mine: Sequence[int], check: Callable[[], None]) -> list[Rows]:
            return [self.dream(net, iteration, block, check) for block in mine]

        blocks = shared_out(range(config.num_blocks), num_threads, work)
        rows = Rows(*(torch.cat(same) for same in zip(*blocks, strict=True)))
        if not net.reward_scale:  # the critic knows nothing yet, and all is in units of the reward
            net.reward_scale += 1 / rows.target.square().mean().sqrt().clamp(min=1e-6)
            rows = rows._replace(advantage=rows.advantage * net.reward_scale, target=rows.target * net.reward_scale)
        components, chosen, actions = rows.components.float(), rows.chosen, self.actions(iteration)

        with torch.no_grad():
            before = actions.log_prob(net.logit(components), chosen)
        worth = (rows.advantage - rows.advantage.mean()) / (rows.advantage.std() + 1e-8)

        def loss(whole: int, which: Tensor, net: ActorCritic) -> tuple[Tensor, dict[str, Tensor]]:
            seen = components[which]
            error = (net.value(seen) - rows.target[which]).square()
            ratio = (actions.log_prob(net.logit(seen), chosen[which]) - before[which]).exp()
            gain = torch.minimum(ratio * worth[which], ratio.clamp(1 - config.clip_range, 1 + config.clip_range) * worth[which])
            return (error - gain * (iteration >= config.critic_iterations)).sum() / whole, {}

        generator = torch.Generator().manual_seed(derive_seed(self.seed, "batches", iteration))
        rate = learning_rate(config, iteration, self.num_iterations)
        for _ in range(config.num_epochs):
            for batch in torch.split(torch.randperm(len(before), generator=generator).to(before.device), config.batch_size):
                parts = cut(len(batch), config.num_slices, batch.device)
                adam.step([partial(loss, len(batch), batch[part]) for part in parts], rate, None)
        with torch.no_grad():
            net.average(averaged(config, iteration, self.num_iterations))
            kl = (before - actions.log_prob(net.logit(components), chosen)).mean()
        explained = 1 - rows.advantage.var() / (rows.target.var() + 1e-8)
        hits, reward = float(rows.hits.mean()), float(rows.reward.mean())
        came = {"hits": hits} if self.hits_count else {"reward": reward, "ends": hits}
        if self.rules.measures:
            came["uncertainty"] = float(rows.uncertainty.mean())
        return {**came, "kl": float(kl), "explained": float(explained)}


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


def advantages_of(config: DreamPPOConfig, reward: Tensor, value: Tensor, going: Tensor | None = None) -> Tensor:
    """Returns generalized advantage estimates, float32 [T, N].

    Args:
        reward: of each choice, float32 [T, N], discounted within it.
        value: before each choice and after the last, float32 [T + 1, N].
        going: the chance that a dream did not end while the choice was held, float32 [T, N]: what comes after it counts so
            much. Where it is 0 what follows in the slot is another dream. None: 1 everywhere.
    """
    gamma = config.gamma**config.hold_steps
    going = torch.ones_like(reward) if going is None else going
    surprise = reward + gamma * (value[1:] * going) - value[:-1]
    found, ahead = torch.zeros_like(reward), torch.zeros_like(reward[0])
    for index in reversed(range(len(reward))):
        ahead = found[index] = surprise[index] + gamma * config.gae_lambda * (ahead * going[index])
    return found


def check_ppo(config: ControllerConfig) -> None:
    """Raises `UserError` where there are so few iterations that C would not learn."""
    asked, critic_alone = f"ppo_iterations is {config.ppo_iterations}", config.ppo.critic_iterations
    if config.ppo_iterations <= critic_alone:
        raise UserError(f"{asked}; only the critic learns in the first {critic_alone}: use more")
