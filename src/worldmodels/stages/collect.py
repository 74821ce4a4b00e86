"""Plays a random policy, the previous run's agent or one that explores, in the real environment: ``episodes/`` is what it saw.

A shard is the unit of work. Episode e of the run has its own seeds, so shards are the same bytes whoever plays them and in
whatever order; a killed collection goes on with the shards that are missing. A run that goes on from another one has that
one's shards too, first and under the same names, as hard links.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load, load_model
from worldmodels.agent.target import model_folder
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.base.files import fingerprint, link_folder, remove_leftovers
from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import Floats, Frame
from worldmodels.config import CollectConfig
from worldmodels.data.episodes import Episode, Shard, shards_sha256, write_shard
from worldmodels.data.shard_store import ShardStore
from worldmodels.envs.check import check_task
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Task
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.policies.noisy import NoisyDriver
from worldmodels.policies.random_nets import RandomNets
from worldmodels.policies.recorder import Recorder
from worldmodels.runs.layout import DONE, MODEL, STARTED
from worldmodels.runs.run import SOURCE, Run
from worldmodels.runs.task_file import Facts, reference
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.workers import make_workers
from worldmodels.stages.explore import begun_explorer, explore
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob, rollout

#: An episode that is too short this many times over means a configuration, not bad luck.
MAX_ATTEMPTS = 200
#: Shards that are brought from a URL at the same time.
FETCH_THREADS = 8


def too_short(config: CollectConfig) -> EnvironmentFailure:
    """Returns what is raised when nobody plays long enough."""
    return EnvironmentFailure(f"{MAX_ATTEMPTS} episodes in a row had at most {config.max_short_steps} steps")


def play_episode(world: PixelEnvs, spec: Task, config: CollectConfig, seed: int, index: int) -> Episode:
    """Plays episode ``index`` of a run with the given seed, again and again until it is long enough."""
    for attempt in range(MAX_ATTEMPTS):
        env_seed = derive_seed(seed, "collect/env", index, attempt)
        rng = np.random.default_rng(derive_seed(seed, "collect/policy", index, attempt))
        policy = RandomNets(spec, rng) if config.policy == "nets" else spec.random_policy(rng, config.random)
        recorder = Recorder(policy)
        rollout(world, recorder, [EpisodeJob(0, env_seed)], on_step=recorder)
        if len(recorder.recording) > config.max_short_steps:
            return recorder.recording.episode(env_seed)
    raise too_short(config)


def drive_episodes(
    envs: Sequence[gym.Env[Frame, Floats]], agent: Agent, config: CollectConfig, seed: int, indices: range
) -> list[Episode]:
    """Has the agent play episodes ``indices`` of a run side by side; those that are too short are played again."""
    spec, left = agent.task, list(indices)
    episodes: dict[int, Episode] = {}
    for attempt in range(MAX_ATTEMPTS):
        pixels = PixelEnvs(envs[: len(left)], spec.env_threads)
        try:
            episodes |= play_driven(pixels, agent, config, seed, left, attempt)
        finally:
            pixels.release()
        left = [index for index in left if len(episodes[index].frames) <= config.max_short_steps]
        if not left:
            return [episodes[index] for index in indices]
    raise too_short(config)


_envs: list[gym.Env[Frame, Floats]] = []
_agent: Agent | None = None


def env_kwargs(config: CollectConfig, spec: Task) -> dict[str, Any]:
    """Returns what a collection's environments are made with beside the task's own arguments."""
    kwargs: dict[str, Any] = dict(spec.data.start_anywhere_kwargs) if config.start_anywhere else {}
    if config.max_episode_steps:
        kwargs["max_episode_steps"] = config.max_episode_steps
    return kwargs


def _prepare_worker(model: Path | None, task: str | Facts, config: CollectConfig, num_envs: int) -> None:
    """Opens a worker's environments and, if an agent plays, reads it."""
    global _agent
    torch.set_num_threads(1)
    spec = get_task(task).seeing(config.frames)
    _envs.extend(spec.make_env(**env_kwargs(config, spec)) for _ in range(num_envs))
    _agent = None if model is None else load_model(model)


