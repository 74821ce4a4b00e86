"""Where the search of C begins: a controller fitted to what looking ahead in the dream says.

Rollout classification policy iteration (Lagoudakis & Parr, 2003). One round: C dreams, interrupted now and then by actions held
at random; in many of the states that it comes to, each of two plans (a few steps one way, or the other, then C again) is dreamt
on from there a few times, and M's chance of a hit summed up; C is then fitted to going where the sum is lower, a mistake
weighing what it costs. A fitness of CMA-ES is one number an episode; here every state has an answer.

S states, F features, P the two plans.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodels.config import ControllerInputs
from worldmodels.dream_env import DreamEnv
from worldmodels.envs.spec import Floats
from worldmodels.errors import UserError
from worldmodels.evolution.side_by_side import side_by_side
from worldmodels.models.controller import ControllerPolicy, layer_sizes
from worldmodels.models.world_model import Moment, WorldModel
from worldmodels.progress import Progress
from worldmodels.rollout import EpisodeJob, Step, rollout
from worldmodels.run import derive_seed
from worldmodels.worlds import Mask

#: States of a round, the dreams that each plan gets in each of them, and how many steps these last.
NUM_STATES = 28_672
NUM_DREAMS = 4
NUM_STEPS = 48
#: A plan is held for this many steps.
HOLD_STEPS = 8
#: The two plans, for the single action.
PLANS = (-1.0, 1.0)
#: Dreams of a round whose states are looked at, and how many of their steps lie between two looks.
NUM_EPISODES = 1024
STRIDE = 12
#: Rounds whose states a fit sees: 125 MB each for TakeCover.
ROUNDS_SEEN = 5
#: Slots of a piece of work.
NUM_SLOTS = 1024
#: Principal components that the fit sees; its epochs, batch and weight decay.
NUM_COMPONENTS = 512
NUM_EPOCHS = 12
BATCH = 1024
DECAY = 3e-4
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
        # Not before 60 steps have gone by in peace.
        begins = (self._left < -60) & (self._rng.random(len(self._left)) < 0.02)
        self._left[begins] = self._rng.integers(3, 20, begins.sum())
        self._held[begins] = self._rng.choice([-1.0, 0.0, 1.0], begins.sum())
        actions[self._left > 0, 0] = self._held[self._left > 0]
        return actions


@torch.no_grad()
def visited(world_model: WorldModel, inputs: ControllerInputs, solution: Tensor, temperature: float, seed: int) -> Moment:
    """Returns up to `NUM_STATES` moments of dreams that C (``solution`` [parameters]) plays, interrupted, in random order."""
    world = DreamEnv(world_model, inputs, NUM_EPISODES, temperature, as_tensors=True)
    policy = Interrupted(ControllerPolicy(world_model.spec, inputs, solution[None]), derive_seed(seed, "interruptions"))
    found: list[Moment] = []
    num_steps = 0

    def look(running: Mask, obs: Any, actions: Floats, step: Step) -> None:
        nonlocal num_steps
        num_steps += 1
        if num_steps % STRIDE == 0:
            found.append(world.moment().only(running & ~step.terminated))

    rollout(world, policy, [EpisodeJob(0, derive_seed(seed, "dream", i)) for i in range(NUM_EPISODES)], on_step=look)
    every = Moment.joined(found)
    order = np.random.default_rng(derive_seed(seed, "order")).permutation(len(every.num_steps))[:NUM_STATES]
    return every.only(order)


@torch.no_grad()
def look_ahead(
    world_model: WorldModel, inputs: ControllerInputs, solution: Tensor, temperature: float, moments: Moment, seed: int
) -> tuple[Tensor, Tensor]:
    """Dreams on from moments, with each plan and then C; both plans meet the same dice.

    Returns:
        What C sees there, float32 [S, F], and the hits that M expects of each plan, float32 [S, P].
    """
    per_piece = NUM_SLOTS // (len(PLANS) * NUM_DREAMS)
    num_states = len(moments.num_steps)
    pieces = [slice(first, min(first + per_piece, num_states)) for first in range(0, num_states, per_piece)]
    num_threads = torch.get_num_threads()

    def work(mine: list[int], check: Any) -> list[tuple[Tensor, Tensor]]:
        found = []
        for piece in mine:
            check()
            dice = derive_seed(seed, "dice", piece)
            found.append(_look_ahead(world_model, inputs, solution, temperature, moments.only(pieces[piece]), dice))
        return found

    shares = [list(range(first, len(pieces), num_threads)) for first in range(min(num_threads, len(pieces)))]
    done = side_by_side([partial(work, share) for share in shares])
    seen, risk = zip(*(done[piece % num_threads][piece // num_threads] for piece in range(len(pieces))), strict=True)
    return torch.cat(seen).cpu(), torch.cat(risk).cpu()


def _look_ahead(
    world_model: WorldModel, inputs: ControllerInputs, solution: Tensor, temperature: float, moments: Moment, seed: int
) -> tuple[Tensor, Tensor]:
    num_states, copies = len(moments.num_steps), len(PLANS) * NUM_DREAMS
    num = num_states * copies
    world = DreamEnv(world_model, inputs, num, temperature, as_tensors=True)
    agent = ControllerPolicy(world_model.spec, inputs, solution[None])
    agent.begin(np.ones(num, np.bool_), [EpisodeJob(0, 0)] * num)
    # Slots in the order state, plan, dream.
    seeds = np.random.default_rng(seed).integers(2**31, size=(num_states, 1, NUM_DREAMS)).repeat(len(PLANS), 1)
    world.begin_at(moments.only(np.arange(num_states).repeat(copies)), seeds.flatten().tolist())
    held = np.tile(np.repeat(PLANS, NUM_DREAMS), num_states).astype(np.float32)[:, None]
    obs: Any = world.features()  # a tensor
    seen, risk = obs[::copies].clone(), torch.zeros(num, device=obs.device)
    for step in range(NUM_STEPS):
        obs, _, _, _, infos = world.step(held if step < HOLD_STEPS else agent.act(obs))
        risk += infos["hit_chance"]
    return seen, risk.view(num_states, len(PLANS), NUM_DREAMS).mean(2)


def fit(seen: Tensor, risk: Tensor, start: Tensor, seed: int) -> Tensor:
    """Fits C to going where the risk is lower: a logistic regression whose weights are the differences, a few epochs from where
    C was. At its minimum C does better still in the dream, and worse in the game: what M is wrong about is fitted too.

    Args:
        seen: float32 [S, F].
        risk: float32 [S, P].
        start: float [F], where the fit begins.

    Returns:
        float32 [F].
    """
    moment, vectors = torch.linalg.eigh((seen.T @ seen / len(seen)).double())
    scale = moment.flip(0)[:NUM_COMPONENTS].clamp(min=1e-12).sqrt()
    vectors = vectors.flip(1)[:, :NUM_COMPONENTS]
    x = seen @ (vectors / scale).float()
    difference = risk[:, 0] - risk[:, 1]  # above 0: the second plan, a positive action, is the better one
    side, weight = difference.sign(), difference.abs() / difference.abs().mean()
    begin = (vectors * scale).T @ start.double()
    w = (3 * begin / begin.norm().clamp(min=1e-6)).float().requires_grad_(True)
    optimizer = torch.optim.Adam([w], 1e-2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.85)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(NUM_EPOCHS):
        for batch in torch.split(torch.randperm(len(x), generator=generator), BATCH):
            loss = (weight[batch] * F.softplus(-side[batch] * (x[batch] @ w))).mean() + DECAY * w.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    fitted = w.detach().double()
    loud: Tensor = vectors / scale @ (LOUDNESS * fitted / fitted.norm())
    return loud.float()


def look_ahead_start(
    world_model: WorldModel, inputs: ControllerInputs, start: Floats, temperature: float, num_rounds: int, seed: int
) -> Floats:
    """Returns the controller that ``num_rounds`` of looking ahead make of ``start`` (float [parameters]); each round's fit sees
    the states of the last `ROUNDS_SEEN`. A minute or so a round on two cores; when killed it begins anew, and ends the same.

    Raises:
        UserError: the task is not one of going one way or the other, or C is not linear in what it sees.
    """
    spec = world_model.spec
    if not spec.hit_damages or spec.action_size != 1 or spec.controller_bias:
        raise UserError(f"lookahead_rounds is {num_rounds}; it is for tasks of one action and hits, such as take-cover")
    if len(layer_sizes(spec, inputs)) != 1:
        raise UserError(f"lookahead_rounds is {num_rounds}; C on {inputs} has a hidden layer: leave it 0")
    solution = torch.from_numpy(start).float()
    rounds: deque[tuple[Tensor, Tensor]] = deque(maxlen=ROUNDS_SEEN)
    progress = Progress("look ahead", num_rounds, "rounds")
    for index in range(num_rounds):
        dice = derive_seed(seed, "controller/lookahead", index)
        moments = visited(world_model, inputs, solution, temperature, dice)
        rounds.append(look_ahead(world_model, inputs, solution, temperature, moments, dice))
        seen, risk = (torch.cat(parts) for parts in zip(*rounds, strict=True))
        solution = fit(seen, risk, solution, dice)
        said = f"{rounds[-1][1].mean():.4f} hits expected in {NUM_STEPS} steps"
        progress.update(index + 1, said)
    progress.finish(f"{num_rounds} rounds, {said}")
    return np.asarray(solution)
