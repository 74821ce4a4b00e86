"""The settings of how M's uncertainty is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from worldmodels.config.setting import Bounds, Config


@dataclass(frozen=True)
class UncertaintyConfig(Config):
    """How M's uncertainty is measured: how far its predictions differ (see `worldmodels.models.uncertainty`)."""

    prefix: ClassVar[str] = "uncertainty_"

    masks: Annotated[int, Bounds(2, 100)] = 5
    """So many masks, each of which leaves out another part of M; with 5 a step of the dream takes about four times as long."""
    dropout: Annotated[float, Bounds(0.01, 0.9)] = 0.1
    """The share of M's z input and of what a step would write into the cell state that each mask leaves out."""
