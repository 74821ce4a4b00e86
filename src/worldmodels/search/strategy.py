"""What every search of C shares: ask and tell, exactly repeatable. Fitness is higher-is-better.

The state is never stored: it is a pure function of the seed and of the fitness values told so far, so a resumed search asks and
tells its way through the recorded generations again.

Shapes: P candidates, D parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.seeding import derive_seed
from worldmodels.config import ESConfig

Solution = NDArray[np.float64]
Solutions = NDArray[np.float64]
Fitness = NDArray[np.float64]


class Strategy(ABC):
    """A search by generations.

    Args:
        seed: of the run; generation g draws from (seed, `stage`, g).
    """

    stage: ClassVar[str]

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.generation = 0
        self._asked: Solutions = np.zeros((0, 0))

    @property
    @abstractmethod
    def mean(self) -> Solution:
        """What the search would keep now, float64 [D]: the centre of its distribution, or its best parent."""

    @property
    @abstractmethod
    def sigma(self) -> float:
        """The current step size; where each parameter has its own, their root mean square."""

    @abstractmethod
    def _sample(self, rng: np.random.Generator) -> Solutions:
        """Draws a generation's candidates, float64 [P, D]."""

    @abstractmethod
    def _update(self, fitness: Fitness) -> None:
        """Takes the candidates' fitness, float64 [P], all finite."""

    def return_to(self, mean: Solution) -> None:
        """Puts the centre of the distribution to ``mean``, float64 [D]; all else stays."""
        raise NotImplementedError(f"{type(self).__name__} has no mean that can be put back")

    def ask(self) -> Solutions:
        """Returns the generation's candidates, float64 [P, D]."""
        self._asked = self._sample(np.random.default_rng(derive_seed(self._seed, self.stage, self.generation)))
        return self._asked

    def tell(self, fitness: Fitness) -> None:
        """Takes the candidates' fitness, float64 [P], higher is better; a value that is not finite gets the worst rank.

        Raises:
            ValueError: no value is finite; the state is untouched.
        """
        finite = np.isfinite(fitness)
        if not finite.any():
            raise ValueError("no candidate has a finite fitness")
        self._update(np.where(finite, fitness, fitness[finite].min() - 1))
        self.generation += 1

    def replay(self, fitness: Fitness) -> None:
        """Goes through a recorded generation again: its candidates are asked for and told their ``fitness``, float64 [P].

        Raises:
            ValueError: these are not the values of a generation.
        """
        num = len(self.ask())
        if fitness.shape != (num,):
            raise ValueError(f"{fitness.shape} values for {num} candidates")
        self.tell(fitness)


def centred_ranks(fitness: Fitness) -> Fitness:
    """Returns ranks from -0.5 (worst) to 0.5 (best) in the place of fitness values (Salimans et al. 2017): a candidate that is
    far better than all others does not decide the step alone."""
    ranks = np.empty(len(fitness))
    ranks[np.argsort(fitness, kind="stable")] = np.arange(len(fitness))
    return np.asarray(ranks / (len(fitness) - 1) - 0.5)


def decayed(fitness: Fitness, solutions: Solutions, weight_decay: float) -> Fitness:
    """Returns fitness less ``weight_decay`` times the mean square of a candidate's parameters: large weights cost."""
    return np.asarray(fitness - weight_decay * np.square(solutions).mean(1))


def shaped(fitness: Fitness, solutions: Solutions, settings: ESConfig) -> Fitness:
    """Returns what a step is taken from: ranks in the place of fitness values, if asked for, less the weight decay."""
    return decayed(centred_ranks(fitness) if settings.rank_fitness else fitness, solutions, settings.weight_decay)


def annealed(value: float, decay: float, limit: float) -> float:
    """Returns a value after one more generation: ``decay`` times it, until it has come down to ``limit``."""
    return value * decay if value > limit else value
