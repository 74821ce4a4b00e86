"""The settings of `worldmodels watch`, `play` and `video`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from worldmodels.base.errors import UserError
from worldmodels.config.setting import ADDED, RUNTIME, Bounds, Config
from worldmodels.config.shared import DROPOUTS, SEEDS, TEMPERATURES_OR_OWN, Device, World, check_seed, check_variant

Player = Literal["human", "agent"]


@dataclass(frozen=True)
class WatchConfig(Config):
    """A window to watch the agent in. Everything here but fps can be changed while it is open."""

    world: World = "real"
    """Which world opens first."""
    seed: Annotated[int, SEEDS] = 0
    """The first episode's seed; the next ones have S + 1, S + 2, …"""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    dream_dropout: Annotated[float, DROPOUTS] = 0.0
    """The share of M that is left out of the dream, by one mask an episode."""
    variant: str = field(default="", metadata=ADDED)
    """Another look of the real environment, such as colour or bars of car-racing (docs/ideas.md), or plain; empty: as the
    agent has learned it."""
    size: str = field(default="", metadata=RUNTIME)
    """The window's size in pixels, WIDTHxHEIGHT, from 320x240 to 7680x4320; empty: as the pictures need."""
    fps: Annotated[int, Bounds(1, 1000, or_zero=True)] = field(default=0, metadata=RUNTIME)
    """Steps per second; 0 is the task's own speed."""
    device: Device = field(default="cpu", metadata=RUNTIME)
    """Where to dream; a step at a time, the CPU is seldom the slower one. The real environment is played on the CPU."""

    def validate(self) -> None:
        super().validate()
        _ = self.pixels

    @property
    def pixels(self) -> tuple[int, int] | None:
        """The window's (width, height) where a size is asked for. Raises `UserError` for one that is none."""
        if not self.size:
            return None
        found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", self.size)
        width, height = (int(found[1]), int(found[2])) if found else (0, 0)
        if not (320 <= width <= 7680 and 240 <= height <= 4320):
            raise UserError(f"size is '{self.size}'; it must be WIDTHxHEIGHT, from 320x240 to 7680x4320, such as 1280x800")
        return width, height


@dataclass(frozen=True)
class PlayConfig(WatchConfig):
    """A window to play in. Everything here but fps can be changed while it is open."""

    player: Player = "human"
    """Who acts first."""


@dataclass(frozen=True)
class VideoConfig(Config):
    """A video of the agent, made without a display."""

    world: World = "real"
    """Where the agent plays."""
    steps: Annotated[int, Bounds(1, 1_000_000)] = 500
    """Steps to show; an episode that ends is followed by the next seed's."""
    seed: Annotated[int | None, SEEDS] = None
    """The first episode's seed. Left out it is 0, and in the dream that of the first 16 whose dream moves most,
    from where it does."""
    grid: Annotated[int, Bounds(1, 64)] = 1
    """Episodes side by side, each with its own seeds; with more than one, only the world's own picture is shown of each."""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    dream_dropout: Annotated[float, DROPOUTS] = 0.0
    """The share of M that is left out of the dream, by one mask an episode."""
    variant: str = field(default="", metadata=ADDED)
    """Another look of the real environment, such as colour or bars of car-racing (docs/ideas.md), or plain; empty: as the
    agent has learned it."""
    device: Device = field(default="cpu", metadata=RUNTIME)
    """Where to dream; a step at a time, the CPU is seldom the slower one. The real environment is played on the CPU."""

    def validate(self) -> None:
        super().validate()
        check_variant(self.variant, self.world)
        check_seed(self.seed or 0, self.steps * self.grid)
