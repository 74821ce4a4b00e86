"""How much of the track or of the room recorded episodes have seen: they are played again, and the game is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.types import Floats
from worldmodels.config import CollectConfig, PlaceConfig
from worldmodels.data.episodes import Shard
from worldmodels.data.run_data import own_shards
from worldmodels.envs.registry import get_task
from worldmodels.runs.run import Run
from worldmodels.runs.task_file import Facts, reference
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.workers import make_workers
from worldmodels.stages.collect import env_kwargs

# What a worker process has opened.
_envs: list[Any] = []


def visited_shares(run: Run, place: PlaceConfig = PlaceConfig()) -> list[float] | None:  # noqa: B008 (frozen)
    """Returns the share that each of a run's own episodes has seen, from 0 to 1, in order; those of the runs before it are
    left out. None for a task that cannot say (`Task.visited_kwargs`).

    Args:
        place: where they are played again.

    Raises:
        EnvironmentFailure: an episode played again took another course.
    """
    config = run.preset.collect
    if get_task(run.task).visited_kwargs is None:
        return None
    shards = [Shard(path) for path in own_shards(run)]
    tasks = [(str(shard.folder), shard.seeds, shard.lengths, *_recorded(shard)) for shard in shards]
    progress = Progress("visited", sum(len(shard.seeds) for shard in shards), "episodes")
    found: list[list[float]] = [[] for _ in shards]
    workers = make_workers(place.backend, place.address, config.num_workers, _prepare_worker, None, reference(run.task), config)
    try:
        for index, shares in workers.map_unordered(_shares_of, tasks):
            found[index] = shares
            progress.update(sum(map(len, found)))
    finally:
        workers.close()
    shares = [share for one in found for share in one]
    progress.finish(f"{np.mean(shares):.1%} of the place on average")
    return shares


def _recorded(shard: Shard) -> tuple[Floats, Floats]:
    """Returns what was done in a shard's steps and what came of it."""
    steps = shard.steps()
    return steps["action"], steps["reward"]


def _prepare_worker(_: Path | None, task: str | Facts, config: CollectConfig) -> None:
    """Opens a worker's environment."""
    spec = get_task(task).seeing(config.frames)
    assert spec.visited_kwargs is not None
    _envs.append(spec.make_env(**env_kwargs(config, spec), **spec.visited_kwargs))


def _shares_of(shard: str, seeds: Sequence[int], lengths: Sequence[int], actions: Floats, rewards: Floats) -> list[float]:
    """Plays a shard's episodes again in a worker; returns the share that each has seen."""
    env, shares, first = _envs[0], [], 0
    for seed, length in zip(seeds, lengths, strict=True):
        own = slice(first, first + length)
        if not _played_again(env, seed, actions[own], rewards[own]):
            raise EnvironmentFailure(f"{shard}: the episode with seed {seed}, played again, took another course")
        shares.append(float(env.unwrapped.visited()))
        first += length
    return shares


def _played_again(env: Any, seed: int, actions: Floats, rewards: Floats) -> bool:
    """Plays an episode again; returns whether every reward is the recorded one."""
    env.reset(seed=seed)
    return all(np.float32(env.step(action)[1]) == reward for action, reward in zip(actions, rewards, strict=True))
