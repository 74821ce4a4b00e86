"""How C acts by chance while it learns by PPO: a distribution of actions around its outputs before tanh.

What is chosen is kept with what was seen, so that its probability under a later C can be told (`log_prob`).

N slots, T choices, A outputs of C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodels.base.types import Floats
from worldmodels.envs.task import Task


class ActionDistribution(Protocol):
    """Draws actions, and says how probable they are."""

    def draws(self, rng: np.random.Generator, num_choices: int, num_slots: int) -> Floats:
        """Returns the numbers that decide a dream's choices, float32 [T, N, …]."""
        ...

    def sample(self, outputs: Tensor, draw: Tensor) -> Tensor:
        """Returns what is chosen, float32 [N, …], from C's outputs before tanh and one choice's numbers of `draws`."""
        ...

    def log_prob(self, outputs: Tensor, chosen: Tensor) -> Tensor:
        """Returns the log-probability (or its density) of what was chosen: [R, …], [R, …] → [R]."""
        ...

    def said(self, chosen: Tensor) -> Tensor:
        """Returns it as C would say it, before the task's ``squash``: [N, …] → [N, A] in [-1, 1]."""
        ...


@dataclass(frozen=True)
class TwoWays:
    """All of one action, or all of its opposite: 1 with chance σ(output), else -1. Outputs [N]; chosen is 1 or 0, [N]."""

    def draws(self, rng: np.random.Generator, num_choices: int, num_slots: int) -> Floats:
        return rng.random((num_choices, num_slots), np.float32)

    def sample(self, outputs: Tensor, draw: Tensor) -> Tensor:
        return (draw < outputs.sigmoid()).float()

    def log_prob(self, outputs: Tensor, chosen: Tensor) -> Tensor:
        return F.logsigmoid((2 * chosen - 1) * outputs)

    def said(self, chosen: Tensor) -> Tensor:
        return (2 * chosen - 1)[:, None]


@dataclass(frozen=True)
class Categorical:
    """One option of each choice, with chances softmax(its outputs). Outputs [N, A]; chosen is one-hot, [N, A]."""

    choices: tuple[int, ...]
    """How many options each choice has, A in all."""

    def draws(self, rng: np.random.Generator, num_choices: int, num_slots: int) -> Floats:
        return rng.random((num_choices, num_slots, len(self.choices)), np.float32)

    def sample(self, outputs: Tensor, draw: Tensor) -> Tensor:
        chosen = []
        for index, options in enumerate(torch.split(outputs, list(self.choices), -1)):
            passed = draw[:, index, None] > options.softmax(-1).cumsum(-1)[:, :-1]
            chosen.append(F.one_hot(passed.sum(-1), options.shape[-1]))
        return torch.cat(chosen, -1).float()

    def log_prob(self, outputs: Tensor, chosen: Tensor) -> Tensor:
        each = [options.log_softmax(-1) for options in torch.split(outputs, list(self.choices), -1)]
        return (torch.cat(each, -1) * chosen).sum(-1)

    def said(self, chosen: Tensor) -> Tensor:
        return chosen


@dataclass(frozen=True)
class Gaussian:
    """Normal around C's outputs, each by itself; the action is tanh of what is drawn. Outputs and chosen [N, A].

    The density is that before tanh: tanh would divide an action's density by the same number for every C, so that ratios stay.
    """

    std: float
    """The standard deviation."""
    size: int
    """A."""

    def draws(self, rng: np.random.Generator, num_choices: int, num_slots: int) -> Floats:
        return rng.standard_normal((num_choices, num_slots, self.size), np.float32)

    def sample(self, outputs: Tensor, draw: Tensor) -> Tensor:
        return outputs + self.std * draw

    def log_prob(self, outputs: Tensor, chosen: Tensor) -> Tensor:
        each = -0.5 * ((chosen - outputs) / self.std).square() - math.log(self.std) - 0.5 * math.log(2 * math.pi)
        return each.sum(-1)

    def said(self, chosen: Tensor) -> Tensor:
        return chosen.tanh()


def distribution_of(task: Task, std: float) -> ActionDistribution:
    """Returns a task's: a categorical where actions are chosen, two ways where one action dodges hits, else a Gaussian.

    Args:
        std: of the Gaussian.
    """
    if task.choices:
        return Categorical(task.choices)
    if task.hit_damages and task.action_size == 1:
        return TwoWays()
    return Gaussian(std, task.action_size)
