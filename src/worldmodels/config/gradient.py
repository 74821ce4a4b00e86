"""The settings that V's and M's training share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from worldmodels.config.setting import ADDED, BY_HASH, PLACE, RUNTIME, Bounds, Config
from worldmodels.config.shared import LEARNING_RATES, SLICES, STEPS, Device, LogKind

TRAINING_STEPS = Bounds(0, 100_000_000)


@dataclass(frozen=True)
class GradientConfig(Config):
    """What V and M share: a number of steps of Adam, with the learning rate falling exponentially."""

    from_model: str = field(default="", metadata={**BY_HASH, "flag": "from"})
    """Begin with the weights of another model: a task's name (its shipped agent), a run's folder or a model's folder. Left
    out: as the run has it; in a new one with random ones, or the previous run's."""
    num_steps: Annotated[int, TRAINING_STEPS] = 1
    """Gradient steps; 0 leaves the weights as they begin, and takes --from or --previous."""
    batch_size: Annotated[int, Bounds(1, 65_536)] = 100
    """Frames (V) or sequences (M) per step."""
    learning_rate: Annotated[float, LEARNING_RATES] = 1e-4
    """Adam's learning rate at the first step."""
    final_learning_rate: Annotated[float, LEARNING_RATES] = 1e-4
    """Adam's learning rate at the last step."""
    held_out_fraction: Annotated[float, Bounds(0.001, 0.9)] = 0.05
    """Share of the episodes kept for validation."""
    validate_every_steps: Annotated[int, STEPS] = 500
    """Gradient steps between two validations."""
    checkpoint_every_steps: Annotated[int, STEPS] = field(default=500, metadata=RUNTIME)
    """Gradient steps between two checkpoints: what a kill can lose."""
    num_slices: Annotated[int, SLICES] = field(default=2, metadata=ADDED)
    """Slices of a batch, each the work of one thread, so that none waits for another where other programs keep the cores busy.
    Threads that are left over share a slice's operations; small slices take longer. A GPU takes the batch whole."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to compute; auto is the GPU if there is one."""
    log: LogKind = field(default="tensorboard", metadata=PLACE)
    """Where the curves are shown while it trains: RUN/tensorboard, Weights & Biases or Trackio (docs/install.md)."""
