"""Where somebody else's policy is scored: the real environment, one episode after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from worldmodels.envs.task import Task
from worldmodels.policies.outsider import FramePolicy, OutsiderPolicy
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob, EpisodeResult, rollout


@dataclass(frozen=True)
class Outsider:
    """A policy of somebody else's and the task that it plays."""

    task: Task
    policy: FramePolicy


class OutsiderEvaluator:
    """Plays the episodes of an `Outsider`; ``official`` is as in `RealEvaluator`."""

    def __init__(self, outsider: Outsider, official: bool) -> None:
        self._pixels = PixelEnvs([outsider.task.make_env(official)])
        self._policy = OutsiderPolicy(outsider.policy, self._pixels.single_action_space)

    def evaluate(
        self,
        solutions: Tensor,
        jobs: Sequence[EpisodeJob],
        on_result: Callable[[EpisodeResult], None] | None = None,
        patience_steps: int = 0,
        cap_steps: int = 0,
    ) -> list[EpisodeResult]:
        """Plays every job once and to its end; the other arguments are of no use to it."""
        return rollout(self._pixels, self._policy, jobs, on_result=on_result)

    def close(self) -> None:
        """Closes the environment."""
        self._pixels.close()
