"""A simple genetic algorithm (as in the original's ``es.py``; compare Such et al. 2017): no gradient, no mean, only parents.

two parents of the elite, drawn anew for every child; each parameter comes from either with chance 1/2; plus σ ε
elite ← the best of the children and, unless ``forget_best``, of the elite before

The original's flag of that name does the opposite: its program, which leaves it off, forgets. Ours does what the name says.
"""

from __future__ import annotations

import numpy as np

from worldmodels.config import ESConfig
from worldmodels.search.strategy import Fitness, Solution, Solutions, Strategy, annealed, decayed


class SimpleGA(Strategy):
    """Args: ``start``, the parents of the first generation, float64 [D]; ``sigma``, of the first mutations;
    ``population_size``, P; ``seed``, of the run."""

    stage = "controller/simple-ga"

    def __init__(self, start: Solution, sigma: float, population_size: int, seed: int, settings: ESConfig) -> None:
        super().__init__(seed)
        self._population_size, self._settings, self._sigma = population_size, settings, sigma
        self._num_elites = max(1, int(population_size * settings.elite_ratio))
        self._elite: Solutions = np.tile(start, (self._num_elites, 1))  # the best first
        self._elite_fitness: Fitness = np.full(self._num_elites, -np.inf)

    @property
    def mean(self) -> Solution:
        """The best parent: there is no mean."""
        return np.asarray(self._elite[0])

    @property
    def sigma(self) -> float:
        return self._sigma

    def _sample(self, rng: np.random.Generator) -> Solutions:
        shape = self._population_size, self._elite.shape[1]
        one, other = rng.integers(self._num_elites, size=(2, self._population_size))
        children = np.where(rng.random(shape) > 0.5, self._elite[other], self._elite[one])
        return np.asarray(children + self._sigma * rng.standard_normal(shape))

    def _update(self, fitness: Fitness) -> None:
        settings = self._settings
        solutions, scores = self._asked, decayed(fitness, self._asked, settings.weight_decay)
        if not settings.forget_best:
            solutions, scores = np.concatenate([solutions, self._elite]), np.concatenate([scores, self._elite_fitness])
        best = np.argsort(-scores, kind="stable")[: self._num_elites]
        self._elite, self._elite_fitness = solutions[best], scores[best]
        self._sigma = annealed(self._sigma, settings.sigma_decay, settings.sigma_limit)
