"""The settings of `worldmodels fidelity` and `worldmodels probe`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from worldmodels.base.seeding import FIRST_TRAINING_SEED
from worldmodels.config.setting import PLACE, RUNTIME, Bounds, Config, check_number
from worldmodels.config.shared import TEMPERATURES_OR_OWN, WORKERS, Device, PlaceConfig
from worldmodels.config.uncertainty import UncertaintyConfig


@dataclass(frozen=True)
class FidelityConfig(Config):
    """How true the dream is: the same policies played in both worlds."""

    real_episodes: Annotated[int, Bounds(2, 1_000_000)] = 64
    """Episodes of each policy in the real environment."""
    dream_episodes: Annotated[int, Bounds(2, 1_000_000)] = 256
    """Episodes of each policy in the dream."""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    uncertainty: UncertaintyConfig = field(default=UncertaintyConfig())
    """How M's uncertainty is measured."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: Annotated[int, WORKERS] = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""
    place: PlaceConfig = field(default=PlaceConfig(), metadata=PLACE)
    """Who plays the real environment."""


@dataclass(frozen=True)
class ProbeConfig(Config):
    """What V's mu, M's h and C's features know of the game's objects."""

    episodes: Annotated[int, Bounds(5, 1_000)] = 60
    """Real episodes to look at, with seeds that no training uses; every fifth is held out from the probes that are fitted."""
    every_steps: Annotated[int, Bounds(1, 1_000)] = 4
    """Of an episode, one in so many steps is looked at."""
    seed: Annotated[int, Bounds(0, FIRST_TRAINING_SEED - 1)] = 0
    """S: episode i has seed S + i, and the probes' weights and order derive from S."""
    player: str = ""
    """Whose agent plays: a target such as take-cover. Empty: the target's own, or the random policy where it has no C; played
    by another agent, V alone is measured."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to fit; auto is the GPU if there is one. The game is played on the CPU."""

    def validate(self) -> None:
        super().validate()
        check_number("seed", self.seed, 0, FIRST_TRAINING_SEED - self.episodes)
