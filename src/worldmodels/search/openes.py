"""OpenAI's evolution strategy (Salimans et al. 2017).

    x_i = μ + σ ε_i,   ε_i ~ N(0, I);   with antithetic pairs the second half of the ε is minus the first
    ∇_μ E[F] ≈ 1/(P σ) Σ_i F_i ε_i;   μ takes Adam's step along it

F is the candidates' centred rank less the weight decay, standardised over the generation, as in the original's ``es.py``.
"""

from __future__ import annotations

import numpy as np

from worldmodels.config import ESConfig
from worldmodels.search.adam_ascent import AdamAscent
from worldmodels.search.strategy import Fitness, Solution, Solutions, Strategy, annealed, shaped


class OpenES(Strategy):
    """Args: ``start``, the first mean, float64 [D]; ``sigma``, its step size; ``population_size``, P, even with antithetic
    pairs; ``seed``, of the run."""

    stage = "controller/openes"

    def __init__(self, start: Solution, sigma: float, population_size: int, seed: int, settings: ESConfig) -> None:
        super().__init__(seed)
        self._mean, self._population_size, self._settings = start, population_size, settings
        self._sigma, self._learning_rate = sigma, settings.learning_rate
        self._adam = AdamAscent(len(start))

    @property
    def mean(self) -> Solution:
        return self._mean

    def return_to(self, mean: Solution) -> None:
        self._mean = mean

    @property
    def sigma(self) -> float:
        return self._sigma

    def _sample(self, rng: np.random.Generator) -> Solutions:
        if self._settings.antithetic:
            half = rng.standard_normal((self._population_size // 2, len(self._mean)))
            noise = np.concatenate([half, -half])
        else:
            noise = rng.standard_normal((self._population_size, len(self._mean)))
        return np.asarray(self._mean + self._sigma * noise)

    def _update(self, fitness: Fitness) -> None:
        settings = self._settings
        utility = shaped(fitness, self._asked, settings)
        noise = (self._asked - self._mean) / self._sigma
        # A generation without differences says nothing: no step.
        standardised = (utility - utility.mean()) / (utility.std() or 1.0)
        gradient = standardised @ noise / (len(noise) * self._sigma)
        self._mean = self._mean + self._adam.step(gradient, self._learning_rate)
        self._sigma = annealed(self._sigma, settings.sigma_decay, settings.sigma_limit)
        self._learning_rate = annealed(self._learning_rate, settings.learning_rate_decay, settings.learning_rate_limit)