def _play_shard(folder: Path, started: str, task: str, config: CollectConfig, seed: int, indices: range) -> int:
    """Plays and writes one shard into the run's folder, or to the URL; returns its number of frames.

    Raises:
        EnvironmentFailure: this is another machine, and it does not share the folder: what ``started`` says is not there.
    """
    if config.episodes_url:
        store = ShardStore(config.episodes_url)
        if store.has(folder.name):  # an earlier command has played it
            return 0
        with tempfile.TemporaryDirectory(prefix="worldmodels-shard-") as name:
            shard = Path(name) / folder.name
            write_shard(shard, _play(task, config, seed, indices))
            store.put(shard)
            return Shard(shard).num_frames
    found = folder.parent / STARTED
    if not found.exists() or found.read_text(encoding="utf-8") != started:
        raise EnvironmentFailure(
            f"{folder.parent}: not on {socket.gethostname()}; put the run into a folder that all machines share, "
            f"or name another place with --episodes-url"
        )
    if not folder.exists():  # a worker may have died right after it
        write_shard(folder, _play(task, config, seed, indices))
    return Shard(folder).num_frames


def _play(task: str, config: CollectConfig, seed: int, indices: range) -> list[Episode]:
    """Plays the episodes of a shard with whatever this worker has been prepared for."""
    if _agent is not None:
        return drive_episodes(_envs, _agent, config, seed, indices)
    world = PixelEnvs(_envs)
    return [play_episode(world, get_task(task), config, seed, index) for index in indices]


def _link_shards(earlier: Path, folder: Path) -> list[Path]:
    """Links the shards of a previous run into this one's folder; returns them."""
    linked = []
    for source in sorted(earlier.glob("shard-*")):
        target = folder / source.name
        if not target.exists():
            link_folder(source, target)
        linked.append(target)
    return linked


def is_whole(shards: Sequence[Path], run: Run) -> bool:
    """Returns whether a finished collection's shards are all there; their content is compared when it is read."""
    try:
        return all(Shard(path) for path in shards) and shards_sha256(shards) == run.require("collect")["outputs"]["episodes"]
    except BadFileError:
        return False


def set_aside_if_damaged(path: Path) -> None:
    """Gives a shard that cannot be read another name, out of the way, and says so; it will be made again."""
    try:
        if path.exists():
            Shard(path).verify()
    except BadFileError as error:
        aside = path.with_name(f"damaged-{path.name}-{time.time_ns()}")
        path.rename(aside)
        print(f"collect: {error.args[0].split(';')[0]}; kept as {aside.name}, made again", file=sys.stderr, flush=True)


def run(config: CollectConfig, run: Run) -> None:
    """Collects ``config.num_episodes`` episodes into ``run``'s ``episodes/``.

    Raises:
        UserError: an option without use, or a task that is not what the stages need.
    """
    spec = get_task(run.task).seeing(config.frames)
    if SOURCE in run.inputs("collect"):
        if run.done("collect") is None or not is_whole(sorted(run.stage_path("collect").glob("shard-*")), run):
            raise UserError(f"{run.path}: not all recordings are here; call the same 'worldmodels import' again")
        return
    if run.done("collect") is None:
        check_task(spec)
    if config.start_anywhere and not spec.data.start_anywhere_kwargs:
        raise UserError(f"{spec.name} has one place to start from; leave start_anywhere out")
    inputs, model = _inputs(config, run, spec)
    begun = run.begin("collect", config, inputs)
    # Other machines may share the folder, and have other working directories.
    folder = run.stage_path("collect").absolute()
    linked = [] if run.previous is None else _link_shards(run.previous.stage_path("collect"), folder)
    plan = plan_shards(config, folder, len(linked))
    every = [*linked, *plan]
    if not begun and is_whole(every, run):
        return
    (folder / DONE).unlink(missing_ok=True)
    for path in plan:
        set_aside_if_damaged(path)
    missing = {path: indices for path, indices in plan.items() if not path.exists()}
    if missing and config.policy == "curious" and run.previous is not None:
        model = explore(begun_explorer(config, run), run.previous)
    progress = Progress("collect", config.num_episodes, "episodes", config.num_episodes - sum(map(len, missing.values())))
    if missing:
        _play_missing(config, run, spec, model, missing, run.stage_fingerprint("collect", config, inputs), progress)
    finish_collection(run, every, progress)


def _inputs(config: CollectConfig, run: Run, spec: Task) -> tuple[dict[str, str], Path | None]:
    """Returns what the collection builds on, for its fingerprint, and the folder of the agent that plays, if one does.

    Raises:
        UserError: an agent is to play, and there is no previous run that has one.
    """
    # Episodes of two versions of an environment must not mix.
    inputs = {"env": spec.env_id, **run.inherited("collect")}
    if spec.read.observation:
        settings = (dict(spec.env_kwargs), spec.read.fingerprint_fields(), spec.max_episode_steps)
        inputs["settings of the environment"] = fingerprint({"env": settings})
    if config.policy not in ("agent", "curious"):
        return inputs, None
    if config.from_model:
        return _of_another(config, run, spec, inputs)
    if run.previous is None:
        or_whose = ", or whose agent plays with --from" if config.policy == "agent" else ""
        raise UserError(f"policy {config.policy} needs a run to go on from; name it with --previous{or_whose}")
    inputs |= run.inherited("vae") | run.inherited("rnn")
    if config.policy == "curious":
        search = begun_explorer(config, run).preset.controller
        return inputs | {"explorer": fingerprint(search.fingerprint_fields())}, None
    return inputs | run.inherited("controller"), run.previous.path / MODEL


