"""Actions that are chosen among a few (`Discrete`, `MultiDiscrete`, `MultiBinary`), as C says them and M sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldmodels.base.types import Floats


@dataclass(frozen=True)
class Choose:
    """Maps C's outputs to its choices: of each choice the option with the largest output, one-hot (the first of equals).

    Example:
        >>> import numpy as np
        >>> Choose((2, 3))(np.array([0.1, -0.2, 0.0, 0.9, 0.3], np.float32))
        array([1., 0., 0., 1., 0.], dtype=float32)
    """

    choices: tuple[int, ...]
    """How many options each choice has; C has an output an option, A in all."""

    def __call__(self, outputs: Floats) -> Floats:
        """float32 [..., A] → float32 [..., A] of zeros and ones."""
        chosen, first = np.zeros_like(outputs), 0
        for size in self.choices:
            options = outputs[..., first : first + size]
            chosen[..., first : first + size] = np.arange(size) == options.argmax(-1)[..., None]
            first += size
        return chosen
