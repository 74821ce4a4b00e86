"""The settings of `worldmodels encode`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from worldmodels.config.augment import AugmentConfig
from worldmodels.config.setting import ADDED, RUNTIME, Bounds, Config
from worldmodels.config.shared import Device


@dataclass(frozen=True)
class EncodeConfig(Config):
    """All frames through V, once."""

    batch_size: Annotated[int, Bounds(1, 65_536)] = 256
    """Frames per forward pass."""
    mirror_episodes: Annotated[int, Bounds(0, 10_000_000)] = field(default=0, metadata=ADDED)
    """So many of the newest episodes are encoded a second time, as a mirror shows them: M then learns from both (tasks that are
    the same in a mirror, such as take-cover)."""
    augment: Annotated[float, Bounds(0, 1)] = field(default=0.0, metadata=ADDED)
    """The share of the episodes that V sees augmented, with one draw of the look for a whole episode; 0: none
    (docs/ideas.md)."""
    looks: AugmentConfig = field(default=AugmentConfig(), metadata=ADDED)
    """How augmented episodes look."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to compute; auto is the GPU if there is one."""
