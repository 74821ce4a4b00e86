"""Names of arrays, and limits, that everything shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Frame = NDArray[np.uint8]
#: What an episode begins with, where there is a health.
FULL_HEALTH = 100.0
#: The largest whole number that a task may name, such as its limit of steps; the most components of an action.
MAX_TASK_NUMBER, MAX_ACTION_SIZE = 1_000_000, 10_000
Mask = NDArray[np.bool_]
Seeds = int | list[int | None] | None
