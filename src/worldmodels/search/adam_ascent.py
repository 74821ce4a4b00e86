"""Adam for a search distribution's mean (Kingma & Ba 2015), as OpenAI's evolution strategies use it: β₁ is 0.99, not 0.9.

m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²
step = α √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BETA_1, BETA_2, EPSILON = 0.99, 0.999, 1e-8


class AdamAscent:
    """The moments of the gradient of one vector, float64 [D]."""

    def __init__(self, num_parameters: int) -> None:
        self._first = np.zeros(num_parameters)
        self._second = np.zeros(num_parameters)
        self._step = 0

    def step(self, gradient: NDArray[np.float64], learning_rate: float) -> NDArray[np.float64]:
        """Returns the step up a gradient, float64 [D]."""
        self._step += 1
        self._first = BETA_1 * self._first + (1 - BETA_1) * gradient
        self._second = BETA_2 * self._second + (1 - BETA_2) * np.square(gradient)
        rate = learning_rate * np.sqrt(1 - BETA_2**self._step) / (1 - BETA_1**self._step)
        return np.asarray(rate * self._first / (np.sqrt(self._second) + EPSILON))
