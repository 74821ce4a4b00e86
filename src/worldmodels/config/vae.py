"""The settings of `worldmodels train-vae`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from worldmodels.config.augment import AugmentConfig
from worldmodels.config.gradient import GradientConfig
from worldmodels.config.setting import ADDED, OWN, Bounds

#: What V is to make of an augmented frame: the frame as it was recorded, or as V saw it.
AugmentTarget = Literal["plain", "seen"]
#: V's decoder has 1,024 numbers after its first layer: one for each of the latents, and one for what is always added.
LARGEST_LATENT = 1023
#: The channels of V's layers, as a multiple of the paper's, at most.
WIDEST = 8


@dataclass(frozen=True)
class VAEConfig(GradientConfig):
    """V, the convolutional variational autoencoder."""

    latent_size: Annotated[int, Bounds(1, LARGEST_LATENT, or_zero=True)] = field(default=0, metadata=OWN)
    """Z, how many numbers V makes of a frame; 0: as many as the task suggests."""
    width: Annotated[int, Bounds(1, WIDEST)] = field(default=1, metadata=ADDED)
    """So many times the paper's channels in every layer of V; with 2 it has four times the weights and takes nearly as much
    longer."""
    kl_tolerance: Annotated[float, Bounds(0, 100)] = 0.5
    """The KL term is not pushed below this many nats per latent (the original's free bits)."""
    quartic_weight: Annotated[float, Bounds(0, 10_000)] = field(default=0.0, metadata=ADDED)
    """Weight of the quartic pixel error beside the squared one: with 25 a few pixels that are all wrong, such as a distant
    fireball, outweigh many that are slightly wrong; 0 is the original's loss."""
    rare_weight: Annotated[float, Bounds(0, 10_000)] = field(default=0.0, metadata=ADDED)
    """How much more the error of a rare pixel weighs: one that is far from what usually stands in its place, such as that of a
    fireball or a monster; 0 is the original's loss."""
    augment: Annotated[float, Bounds(0, 1)] = field(default=0.0, metadata=ADDED)
    """The share of the frames that V sees augmented, each by a draw of its own; 0: none (docs/ideas.md)."""
    augment_target: AugmentTarget = field(default="plain", metadata=ADDED)
    """What V is to make of an augmented frame: the recorded one (plain), so that it looks past the change, or what it saw
    (seen)."""
    looks: AugmentConfig = field(default=AugmentConfig(), metadata=ADDED)
    """How augmented frames look."""
