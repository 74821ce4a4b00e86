"""The settings of augmented frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from worldmodels.config.setting import Bounds, Config


@dataclass(frozen=True)
class AugmentConfig(Config):
    """How augmented frames look (`worldmodels.data.augment`)."""

    prefix: ClassVar[str] = "augment_"

    colour: Annotated[float, Bounds(0, 1)] = 0.2
    """Each channel of a pixel becomes itself, and U(-this, this) times each of the three channels and full brightness more."""
    noise: Annotated[float, Bounds(0, 1)] = 0.1
    """Each number of a frame is moved by U(-a, a), in shares of full brightness; a itself is drawn from U(0, this)."""
    boxes: Annotated[int, Bounds(0, 100)] = 2
    """In front of a frame are 0 to this many boxes, each of a colour of its own."""
    box_area: Annotated[float, Bounds(0, 1)] = 0.15
    """The share of the frame that a box covers at most."""
