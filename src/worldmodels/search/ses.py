"""The original's simple evolution strategy (``es_type`` "ses" of its ``train.py``; no paper has it): PEPG (`pepg`) whose mean
jumps to the average of the best candidates.

μ ← mean of the best ``es_elite_ratio`` · P candidates;   σ adapts as in `pepg`
"""

from __future__ import annotations

import numpy as np

from worldmodels.search.pepg import PEPG
from worldmodels.search.strategy import Fitness, Solutions


class SES(PEPG):
    """Args: those of `PEPG`."""

    stage = "controller/ses"

    def _move_mean(self, utility: Fitness, noise: Solutions) -> None:
        num_elites = max(1, int(len(utility) * self._settings.elite_ratio))
        best = np.argsort(-utility, kind="stable")[:num_elites]
        self._mean = np.asarray(self._asked[best].mean(0))
