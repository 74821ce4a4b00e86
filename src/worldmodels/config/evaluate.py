"""The settings of `worldmodels evaluate`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from worldmodels.base.errors import UserError
from worldmodels.base.seeding import FIRST_TRAINING_SEED
from worldmodels.config.controller import ControllerConfig
from worldmodels.config.setting import ADDED, PLACE, RUNTIME, Bounds, Config, check_number
from worldmodels.config.shared import DROPOUTS, TEMPERATURES_OR_OWN, WORKERS, Device, PlaceConfig, World, check_variant

AgentKind = Literal["trained", "random"]


@dataclass(frozen=True)
class EvaluateConfig(Config):
    """An agent on held-out seeds."""

    world: World = "real"
    """Where the agent plays."""
    agent: AgentKind = "trained"
    """The trained controller, or actions drawn uniformly from the action space."""
    episodes: Annotated[int, Bounds(1, 10_000_000)] = 100
    """Episodes to play; episode i has seed S + i."""
    seed: Annotated[int, Bounds(0, FIRST_TRAINING_SEED - 1)] = 0
    """S, the first seed. Seeds below 2^30 are never used in training."""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in. The real environment has
    none."""
    dream_dropout: Annotated[float, DROPOUTS] = field(default=0.0, metadata=ADDED)
    """The share of M that is left out of the dream, by one mask an episode; the real environment has no such thing."""
    fast: bool = False
    """Play the environment that training uses, where it is a faster copy of the official one."""
    variant: str = field(default="", metadata=ADDED)
    """Another look of the real environment, such as colour or bars of car-racing (docs/ideas.md), or plain; empty: as the
    agent has learned it."""
    num_slots: Annotated[int, Bounds(1, 1_000_000)] = field(default=1024, metadata=RUNTIME)
    """Dreams that run side by side."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: Annotated[int, WORKERS] = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""
    place: PlaceConfig = field(default=PlaceConfig(), metadata=PLACE)
    """Who plays the real environment."""

    def in_dream_of(self, search: ControllerConfig) -> Self:
        """Returns the same evaluation in the dream that a C was searched in."""
        return dataclasses.replace(
            self, world="dream", temperature=search.temperature, dream_dropout=search.dream_dropout, variant=""
        )

    def validate(self) -> None:
        super().validate()
        check_number("seed", self.seed, 0, FIRST_TRAINING_SEED - self.episodes)
        check_variant(self.variant, self.world)
        if self.dream_dropout and self.world == "real":
            raise UserError(f"dream_dropout is {self.dream_dropout:g} and world is 'real'; it is a setting of the dream")
