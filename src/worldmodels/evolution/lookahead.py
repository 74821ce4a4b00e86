"""Where the search of C begins: a controller fitted to what looking ahead in the dream says.

Rollout classification policy iteration (Lagoudakis & Parr, 2003). A round: from many states, half of them recorded and half of
dreams that C plays, each of two plans (a few steps one way, or the other, then C again) is dreamt on, and M's chance of a hit
summed up; a new C is then fitted to going where the sum is lower, a mistake weighing what it costs. A fitness of CMA-ES is one
number an episode; here every state has an answer. One dream a plan is a noisy answer, but states are what counts: for the same
time, four times as many of them with a quarter of the dreams each give the better C.

S states, F features, P the two plans.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldmodels.config import ControllerInputs
from worldmodels.data.latents import LatentStore
from worldmodels.dream_env import DreamEnv
from worldmodels.envs.spec import EnvSpec, Floats
from worldmodels.errors import UserError
from worldmodels.evolution.components import scaled_components
from worldmodels.evolution.recorded import recorded_moments
from worldmodels.evolution.side_by_side import shared_out
from worldmodels.models.controller import ControllerPolicy, layer_sizes
from worldmodels.models.world_model import Moment, WorldModel
from worldmodels.progress import Progress
from worldmodels.rollout import EpisodeJob, Step, rollout
from worldmodels.run import derive_seed
from worldmodels.worlds import Mask

#: How many steps a plan's dream lasts, and for how many of them the plan is held.
NUM_STEPS = 48
HOLD_STEPS = 8
#: The two plans, for the single action.
PLANS = (-1.0, 1.0)
#: States that one thread looks ahead from at a time; dreams that it does so in.
BLOCK_STATES = 16_384
NUM_SLOTS = 1024
#: Episodes whose states are taken at a time, and how many of their steps lie between two states.
NUM_EPISODES = 128
STRIDE = 12
#: C is interrupted with this chance a step, for so many steps, and then left in peace for a while.
INTERRUPTION = 0.02
INTERRUPTED_STEPS = (3, 20)
PEACE_STEPS = 60
#: Principal components that the fit sees; its epochs, batch, largest step of Adam and weight decay.
NUM_COMPONENTS = 512
NUM_EPOCHS = 8
BATCH = 1024
LEARNING_RATE = 1e-2
DECAY = 1e-4
#: Rows that the components are taken from: 500 MB.
COMPONENT_ROWS = 65_536
#: How loud the fitted C is: its output before tanh, root mean square. C hardly ever stands still.
LOUDNESS = 15.0


class Interrupted:
    """C, which in every dream is now and then interrupted by one action, held for 3 to 19 steps."""

    def __init__(self, agent: ControllerPolicy, seed: int) -> None:
        self._agent, self._rng = agent, np.random.default_rng(seed)
        self._left = self._held = np.zeros(0)

    def begin(self, mask: Mask, jobs: Any) -> None:
        """All slots begin at once."""
        self._agent.begin(mask, jobs)
        self._left, self._held = np.zeros(len(mask)), np.zeros(len(mask))

    def shrink(self, keep: Mask) -> None:
        """Drops slots."""
        self._agent.shrink(keep)
        self._left, self._held = self._left[keep], self._held[keep]

    def act(self, obs: Any) -> Floats:
        """Returns actions, float32 [N, 1]."""
        actions = self._agent.act(obs)
        self._left -= 1
        begins = (self._left < -PEACE_STEPS) & (self._rng.random(len(self._left)) < INTERRUPTION)
        self._left[begins] = self._rng.integers(*INTERRUPTED_STEPS, begins.sum())
        self._held[begins] = self._rng.choice([-1.0, 0.0, 1.0], begins.sum())
        actions[self._left > 0, 0] = self._held[self._left > 0]
        return actions


@dataclass(frozen=True)
class Lookahead:
    """What a round works with.

    Attributes:
        inputs: what C sees; C is linear in it.
        solution: C, float32 [parameters], on the world model's device.
        temperature: the dream's.
        store: recorded episodes, the newest last.
        num_newest: how many of the newest are looked at: those of an agent like C, where there is one.
    """

    world_model: WorldModel
    inputs: ControllerInputs
    solution: Tensor
    temperature: float
    store: LatentStore
    num_newest: int

    def dream(self, num_envs: int) -> DreamEnv:
        """Returns dreams side by side."""
        return DreamEnv(self.world_model, self.inputs, num_envs, self.temperature, as_tensors=True)

    def agent(self) -> ControllerPolicy:
        """Returns C."""
        return ControllerPolicy(self.world_model.spec, self.inputs, self.solution[None])

    def dreamt_states(self, num_states: int, seed: int) -> Moment:
        """Returns up to ``num_states`` moments of dreams that C plays, interrupted. Raises `UserError` if there are none."""
        found: list[Moment] = []
        num_steps = 0
        world = self.dream(NUM_EPISODES)

        def look(running: Mask, obs: Any, actions: Floats, step: Step) -> None:
            nonlocal num_steps
            num_steps += 1
            if num_steps % STRIDE == 0:
                found.append(world.moment().only(running & ~step.terminated))

        policy = Interrupted(self.agent(), derive_seed(seed, "interruptions"))
        rollout(world, policy, [EpisodeJob(0, derive_seed(seed, "dream", i)) for i in range(NUM_EPISODES)], on_step=look)
        if not found:
            raise UserError(f"looking ahead: all of {NUM_EPISODES} dreams end within {STRIDE} steps; train M for longer")
        return _some(found, num_states, seed)

    def recorded_states(self, num_states: int, seed: int) -> Moment:
        """Returns up to ``num_states`` moments of recorded episodes."""
        store = self.store
        rng = np.random.default_rng(derive_seed(seed, "recorded"))
        chosen = np.arange(store.num_episodes)[-self.num_newest :]
        chosen = rng.permutation(chosen)[: 4 * NUM_EPISODES]
        # As many episodes as hold twice that many states.
        enough = 1 + int(np.searchsorted(np.cumsum(store.lengths[chosen]), 2 * STRIDE * num_states))
        moments = recorded_moments(self.world_model, store, chosen[:enough], derive_seed(seed, "draws"))
        first = int(rng.integers(min(STRIDE, store.lengths[chosen[:enough]].max())))
        return _some([moment for step, (_, moment) in enumerate(moments) if step % STRIDE == first], num_states, seed)

    def look_ahead(self, moments: Moment, seed: int, check: Callable[[], None] = lambda: None) -> tuple[Tensor, Tensor]:
        """Dreams on from moments, once with each plan and then C; both plans meet the same dice.

        Args:
            check: called now and then (see `side_by_side`).

        Returns:
            What C sees there, float16 [S, F], and M's chances of a hit, summed over `NUM_STEPS`, float32 [S, P].
        """
        per_piece = NUM_SLOTS // len(PLANS)
        seeds = np.random.default_rng(derive_seed(seed, "dice")).integers(2**31, size=len(moments.num_steps))
        pieces = [slice(first, min(first + per_piece, len(seeds))) for first in range(0, len(seeds), per_piece)]
        found = []
        for here in pieces:
            check()
            found.append(self._look_ahead(moments.only(here), seeds[here]))
        seen, risk = zip(*found, strict=True)
        return torch.cat(seen), torch.cat(risk)

    def _look_ahead(self, moments: Moment, seeds: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        num_states, num_plans = len(seeds), len(PLANS)
        num = num_states * num_plans
        world, agent = self.dream(num), self.agent()
        agent.begin(np.ones(num, np.bool_), [EpisodeJob(0, 0)] * num)
        # Slots in the order state, plan.
        world.begin_at(moments.only(np.arange(num_states).repeat(num_plans)), seeds.repeat(num_plans).tolist())
        held = np.tile(np.array(PLANS, np.float32), num_states)[:, None]
        obs: Any = world.features()  # a tensor
        seen, risk = obs[::num_plans].half().cpu(), torch.zeros(num, device=obs.device)
        for step in range(NUM_STEPS):
            obs, _, _, _, infos = world.step(held if step < HOLD_STEPS else agent.act(obs))
            risk += infos["hit_chance"]
        return seen, risk.view(num_states, num_plans).cpu()

    @torch.no_grad()
    def block(self, num_states: int, seed: int, check: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Looks ahead from up to ``num_states`` states, half of them recorded (see `look_ahead`)."""
        recorded = self.recorded_states(num_states // 2, seed)
        dreamt = self.dreamt_states(num_states - num_states // 2, seed)
        return self.look_ahead(Moment.joined([recorded, dreamt]), seed, check)

    def labels(self, num_states: int, seed: int, tell: Callable[[int], None] = lambda _: None) -> tuple[Tensor, Tensor]:
        """Looks ahead from about ``num_states`` states, shared out over torch's threads: how many there are changes nothing.

        Args:
            tell: told how many states a thread has looked ahead from.
        """
        sizes = [min(BLOCK_STATES, num_states - first) for first in range(0, num_states, BLOCK_STATES)]
        on_cpu = self.world_model.initial.mu.device.type == "cpu"
        num_threads = min(torch.get_num_threads() if on_cpu else 1, len(sizes))

        def work(mine: Sequence[int], check: Callable[[], None]) -> list[tuple[Tensor, Tensor]]:
            found = []
            for block in mine:
                found.append(self.block(sizes[block], derive_seed(seed, "block", block), check))
                tell(sizes[block])
            return found

        seen, risk = zip(*shared_out(range(len(sizes)), num_threads, work), strict=True)
        return torch.cat(seen), torch.cat(risk)


def _some(moments: list[Moment], num: int, seed: int) -> Moment:
    every = Moment.joined(moments)
    return every.only(np.random.default_rng(derive_seed(seed, "order")).permutation(len(every.num_steps))[:num])


def fit(seen: Tensor, risk: Tensor, seed: int) -> Tensor:
    """Fits a linear C to going where the risk is lower: a logistic regression whose weights are the differences.

    Args:
        seen: float16 [S, F].
        risk: float32 [S, P].
        seed: of the batches.

    Returns:
        float32 [F].
    """
    every = -(-len(seen) // COMPONENT_ROWS)
    basis = torch.from_numpy(scaled_components(seen[::every].double().numpy(), NUM_COMPONENTS)).float()
    difference = risk[:, 0] - risk[:, 1]  # above 0: the second plan, a positive action, is the better one
    side, weight = difference.sign(), difference.abs() / difference.abs().mean()
    w = torch.zeros(basis.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([w], LEARNING_RATE)
    num_batches = -(-len(seen) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=NUM_EPOCHS * num_batches, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(NUM_EPOCHS):
        for batch in torch.split(torch.randperm(len(seen), generator=generator), BATCH):
            said = seen[batch].float() @ (basis @ w)
            loss = (weight[batch] * F.softplus(-side[batch] * said)).mean() + DECAY * w.square().sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    fitted = w.detach()
    loud: Tensor = basis @ (LOUDNESS * fitted / fitted.norm())
    return loud


def check_lookahead(spec: EnvSpec, inputs: ControllerInputs, num_rounds: int) -> None:
    """Raises `UserError` where the task is not one of going one way or the other, or C is not linear in what it sees."""
    if not spec.hit_damages or spec.action_size != 1 or spec.controller_bias:
        raise UserError(f"lookahead_rounds is {num_rounds}; it is for tasks of one action and hits, such as take-cover")
    if len(layer_sizes(spec, inputs)) != 1:
        raise UserError(f"lookahead_rounds is {num_rounds}; C on {inputs} has a hidden layer: leave it 0")


def look_ahead_round(look: Lookahead, num_states: int, seed: int, name: str) -> Tensor:
    """Returns the controller, float32 [parameters], that one round of looking ahead makes of another.

    Args:
        num_states: S: 2.2 kB each for TakeCover.
        name: of the round, for its progress.
    """
    progress = Progress(f"look ahead, {name}", num_states, "states")
    done, lock = 0, threading.Lock()

    def tell(num: int) -> None:
        nonlocal done
        with lock:
            done += num
            progress.update(done)

    seen, risk = look.labels(num_states, seed, tell)
    progress.finish(f"{len(seen):,} states, {risk.mean():.4f} hits expected in {NUM_STEPS} steps")
    return fit(seen, risk, derive_seed(seed, "fit"))
