"""How fast frames of the real game are recorded."""

from __future__ import annotations

import dataclasses
import time
from typing import Self

import numpy as np

from benchmarks.stages import original
from benchmarks.stages.plan import SCALE, Bench
from benchmarks.stages.timing import Row
from worldmodels.base.types import Floats
from worldmodels.data.episodes import Shard
from worldmodels.runs.run import Run
from worldmodels.runtime.workers import available_cores
from worldmodels.stages import collect

#: Episodes a shard, few, so that the time at which each is finished tells the steady speed.
SHARD_EPISODES = 4
#: Frames that a core collects in a second at best, to guess how many episodes will last as long as is wanted.
FRAMES_PER_CORE_SECOND = 4_000
#: Steps of an episode of the data, for the same guess.
EPISODE_STEPS = 400


def measure_collection(bench: Bench) -> Row:
    """Frames/s written to disk by the stage itself, from the real game.

    Counted is the time in which all workers play: from when as many shards are finished as there are workers (starting
    them takes seconds, once) until as many are left (then the first run dry).
    """
    cores = available_cores()
    num_workers = bench.spec.env_threads * cores
    wanted = round(bench.seconds * FRAMES_PER_CORE_SECOND * cores / EPISODE_STEPS)
    num_episodes = max(3 * SHARD_EPISODES * num_workers, wanted)
    config = dataclasses.replace(bench.preset.collect, num_episodes=num_episodes, episodes_per_shard=SHARD_EPISODES)
    run = Run.create(bench.folder / "run", bench.spec.name, SCALE, 0, bench.preset)
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
    env = bench.spec.official_id or f"the game at {original.RESOLUTION} (with our resize)"
    return Row(
        bench.spec.name,
        "collection",
        sum(frames for _, frames in steady) / span,
        "frames/s",
        f"to disk, all workers, their start excluded; baseline: one process, {env}, an .npz an episode",
        other.rate,
    )


class _OriginalCollection:
    """One process, the environment that others train on, a compressed archive an episode."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._rng = np.random.default_rng(0)
        self._env = original.make_env(bench.spec)
        self._frames, self._seconds = 0, 0.0

    def __enter__(self) -> Self:
        self._episode()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._env.close()

    def _episode(self) -> int:
        """Plays and writes an episode; returns its frames, 0 if it was too short to be kept."""
        policy = self._bench.spec.random_policy(self._rng, self._bench.preset.collect.random)
        frame, _ = self._env.reset(seed=int(self._rng.integers(2**31)))
        frames, actions = [frame], list[Floats]()
        limit = self._bench.preset.collect.max_episode_steps
        over = False
        while not over and not 0 < limit <= len(actions):
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
