"""C that plans: now and then it looks ahead in M's dream before it acts.

Decision-time planning by a rollout algorithm (Tesauro & Galperin, 1996; Sutton & Barto, 2018, section 8.10): from where the
world is, each of a few plans is dreamt on a few times, C acting once a plan is over, and M's chance of a hit is summed up. The
plan with the lowest sum is followed, then comes the next decision.

N slots, P plans, D dreams of each, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.config import ControllerInputs
from worldmodels.dream_env import DreamEnv
from worldmodels.envs.spec import EnvSpec, Floats
from worldmodels.errors import UserError
from worldmodels.models.controller import ControllerPolicy
from worldmodels.models.world_model import Moment, WorldModel
from worldmodels.rollout import EpisodeJob
from worldmodels.run import derive_seed
from worldmodels.worlds import Mask

#: A plan: the single action that is held for `HOLD_STEPS`, or None, as C does.
Plan = float | None
PLANS: tuple[Plan, ...] = (None, -1.0, 1.0)
HOLD_STEPS = 8
#: How many steps a dream lasts, and how many of them a plan gets.
NUM_STEPS = 48
NUM_DREAMS = 8
#: The dream's temperature: M's own chances.
TEMPERATURE = 1.0
#: C is followed unless another plan meets fewer hits by at least this.
MARGIN = 0.002


def check_can_plan(spec: EnvSpec, what: str) -> None:
    """Raises `UserError`, which begins with ``what``, where the task is not one of going one way or the other and of hits."""
    if not spec.hit_damages or spec.action_size != 1:
        raise UserError(f"{what}; it is for tasks of one action and hits, such as take-cover")


@torch.no_grad()
def expected_hits(
    dream: DreamEnv, agent: ControllerPolicy, moments: Moment, plans: Sequence[Plan], seeds: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """Dreams on from moments with each plan; in dream d of a moment, all plans meet the same dice.

    Args:
        dream: of N · P · D slots.
        agent: C, whose one candidate acts where no plan does.
        moments: N of them.
        seeds: int64 [N, D], of the dice.

    Returns:
        What C sees at first, float32 [N, F], and M's chances of a hit, summed over `NUM_STEPS`, float32 [N, P].
    """
    num, num_dreams = seeds.shape
    copies = len(plans) * num_dreams
    agent.begin(np.ones(num * copies, np.bool_), [EpisodeJob(0, 0)] * (num * copies))
    # Slots in the order moment, plan, dream.
    dream.begin_at(moments.only(np.arange(num).repeat(copies)), np.repeat(seeds[:, None], len(plans), 1).flatten().tolist())
    one = np.repeat(np.array([np.nan if plan is None else plan for plan in plans], np.float32), num_dreams)
    held = np.tile(one, num)[:, None]
    obs: Any = dream.features()  # a tensor
    seen, hits = obs[::copies].clone(), torch.zeros(num * copies, device=obs.device)
    for step in range(NUM_STEPS):
        actions = agent.act(obs)
        if step < HOLD_STEPS:
            actions = np.where(np.isnan(held), actions, held)
        obs, _, _, _, infos = dream.step(actions)
        hits += infos["hit_chance"]
    return seen, hits.view(num, len(plans), num_dreams).mean(2)


class RememberingWorld(Protocol):
    """A world that a dream can go on from: `LatentEnv`, `DreamEnv`."""

    def moment(self) -> Moment:
        """Returns where all slots are."""


class Planner:
    """Acts for all slots of a world; a slot decides every `HOLD_STEPS` of its episode, which alone decides what it does.

    Args:
        world: where it acts.
        world_model: what it dreams with.
        inputs: what C sees.
        solution: C, float32 [parameters].
    """

    def __init__(self, world: RememberingWorld, world_model: WorldModel, inputs: ControllerInputs, solution: Tensor) -> None:
        self._world, self._world_model, self._inputs, self._solution = world, world_model, inputs, solution[None]
        self._agent, self._dreaming_agent = (ControllerPolicy(world_model.spec, inputs, solution[None]) for _ in range(2))
        self._dream: DreamEnv | None = None  # the last decision's, for the next
        self._seeds = np.zeros(0, np.int64)  # of the slots' episodes
        self._steps = np.zeros(0, np.int64)
        self._plan = np.zeros(0, np.int64)  # number of the slots' plans

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Episodes begin in the slots of ``mask`` (bool [N])."""
        self._agent.begin(mask, [None if job is None else EpisodeJob(0, job.seed) for job in jobs])
        if len(self._seeds) != len(mask):
            self._seeds, self._steps, self._plan = (np.zeros(len(mask), np.int64) for _ in range(3))
        for slot, job in enumerate(jobs):
            if job is not None:
                self._seeds[slot], self._steps[slot] = job.seed, 0

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` (bool [N]) is false."""
        self._agent.shrink(keep)
        self._seeds, self._steps, self._plan = self._seeds[keep], self._steps[keep], self._plan[keep]

    def act(self, obs: Any) -> Floats:
        """Features [N, F] → actions, float32 [N, 1]."""
        due = np.flatnonzero(self._steps % HOLD_STEPS == 0)
        if len(due):
            self._decide(due)
        self._steps += 1
        actions = self._agent.act(obs)
        for number, plan in enumerate(PLANS):
            if plan is not None:
                actions[self._plan == number] = plan
        return actions

    def _decide(self, due: NDArray[np.int64]) -> None:
        seeds = np.array(
            [
                [derive_seed(int(seed), "plan", int(step), dream) for dream in range(NUM_DREAMS)]
                for seed, step in zip(self._seeds[due], self._steps[due], strict=True)
            ]
        )
        num = len(due) * len(PLANS) * NUM_DREAMS
        if self._dream is None or self._dream.num_envs != num:
            self._dream = DreamEnv(self._world_model, self._inputs, num, TEMPERATURE, as_tensors=True)
        _, hits = expected_hits(self._dream, self._dreaming_agent, self._world.moment().only(due), PLANS, seeds)
        hits[:, PLANS.index(None)] -= MARGIN
        self._plan[due] = hits.argmin(1).cpu().numpy()


def make_policy(
    world: RememberingWorld, world_model: WorldModel, inputs: ControllerInputs, solutions: Tensor, plans: bool
) -> ControllerPolicy | Planner:
    """Returns who acts in a world: C, or C that plans.

    Args:
        solutions: C's candidates, float [candidates, parameters]; a single one where C plans.
    """
    if not plans:
        return ControllerPolicy(world_model.spec, inputs, solutions)
    assert len(solutions) == 1
    return Planner(world, world_model, inputs, solutions[0])
