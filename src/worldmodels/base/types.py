"""Names of arrays that everything shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Frame = NDArray[np.uint8]
#: What an episode begins with, where there is a health.
FULL_HEALTH = 100.0
Mask = NDArray[np.bool_]
Seeds = int | list[int | None] | None
