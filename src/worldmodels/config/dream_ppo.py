"""The settings of the search for C by PPO in the dream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from worldmodels.config.setting import ADDED, Bounds, Config
from worldmodels.config.shared import LEARNING_RATES, SLICES


@dataclass(frozen=True)
class DreamPPOConfig(Config):
    """Proximal policy optimization in the dream (see `worldmodels.search.dream_ppo`)."""

    prefix: ClassVar[str] = "ppo_"

    start_episodes: Annotated[int, Bounds(1, 1_000_000)] = 512
    """Episodes whose states dreams begin at."""
    start_stride_steps: Annotated[int, Bounds(1, 10_000)] = 12
    """Steps of such an episode between two states that dreams begin at."""
    component_rows: Annotated[int, Bounds(2, 10_000_000)] = 65_536
    """At most so many states are looked at for the principal components of what C sees."""
    num_components: Annotated[int, Bounds(1, 100_000)] = 512
    """Components that C and the critic see, the largest ones; the default holds all that is in M's states but noise."""
    num_blocks: Annotated[int, Bounds(1, 1_000)] = 4
    """Blocks of dreams in an iteration."""
    block_slots: Annotated[int, Bounds(2, 100_000)] = 512
    """Dreams of a block, side by side."""
    slots_per_seed: Annotated[int, Bounds(1, 100_000)] = 8
    """Dreams of a block that share their random numbers: to draw these takes as long as to dream."""
    num_choices: Annotated[int, Bounds(1, 10_000)] = 64
    """Choices of an action in a dream."""
    hold_steps: Annotated[int, Bounds(1, 1_000)] = 4
    """Steps for which a choice is held: one step's choice changes next to nothing."""
    gamma: Annotated[float, Bounds(0, 1)] = 0.993
    """Discount of a step. With 0.97, which looks less far ahead, C stops improving earlier."""
    gae_lambda: Annotated[float, Bounds(0, 1)] = 0.95
    """λ of generalized advantage estimation, a choice."""
    num_epochs: Annotated[int, Bounds(1, 1_000)] = 3
    """Passes over the choices of an iteration."""
    batch_size: Annotated[int, Bounds(2, 10_000_000)] = 8192
    """Choices per gradient step."""
    num_slices: Annotated[int, SLICES] = 4
    """Slices of a batch, each the work of one thread. A GPU takes the batch whole."""
    clip_range: Annotated[float, Bounds(1e-3, 1)] = 0.2
    """The ratio of a choice's new chance to its old one is clipped to 1 ± this."""
    learning_rate: Annotated[float, LEARNING_RATES] = 2e-3
    """Adam's learning rate in the first iteration; it falls exponentially."""
    final_learning_rate: Annotated[float, LEARNING_RATES] = 2e-4
    """Adam's learning rate in the last iteration."""
    averaged_fraction: Annotated[float, Bounds(0, 1)] = 1 / 3
    """The result is the mean of C over this share of the iterations, the last ones: the noise of single ones cancels out."""
    critic_iterations: Annotated[int, Bounds(0, 1_000_000)] = 3
    """Iterations at the start in which only the critic learns."""
    critic_units: Annotated[int, Bounds(1, 100_000)] = 128
    """Hidden units of the critic."""
    hit_cost: Annotated[float, Bounds(1e-3, 1e6)] = 10.0
    """What a hit costs, in tasks with hits. With the default the critic's loss is about as large as C's."""
    initial_logit_rms: Annotated[float, Bounds(1e-3, 1_000)] = 3.0
    """Root mean square of C's output before tanh at the start of the search. Where actions are numbers C begins as it is."""
    initial_std: Annotated[float, Bounds(1e-3, 10)] = field(default=0.5, metadata=ADDED)
    """Where actions are numbers: the standard deviation of what is tried around C's output before tanh, in the first iteration;
    it falls exponentially."""
    final_std: Annotated[float, Bounds(1e-3, 10)] = field(default=0.1, metadata=ADDED)
    """The same in the last iteration."""
