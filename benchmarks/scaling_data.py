"""The data's side of `scaling.py`: what collection costs against episodes, and memory against data."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from worldmodels.base.files import link_folder
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.latents import ARRAYS, LatentStore
from worldmodels.data.sampling import FrameSampler, SequenceSampler, split_episodes
from worldmodels.envs.registry import get_task
from worldmodels.runs.run import Run
from worldmodels.stages import collect

#: Episodes that are collected of TakeCover.
EPISODES = [32, 64, 128, 256]
#: How many times the last of these collections stands in the data whose memory is measured.
COPIES = [1, 4, 16]
#: Time steps of made-up latents.
LATENT_STEPS = [100_000, 400_000, 1_600_000]
EPISODE_STEPS = 300


def _collection(folder: Path, num_episodes: int) -> dict[str, Any]:
    spec = get_task("take-cover")
    preset = spec.preset("laptop")
    config = dataclasses.replace(preset.collect, num_episodes=num_episodes, episodes_per_shard=8)
    run = Run.create(folder / f"run-{num_episodes}", spec.name, "laptop", 0, preset)
    start = time.perf_counter()
    collect.run(config, run)
    seconds = time.perf_counter() - start
    files = [file for file in run.stage_path("collect").rglob("*") if file.is_file()]
    frames = EpisodeStore(run.stage_path("collect")).num_frames
    size = sum(file.stat().st_size for file in files)
    return {"episodes": num_episodes, "frames": frames, "seconds": seconds, "bytes": size, "files": len(files)}


def measure_collection(folder: Path, scale: float) -> list[dict[str, Any]]:
    """Seconds and bytes of TakeCover's collection, the workers' start included."""
    return [_collection(folder, number) for number in EPISODES if number <= 256 * scale]


def _own_memory() -> int:
    """Bytes that belong to this process alone: files that are mapped do not count."""
    return int(psutil.Process().memory_full_info().uss)


def _read_frames(path: Path) -> dict[str, Any]:
    before = _own_memory()
    store = EpisodeStore(path)
    training, _ = split_episodes(len(store.lengths), 0.05, 0)
    sampler = FrameSampler(store, training, 100, 0)
    sampler.batch(0)
    return {"data": "V's frames", "steps": store.num_frames, "bytes": _own_memory() - before}


def _read_latents(path: Path) -> dict[str, Any]:
    before = _own_memory()
    store = LatentStore(path)
    training, _ = split_episodes(store.num_episodes, 0.05, 0)
    sampler = SequenceSampler(store, training, 32, 128, 0)
    for step in range(3):
        sampler.batch(step)
    return {"data": "M's latents", "steps": len(store.mu), "bytes": _own_memory() - before}


def _write_latents(path: Path, steps: int) -> None:
    """Writes latents of nothing: files with holes, as long as real ones."""
    spec = get_task("take-cover")
    episodes = steps // EPISODE_STEPS
    steps = episodes * EPISODE_STEPS
    shapes: dict[str, tuple[int, ...]] = {
        "mu": (steps, spec.latent_size),
        "logvar": (steps, spec.latent_size),
        "action": (steps, spec.action_size),
        "reward": (steps,),
        "terminated": (steps,),
        "damage": (steps,),
    }
    path.mkdir()
    for name, shape in shapes.items():
        np.lib.format.open_memmap(path / f"{name}.npy", mode="w+", dtype=ARRAYS[name], shape=shape).flush()
    np.save(path / "lengths.npy", np.full(episodes, EPISODE_STEPS, ARRAYS["lengths"]))


def measure_memory(folder: Path, scale: float) -> list[dict[str, Any]]:
    """Bytes of memory that reading the data takes, each in a process of its own."""
    largest = max(number for number in EPISODES if number <= 256 * scale)
    shards = sorted((folder / f"run-{largest}" / "episodes").glob("shard-*"))
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for copies in COPIES:
            path = folder / f"copies-{copies}"
            for copy in range(copies):
                for shard in shards:
                    link_folder(shard, path / f"shard-{copy:03d}-{shard.name}")
            rows.append(pool.apply(_read_frames, (path,)))
        for steps in LATENT_STEPS:
            path = folder / f"latents-{steps}"
            _write_latents(path, steps)
            rows.append(pool.apply(_read_latents, (path,)))
    return rows
