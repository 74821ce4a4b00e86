"""How fast frames of the real game are recorded."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Self

import numpy as np

from worldmodels.bench import original
from worldmodels.bench.plan import Bench
from worldmodels.bench.timing import Row
from worldmodels.data.episodes import Shard
from worldmodels.run import Run
from worldmodels.stages import collect

#: Episodes a shard, few, so that the time at which each is finished tells the steady speed.
SHARD_EPISODES = 4
#: Episodes that a core collects in a second at best, to guess how many will last as long as is wanted.
EPISODES_PER_CORE_SECOND = 10


def measure_collection(bench: Bench) -> Row:
    """Frames/s written to disk by the stage itself, from the real game.

    Counted is the time in which all workers play: from when as many shards are finished as there are workers (starting
    them takes seconds, once) until as many are left (then the first run dry).
    """
    cores = os.cpu_count() or 1
    num_workers = 2 * cores
    num_episodes = max(4 * SHARD_EPISODES * num_workers, round(bench.seconds * EPISODES_PER_CORE_SECOND * cores))
    config = dataclasses.replace(bench.preset.collect, num_episodes=num_episodes, episodes_per_shard=SHARD_EPISODES)
    run = Run.create(bench.folder / "run", bench.spec.name, bench.scale, 0, bench.preset)
    with _OriginalCollection(bench) as other:
        # The stage cannot take turns; half of the baseline before and half after it is the nearest thing.
        other.play(bench.seconds / 2)
        collect.run(config, run)
        other.play(bench.seconds / 2)
    finished = sorted(
        ((path / "shard.json").stat().st_mtime, Shard(path).num_frames) for path in run.stage_path("collect").glob("shard-*")
    )
    steady = finished[num_workers : len(finished) - num_workers + 1]
    span = steady[-1][0] - finished[num_workers - 1][0]
    return Row(
        "collection",
        sum(frames for _, frames in steady) / span,
        "frames/s",
        "to disk, all workers, their start excluded; baseline: one process, 640x480, an .npz an episode (with our resize)",
        other.rate,
    )


class _OriginalCollection:
    """One process, the large screen, a compressed archive an episode; the resize is ours, which flatters the original."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._rng = np.random.default_rng(0)
        self._env = bench.spec.make_env(resolution=original.RESOLUTION)
        self._frames, self._seconds = 0, 0.0

    def __enter__(self) -> Self:
        self._episode()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._env.close()

    def _episode(self) -> int:
        """Plays and writes an episode; returns its frames, 0 if it was too short to be kept."""
        policy = self._bench.spec.random_policy(self._rng, self._bench.preset.collect)
        frame, _ = self._env.reset(seed=int(self._rng.integers(2**31)))
        frames, actions = [frame], []
        over = False
        while not over:
            actions.append(policy(frame))
            frame, _, terminated, truncated, _ = self._env.step(actions[-1])
            frames.append(frame)
            over = terminated or truncated
        if len(actions) <= self._bench.preset.collect.max_short_steps:
            return 0
        np.savez_compressed(self._bench.folder / "episode.npz", obs=np.stack(frames[:-1]), action=np.stack(actions))
        return len(actions)

    def play(self, seconds: float) -> None:
        """Plays whole episodes for at least so long, and until one was kept."""
        start = time.perf_counter()
        while time.perf_counter() < start + seconds or not self._frames:
            self._frames += self._episode()
        self._seconds += time.perf_counter() - start

    @property
    def rate(self) -> float:
        """Frames/s, over all episodes: dropped ones cost time and give no frames."""
        return self._frames / self._seconds