def _of_another(config: CollectConfig, run: Run, spec: Task, inputs: dict[str, str]) -> tuple[dict[str, str], Path]:
    """Returns `_inputs` where the agent of another model plays. Raises `UserError` for one that cannot."""
    if run.previous is not None:
        raise UserError(f"{run.path}: goes on from {run.previous.path}, whose agent plays; leave out --from")
    agent = load(config.from_model)
    agent.needed_solution()
    if agent.task.name != spec.name:
        raise UserError(f"{config.from_model}: an agent of {agent.task.name}, which cannot play {spec.name}")
    if agent.task.frames_name != spec.frames_name:
        raise UserError(f"{config.from_model}: an agent that sees other frames; use --frames {agent.task.frames_name}")
    digests = {f"from/{part}": agent.sha256[part] for part in ("vae", "rnn", "controller")}
    return inputs | digests, model_folder(config.from_model)


def plan_shards(config: CollectConfig, folder: Path, num_linked: int) -> dict[Path, range]:
    """Returns the shards to play, numbered after the linked ones, and the episodes of each."""
    size, total = config.episodes_per_shard, config.num_episodes
    return {
        folder / f"shard-{num_linked + first // size:05d}": range(first, min(first + size, total))
        for first in range(0, total, size)
    }


def _play_missing(
    config: CollectConfig,
    run: Run,
    spec: Task,
    model: Path | None,
    missing: dict[Path, range],
    fingerprint: str,
    progress: Progress,
) -> None:
    """Has workers play the shards that are missing, and brings those that are kept at a URL."""
    folder = run.stage_path("collect").absolute()
    started = (folder / STARTED).read_text(encoding="utf-8")
    store = None
    if config.episodes_url:
        store = ShardStore(config.episodes_url)
        store.claim(fingerprint)
    num_envs = 1 if model is None else config.episodes_per_shard
    place = (config.place.backend, config.place.address, config.num_workers)
    workers = make_workers(*place, _prepare_worker, model, reference(run.task), config, num_envs, per_core=spec.env_threads)
    tasks = [(path, started, run.task, config, run.seed, indices) for path, indices in missing.items()]
    num_done, num_frames = config.num_episodes - sum(map(len, missing.values())), 0
    new = " new" if num_done else ""
    try:
        for index, frames in workers.map_unordered(_play_shard, tasks):
            num_frames += frames
            num_done += len(tasks[index][-1])
            progress.update(num_done, f"{num_frames:,}{new} frames")
    finally:
        workers.close()
        # Of workers that were ended in the middle of a shard.
        remove_leftovers(folder)
    if store is not None:
        with ThreadPoolExecutor(FETCH_THREADS) as threads:
            list(threads.map(store.fetch, missing))


def finish_collection(run: Run, paths: Sequence[Path], progress: Progress) -> None:
    """Checks all shards, and marks the collection as complete."""
    shards = [Shard(path) for path in paths]
    for shard in shards:
        shard.verify()
    lengths = [n for shard in shards for n in shard.lengths]
    run.finish(
        "collect",
        {"episodes": shards_sha256(paths)},
        num_episodes=len(lengths),
        num_frames=sum(lengths),
        mean_length=sum(lengths) / len(lengths),
    )
    progress.finish(f"{len(lengths):,} episodes, {sum(lengths):,} frames", run.stage_path("collect"))


def play_driven(
    pixels: PixelEnvs, agent: Agent, config: CollectConfig, seed: int, indices: Sequence[int], attempt: int
) -> dict[int, Episode]:
    """Plays episodes ``indices`` of a run side by side, one a slot of ``pixels``, and returns them by number."""
    world = LatentEnv(pixels, agent.world_model, agent.inputs)
    spec = agent.task
    controller = ControllerPolicy(spec, agent.world_model.sizes, agent.inputs, agent.needed_solution()[None])
    driver = NoisyDriver(world, controller, spec, config, seed, indices, attempt)
    jobs = [EpisodeJob(0, derive_seed(seed, "collect/env", index, attempt)) for index in indices]
    rollout(world, driver, jobs, on_step=driver)
    return {index: driver.recordings[index].episode(job.seed) for index, job in zip(indices, jobs, strict=True)}
