"""Which pixels are rare: those that are not what usually stands in their place, such as a fireball before a wall.

Frames are uint8 [B, 64, 64, 3].
"""

from __future__ import annotations

import torch
from torch import Tensor

#: A pixel is rare when one of its colours is further than so many standard deviations from its mean.
RARE_DEVIATIONS = 2.0
#: Added to every standard deviation, of 255: where nothing ever changes, a flicker is not rare.
LEAST_DEVIATION = 5.0


class RarePixels:
    """What usually stands in each pixel's place, and which pixels of other frames are rare.

    Args:
        frames: a sample of the training's.
    """

    def __init__(self, frames: Tensor) -> None:
        self._mean = frames.float().mean(0)
        self._furthest = RARE_DEVIATIONS * (frames.float().std(0, correction=0) + LEAST_DEVIATION)

    def weights(self, frames: Tensor, rare_weight: float) -> Tensor:
        """Returns how much each number of frames weighs, float32 [B, 64, 64, 3]: 1, and ``rare_weight`` more in rare pixels."""
        rare = ((frames.float() - self._mean).abs_() > self._furthest).any(3, keepdim=True)
        return torch.where(rare, 1 + rare_weight, 1.0).expand(frames.shape)
