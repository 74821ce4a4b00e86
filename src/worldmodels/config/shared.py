"""What several stages' settings have in common: where work is done, and the bounds of numbers that mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldmodels.base.errors import UserError
from worldmodels.config.setting import Bounds, Config, check_number

Backend = Literal["local", "ray"]
World = Literal["dream", "real"]
Device = Literal["auto", "cpu", "cuda"]
#: Where a training shows its curves.
LogKind = Literal["tensorboard", "wandb", "trackio"]
#: No seed is above it.
MAX_SEED = 2**31 - 1
SEEDS = Bounds(0, MAX_SEED)
#: The share of a scale's episodes and steps that a smaller run takes.
SHARES = Bounds(0.001, 1)
#: Of the dream.
TEMPERATURES = Bounds(0.01, 10)
#: Of the dream; 0 is the agent's own.
TEMPERATURES_OR_OWN = Bounds(0.01, 10, or_zero=True)
#: The share of M that a mask leaves out.
DROPOUTS = Bounds(0, 0.9)
WORKERS = Bounds(0, 1024)
STEPS = Bounds(1, 100_000_000)
LEARNING_RATES = Bounds(1e-8, 1)
SLICES = Bounds(1, 1024)


def check_seed(seed: int, num_seeds: int = 1) -> None:
    """Raises `UserError` unless the seed, and as many from it on as are used, are such that every library here takes them."""
    check_number("seed", seed, 0, MAX_SEED - num_seeds + 1)


@dataclass(frozen=True)
class PlaceConfig(Config):
    """Where the real environment is played: a matter of one command, which no file of the run remembers."""

    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""

    def validate(self) -> None:
        super().validate()
        if self.address and self.backend != "ray":
            raise UserError(f"address is {self.address}, and the backend is {self.backend}; use --backend ray")


def check_variant(variant: str, world: World) -> None:
    """Raises `UserError` where another look is asked for of a dream."""
    if variant and world == "dream":
        raise UserError(f"variant is '{variant}' and world is 'dream'; only the real environment has other looks")
