"""How much of the track or of the room recorded episodes have seen: they are played again, and the game is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.types import Floats
from worldmodels.data.episodes import Shard
from worldmodels.data.run_data import own_shards
from worldmodels.envs.registry import get_task
from worldmodels.runs.run import Run
from worldmodels.runtime.progress import Progress
from worldmodels.stages.collect import env_kwargs


def visited_shares(run: Run) -> list[float] | None:
    """Returns the share that each of a run's own episodes has seen, from 0 to 1, in order; those of the runs before it are
    left out. None for a task that cannot say (`Task.visited_kwargs`).

    Raises:
        EnvironmentFailure: an episode played again took another course.
    """
    config = run.preset.collect
    task = get_task(run.task).seeing(config.frames)
    if task.visited_kwargs is None:
        return None
    shards = [Shard(path) for path in own_shards(run)]
    env = task.make_env(**env_kwargs(config, task), **task.visited_kwargs)
    progress = Progress("visited", sum(len(shard.seeds) for shard in shards), "episodes")
    shares: list[float] = []
    try:
        for shard in shards:
            steps, first = shard.steps(), 0
            for seed, length in zip(shard.seeds, shard.lengths, strict=True):
                own = slice(first, first + length)
                if not _played_again(env, seed, steps["action"][own], steps["reward"][own]):
                    raise EnvironmentFailure(f"{shard.folder}: the episode with seed {seed}, played again, took another course")
                shares.append(env.unwrapped.visited())  # type: ignore[attr-defined]
                progress.update(len(shares))
                first += length
    finally:
        env.close()
    progress.finish(f"{np.mean(shares):.1%} of the place on average")
    return shares


def _played_again(env: Any, seed: int, actions: Floats, rewards: Sequence[float] | Floats) -> bool:
    """Plays an episode again; returns whether every reward is the recorded one."""
    env.reset(seed=seed)
    return all(np.float32(env.step(action)[1]) == reward for action, reward in zip(actions, rewards, strict=True))
