"""PEPG, parameter-exploring policy gradients (Sehnke et al. 2010), symmetric sampling, as in the original's ``es.py``.

    x_i± = μ ± ε_i,   ε_i ~ N(0, diag σ²)
    Δμ ∝ Σ_i (F_i+ - F_i-) ε_i;   μ takes Adam's step along it
    Δσ = α_σ / P · Σ_i ((F_i+ + F_i-) / 2 - b) (ε_i² - σ²) / σ,   b the mean of all F, |Δσ| at most a share of σ

F is the candidates' centred rank, or fitness, less the weight decay. Fitness values that are not ranked are divided by their
standard deviation in Δσ.
"""

from __future__ import annotations

import numpy as np

from worldmodels.config import ESConfig
from worldmodels.search.adam_ascent import AdamAscent
from worldmodels.search.strategy import Fitness, Solution, Solutions, Strategy, annealed, shaped

#: Step sizes stay between these: whatever is set, candidates are numbers, and no two of them the same.
SMALLEST, LARGEST = 1e-12, 1e6


class PEPG(Strategy):
    """Args: ``start``, the first mean, float64 [D]; ``sigma``, every parameter's first step size; ``population_size``, P, even;
    ``seed``, of the run."""

    stage = "controller/pepg"

    def __init__(self, start: Solution, sigma: float, population_size: int, seed: int, settings: ESConfig) -> None:
        super().__init__(seed)
        self._mean, self._num_pairs, self._settings = start, population_size // 2, settings
        self._sigma, self._learning_rate = np.full(len(start), sigma), settings.learning_rate
        self._adam = AdamAscent(len(start))

    @property
    def mean(self) -> Solution:
        return self._mean

    def return_to(self, mean: Solution) -> None:
        self._mean = mean

    @property
    def sigma(self) -> float:
        return float(np.sqrt(np.square(self._sigma).mean()))

    def _sample(self, rng: np.random.Generator) -> Solutions:
        noise = rng.standard_normal((self._num_pairs, len(self._mean))) * self._sigma
        return np.concatenate([self._mean + noise, self._mean - noise])

    def _update(self, fitness: Fitness) -> None:
        settings = self._settings
        utility = shaped(fitness, self._asked, settings)
        plus, minus = utility[: self._num_pairs], utility[self._num_pairs :]
        noise = self._asked[: self._num_pairs] - self._mean
        self._move_mean(utility, noise)
        by_sigma = (np.square(noise) - np.square(self._sigma)) / self._sigma
        scale = 1.0 if settings.rank_fitness else utility.std() or 1.0
        change = settings.sigma_learning_rate * (((plus + minus) / 2 - utility.mean()) @ by_sigma) / (len(utility) * scale)
        most = settings.sigma_max_change * self._sigma
        changed = np.clip(self._sigma + np.clip(change, -most, most), SMALLEST, LARGEST)
        self._sigma = np.where(changed > settings.sigma_limit, changed * settings.sigma_decay, changed)
        self._learning_rate = annealed(self._learning_rate, settings.learning_rate_decay, settings.learning_rate_limit)

    def _move_mean(self, utility: Fitness, noise: Solutions) -> None:
        """Moves the mean: ``utility`` float64 [P], what pairs lie apart by float64 [P / 2, D]."""
        gradient = (utility[: self._num_pairs] - utility[self._num_pairs :]) @ noise
        self._mean = self._mean + self._adam.step(gradient, self._learning_rate)
