"""The settings of `worldmodels collect`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from worldmodels.base.errors import UserError
from worldmodels.config.setting import ADDED, BY_HASH, PLACE, RUNTIME, Bounds, Config
from worldmodels.config.shared import WORKERS, PlaceConfig

DataPolicy = Literal["held", "nets", "agent", "curious"]
#: When the random policy draws its next action.
Hold = Literal["drawn", "remainder"]
Curiosity = Literal["uncertainty", "loss"]
#: How a task's frames are made where nobody asks for another way.
OWN_FRAMES = "own"


@dataclass(frozen=True)
class RandomPolicyConfig(Config):
    """The data's random policy: an action drawn from U(-1, 1), held for a while."""

    max_hold_steps: Annotated[int, Bounds(1, 10_000)] = 10
    """The random action is held for 1 to this many steps."""
    hold: Hold = field(default="drawn", metadata=ADDED)
    """How long a random action is held: drawn (each number of steps is as likely) or remainder (until the step's number is a
    multiple of that number, as the original has it: shorter, 3.6 steps in place of 5.5 where 10 is the longest)."""
    bias_scale: Annotated[float, Bounds(0, 10)] = 0.0
    """Half of the episodes add a constant drawn from U(-b, b) to every action; 0 is the original's policy."""
    min_action_scale: Annotated[float, Bounds(0, 1)] = field(default=1.0, metadata={"formerly": "min_spread"})
    """Those episodes scale their actions by a factor from U(this, 1): with 0 some hardly change their action."""


@dataclass(frozen=True)
class CollectConfig(Config):
    """Episodes in the real environment, of a random policy or of the previous run's agent."""

    num_episodes: Annotated[int, Bounds(2, 10_000_000)] = 10_000
    """Episodes to keep."""
    policy: DataPolicy = "held"
    """held: random actions, each held for a while; nets: V, M and C with random weights, drawn anew for every episode;
    agent: the previous run's agent, or with --from another, with some of the held actions mixed in; curious: likewise a C that
    was searched in the previous run's dream for what M does not know."""
    from_model: str = field(default="", metadata={**BY_HASH, "flag": "from"})
    """agent: who plays where there is no previous run: the agent of a task (the shipped one), of a run's folder or of a model's
    folder."""
    curiosity: Curiosity = field(default="uncertainty", metadata=ADDED)
    """curious: what that C seeks: M's uncertainty, or M's loss, which whatever is left to luck raises, too."""
    explorer_generations: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """curious: generations of its search; 0 is the scale's, or none with explorer_iterations."""
    explorer_iterations: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """curious: iterations of PPO before these; 0 with explorer_generations 0 is the scale's."""
    max_noise: Annotated[float, Bounds(0, 1)] = field(default=0.5, metadata=ADDED)
    """agent and curious: how much of a held random action is mixed in. An episode draws ε from U(0, this) and does
    (1 - ε) · agent + ε · random."""
    frames: str = field(default=OWN_FRAMES, metadata=ADDED)
    """How the task makes V's frames, in this run and wherever its agent plays: own, or one of the task's other ways (take-cover
    has 320x240, and 640x480, the original's screen)."""
    start_anywhere: bool = False
    """Start episodes at random places, where the environment can do that."""
    max_short_steps: Annotated[int, Bounds(0, 100_000)] = 100
    """Episodes of at most this many steps are dropped and played again with another seed (the original's rule)."""
    max_episode_steps: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """Episodes are cut after this many steps; 0 plays them out."""
    random: RandomPolicyConfig = RandomPolicyConfig()
    """held, and what is mixed in with agent and curious: how random actions are drawn."""
    episodes_per_shard: Annotated[int, Bounds(1, 10_000)] = 16
    """Episodes written together: the unit of work, and what a kill can lose."""
    num_workers: Annotated[int, WORKERS] = field(default=0, metadata=RUNTIME)
    """Processes that play; 0 is one per CPU core, two where a step waits for another process (ViZDoom)."""
    place: PlaceConfig = field(default=PlaceConfig(), metadata=PLACE)
    """Who plays the real environment."""
    episodes_url: str = field(default="", metadata=PLACE)
    """Where the workers leave their shards, any fsspec URL; the run's folder gets them from there. Empty: in that folder, which
    all machines must share."""

    def validate(self) -> None:
        super().validate()
        if self.from_model and self.policy != "agent":
            raise UserError(f"--from names the agent that plays, and the policy is {self.policy}; add --policy agent")
        if 0 < self.max_episode_steps <= self.max_short_steps:
            raise UserError(
                f"max_episode_steps is {self.max_episode_steps}; it must be 0 or above max_short_steps, {self.max_short_steps}"
            )
