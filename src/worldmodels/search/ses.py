"""The original's simple evolution strategy: PEPG whose mean jumps to the average of the best candidates.

μ ← mean of the best ``elite_ratio`` · P candidates;   σ adapts as in `pepg`
"""

from __future__ import annotations

import numpy as np

from worldmodels.search.pepg import PEPG, PEPGSettings
from worldmodels.search.strategy import Fitness, Solution, Solutions


class SES(PEPG):
    """Args: those of `PEPG`, and ``elite_ratio``, the share of the candidates that the mean is taken of; at least one is."""

    stage = "controller/ses"

    def __init__(
        self, start: Solution, population_size: int, seed: int, settings: PEPGSettings, elite_ratio: float = 0.1
    ) -> None:
        super().__init__(start, population_size, seed, settings)
        self._num_elites = max(1, int(population_size * elite_ratio))

    def _move_mean(self, shaped: Fitness, noise: Solutions) -> None:
        best = np.argsort(-shaped, kind="stable")[: self._num_elites]
        self._mean = np.asarray(self._asked[best].mean(0))
