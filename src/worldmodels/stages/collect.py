"""Plays the random policy in the real environment and keeps what it saw: ``episodes/``.

A shard is the unit of work. Episode e of the run has its own seeds, so shards are the same bytes whoever plays them and in
whatever order; a killed collection goes on with the shards that are missing.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.config import CollectConfig
from worldmodels.data.episodes import Episode, Shard, shard_sha256, write_shard
from worldmodels.envs.spec import EnvSpec, Floats, RandomPolicy, get_task
from worldmodels.errors import EnvironmentFailure
from worldmodels.files import fingerprint
from worldmodels.progress import Progress
from worldmodels.rollout import EpisodeJob, rollout
from worldmodels.run import Run, derive_seed
from worldmodels.worlds import Mask, PixelEnvs

#: An episode that is too short this many times over means a configuration, not bad luck.
MAX_ATTEMPTS = 200


class Recorder:
    """Plays one slot at random and remembers every step."""

    def __init__(self, policy: RandomPolicy) -> None:
        self._policy = policy
        self.frames: list[NDArray[np.uint8]] = []
        self.actions: list[Floats] = []
        self.rewards: list[float] = []
        self.terminated: list[bool] = []

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Nothing to prepare: one recorder serves one episode."""

    def act(self, obs: Any) -> Floats:
        """Returns the random policy's action, float32 [1, A]."""
        return self._policy()[None]

    def shrink(self, keep: Mask) -> None:
        """Never happens: the only slot is busy until the end."""

    def __call__(self, running: Mask, obs: Any, actions: Floats, rewards: NDArray[np.float64], terminated: Mask) -> None:
        """Remembers a step."""
        self.frames.append(obs[0])
        self.actions.append(actions[0])
        self.rewards.append(float(rewards[0]))
        self.terminated.append(bool(terminated[0]))


def play_episode(world: PixelEnvs, spec: EnvSpec, config: CollectConfig, seed: int, index: int) -> Episode:
    """Plays episode ``index`` of a run with the given seed, again and again until it is long enough."""
    for attempt in range(MAX_ATTEMPTS):
        env_seed = derive_seed(seed, "collect/env", index, attempt)
        rng = np.random.default_rng(derive_seed(seed, "collect/policy", index, attempt))
        recorder = Recorder(spec.random_policy(rng, config))
        rollout(world, recorder, [EpisodeJob(0, env_seed)], on_step=recorder)
        if len(recorder.frames) > config.max_short_steps:
            return Episode(
                env_seed,
                np.stack(recorder.frames),
                np.stack(recorder.actions).astype(np.float32),
                np.array(recorder.rewards, np.float32),
                np.array(recorder.terminated, np.bool_),
            )
    raise EnvironmentFailure(f"{MAX_ATTEMPTS} episodes in a row had at most {config.max_short_steps} steps")


_worker_world: PixelEnvs | None = None


def _start_worker(task_modules: list[str]) -> None:
    """Prepares a worker process: Ctrl-C is the parent's business, and the worker ends when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    for module in task_modules:
        __import__(module)


def _play_shard(folder: Path, task: str, config: CollectConfig, seed: int, indices: range) -> int:
    """Plays and writes one shard; returns its number of frames."""
    global _worker_world
    spec = get_task(task)
    if _worker_world is None:
        _worker_world = PixelEnvs([spec.make_env()])
    episodes = [play_episode(_worker_world, spec, config, seed, index) for index in indices]
    write_shard(folder, episodes)
    return sum(len(e.frames) for e in episodes)


def run(config: CollectConfig, run: Run) -> None:
    """Collects ``config.num_episodes`` episodes into ``run``'s ``episodes/``."""
    if not run.begin("collect", config, {}):
        return
    spec = get_task(run.task)
    folder = run.stage_path("collect")
    per_shard = config.episodes_per_shard
    plan = {
        folder / f"shard-{first // per_shard:05d}": range(first, min(first + per_shard, config.num_episodes))
        for first in range(0, config.num_episodes, per_shard)
    }
    missing = {path: indices for path, indices in plan.items() if not path.exists()}
    num_done = config.num_episodes - sum(map(len, missing.values()))
    progress = Progress("collect", config.num_episodes, "episodes", num_done)
    num_frames = 0
    num_workers = min(config.num_workers or 2 * (os.cpu_count() or 1), max(1, len(missing)))
    if missing:
        with ProcessPoolExecutor(
            num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=([spec.random_policy.__module__],),
        ) as pool:
            try:
                waiting: dict[Future[int], range] = {
                    pool.submit(_play_shard, path, run.task, config, run.seed, indices): indices
                    for path, indices in missing.items()
                }
                while waiting:
                    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        num_frames += future.result()
                        num_done += len(waiting.pop(future))
                    progress.update(num_done, f"{num_frames:,} frames")
            except BrokenProcessPool as error:
                raise EnvironmentFailure("collect: a worker process died; the same command goes on where it stopped") from error
            finally:
                pool.shutdown(cancel_futures=True)
    shards = [Shard(path) for path in plan]
    for shard in shards:
        shard.verify()
    lengths = [n for shard in shards for n in shard.lengths]
    run.finish(
        "collect",
        {"episodes": fingerprint({path.name: shard_sha256(path) for path in plan})},
        num_episodes=len(lengths),
        num_frames=sum(lengths),
        mean_length=sum(lengths) / len(lengths),
    )
    progress.finish(f"{len(lengths):,} episodes, {sum(lengths):,} frames")
