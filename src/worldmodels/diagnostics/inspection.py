"""Says what a path is: a run, a stage's folder, a shard, latents, a model, weights, or a result. Nothing is unpickled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.agent.files import PARTS
from worldmodels.agent.load import load_model
from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError, WorldModelsError, on_one_line
from worldmodels.base.logs import each_row, rows_so_far
from worldmodels.base.tensors import fault_of, load_metadata, load_tensors, type_name
from worldmodels.data.episodes import EpisodeStore, Shard
from worldmodels.data.latents import LatentStore
from worldmodels.data.run_data import own_shards
from worldmodels.diagnostics.statistics import score_text
from worldmodels.envs.registry import get_task
from worldmodels.runs.cleaning import is_cleaned
from worldmodels.runs.layout import (
    BEST,
    CONFIG,
    DONE,
    EVALUATION,
    HISTORY,
    METRICS,
    MODEL,
    POSITION,
    PPO_LOG,
    PPO_STATE,
    SHARD,
    STARTED,
    TRAINING_STATE,
    VAE,
    WEIGHTS,
)
from worldmodels.runs.lock import RunLock
from worldmodels.runs.run import STAGES, VERBS, Run, nearest_run, original_mend, read_done
from worldmodels.runs.scores import NAMES, read_score, search_logs
from worldmodels.runs.timings import stage_seconds
from worldmodels.runtime.progress import format_seconds

Facts = dict[str, Any]


def inspect_path(path: Path) -> Facts:
    """Looks at a path, prints what it is and how it is, and returns the same as JSON values; ``health`` lists faults.

    Raises:
        UserError: there is nothing, or nothing that is known.
    """
    if not path.exists():
        raise UserError(f"{path}: nothing is there")
    kind, look = _kind_of(path)
    facts: Facts = {"path": str(path), "kind": kind, "bytes": _size(path), "health": []}
    try:
        facts |= look(path)
    except WorldModelsError as error:
        facts["health"] = [*facts["health"], str(error)]
    _print(facts)
    return facts


def _kind_of(path: Path) -> tuple[str, Callable[[Path], Facts]]:
    """Recognises a path by what lies in it. Raises `UserError` with what is understood."""
    known: list[tuple[bool, str, Callable[[Path], Facts]]] = [
        ((path / VAE).exists(), "model", _model),
        ((path / CONFIG).exists(), "run", _run),
        ((path / SHARD).exists(), "episode shard", _shard),
        (any(path.glob("shard-*/shard.json")), "episodes", _episodes),
        ((path / "lengths.npy").exists(), "latents", _latents),
        ((path / STARTED).exists() or (path / DONE).exists(), "stage", _stage),
        (path.suffix == ".safetensors", "weights", _weights),
        (path.suffix == ".jsonl", "log", _log),
        (path.suffix == ".json", "result", _result),
    ]
    for found, kind, look in known:
        if found:
            return kind, look
    what = "neither a run, a stage's folder, a shard, latents, a model, a .safetensors, .json or .jsonl file"
    if mend := original_mend(path):
        raise UserError(f"{path}: {what}; {mend}")
    raise UserError(f"{path}: {what}{nearest_run(path) if path.is_dir() else ''}")


def _size(path: Path) -> int:
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


def _run(path: Path) -> Facts:
    run = Run.open(path)
    stages: Facts = {}
    health: list[str] = []
    took = stage_seconds(run)
    for stage in STAGES:
        folder = run.stage_path(stage)
        done = run.done(stage)
        begun = "begun" if (folder / STARTED).exists() else "missing"
        state = "cleaned" if is_cleaned(run, stage) else begun if done is None else "finished"
        stages[stage] = {"state": state, "bytes": _size(folder) if folder.exists() else 0}
        if stage in took:
            stages[stage]["took"] = format_seconds(took[stage])
        if done is not None:
            stages[stage] |= {key: value for key, value in done.items() if key not in ("outputs", "fingerprint")}
            health += _changed(folder, done["outputs"])
    config = files.read_json(path / CONFIG)
    next_up = _next(run)
    scores: Facts = {}
    for name in NAMES:
        with _noting(health):
            file = path / EVALUATION / f"{name}.json"
            scores |= {name: score_text(read_score(file), 1)} if file.exists() else {}
    with _noting(health):
        search_logs(run)
    if (path / MODEL).exists():
        with _noting(health):
            health += _model(path / MODEL)["health"]
    return {
        "task": run.task, "scale": run.scale, "recipe": run.recipe, "seed": run.seed, "versions": config["versions"],
        "stages": stages, **next_up, "scores": scores, "health": health,
    }  # fmt: skip


@contextlib.contextmanager
def _noting(health: list[str]) -> Iterator[None]:
    """Inside, a fault becomes a line of ``health``."""
    try:
        yield
    except WorldModelsError as error:
        health.append(str(error))


def _next(run: Run) -> Facts:
    """Returns the command that a run needs next, or who is at work on it, and how long it may take yet; of a finished run
    whether it has been cleaned."""
    # A round is locked with all the others.
    owner = RunLock.owner(run.path) or RunLock.owner(run.path.parent)
    facts = {} if owner is None else {"in_use": f"by {owner}"}
    left = [stage for stage in STAGES if run.done(stage) is None]
    if run.done("controller") is not None and any(is_cleaned(run, stage) for stage in left):
        return facts | {"cleaned": "model, scores, logs and pictures are kept; what only training needs is gone"}
    if not left:
        return facts
    stage, *later = left
    verb = VERBS[stage]
    if owner is None:
        facts["next"] = f"worldmodels {verb} --run {run.path}"
    if not (run.stage_path(stage) / STARTED).exists():
        return facts | {"may_take": "not known before it has begun"}
    logged, total, seconds, unit = _how_far(run, stage)
    # Of an interrupted training what came after its last checkpoint is done again.
    done = min(logged, _saved(run, stage, logged)) if owner is None else logged
    facts["so_far"] = f"{done:,} of {total:,} {unit}"
    if logged and not done:
        facts["so_far"] += f"; nothing of the {logged:,} that were done was saved: it begins anew"
    if logged and seconds:
        rest = f"; how long {' and '.join(VERBS[each] for each in later)} will take is not known yet" if later else ""
        facts["may_take"] = f"{format_seconds(seconds / logged * (total - done))} more for {verb}, at the pace so far{rest}"
    return facts


def _saved(run: Run, stage: str, logged: int) -> int:
    """Returns how much of a begun stage, of which ``logged`` is in its log, the next process goes on from."""
    folder, key = run.stage_path(stage), "step" if stage in ("vae", "rnn") else "iteration"
    if key == "step":
        state = folder / TRAINING_STATE
    elif stage == "controller" and logged < run.preset.controller.ppo_iterations:
        state = folder / PPO_STATE
    else:
        return logged
    step = load_metadata(state).get(key, "") if state.exists() else "0"
    if not step.isdecimal():
        raise BadFileError(f"{state}: not a state to go on from: '{key}' is {step!r:.40}")
    return int(step)


def _how_far(run: Run, stage: str) -> tuple[int, int, float, str]:
    """Returns how much of a stage that has begun is in its log, of how much, in how many seconds, and what is counted."""
    folder, preset = run.stage_path(stage), run.preset
    if stage in ("vae", "rnn"):
        rows = rows_so_far(folder / METRICS, "step", "time")
        steps = rows[-1]["step"] if rows else 0
        return steps, getattr(preset, stage).num_steps, _between(rows), "steps"
    if stage == "controller":
        iterations = rows_so_far(folder / PPO_LOG, "iteration", "time")
        generations = rows_so_far(folder / HISTORY, "generation", "elapsed_seconds")
        config = preset.controller
        if len(iterations) < config.ppo_iterations:
            return len(iterations), config.ppo_iterations, _between(iterations), "iterations of PPO"
        seconds = generations[-1]["elapsed_seconds"] if generations else 0.0
        if config.max_steps:
            return sum(row.get("steps", 0) for row in generations), config.max_steps, seconds, "steps"
        return len(generations), config.num_generations, seconds, "generations"
    begun = (folder / STARTED).stat().st_mtime
    if stage == "collect":
        times = [(shard / SHARD).stat().st_mtime for shard in own_shards(run) if (shard / SHARD).exists()]
        episodes = min(len(times) * preset.collect.episodes_per_shard, preset.collect.num_episodes)
        return episodes, preset.collect.num_episodes, max([0.0, *times]) - begun if times else 0.0, "episodes"
    position, made = folder / POSITION, run.done("collect") or {}
    total = int(made.get("num_frames", 0))
    if not position.exists():
        return 0, total, 0.0, "frames"
    found = files.read_json(position)
    frames, total = _look_up(found, "frames"), _look_up(found, "of") or total  # with the mirror's; older ones do not say it
    return frames, total, position.stat().st_mtime - begun, "frames"


def _look_up(found: Any, name: str) -> int:
    """Returns a whole number of a table; 0 where it has none."""
    value = found.get(name) if isinstance(found, dict) else None
    return value if type(value) is int else 0


def _between(rows: list[Facts]) -> float:
    """Returns the seconds that a log's rows took, reckoned from the first to the last of them."""
    if len(rows) < 2:
        return 0.0
    return float(rows[-1]["time"] - rows[0]["time"]) * len(rows) / (len(rows) - 1)


def _changed(folder: Path, outputs: dict[str, str]) -> list[str]:
    """Returns a sentence for every weight file that is not what its stage wrote."""
    faults = []
    for name, digest in outputs.items():
        candidates = {"vae": WEIGHTS, "rnn": WEIGHTS, "controller": BEST}
        file = folder / (candidates.get(name) or f"{name.removeprefix('latents/')}.npy")
        if name == "episodes":
            continue  # every shard has checksums of its own
        if not file.exists():
            faults.append(f"{file}: missing")
        elif files.sha256_of(file) != digest:
            faults.append(f"{file}: is not what the stage wrote (SHA-256 {digest[:12]}… expected)")
    return faults


def _stage(path: Path) -> Facts:
    started, done = path / STARTED, path / DONE
    facts: Facts = {"state": "finished" if done.exists() else "begun"}
    if started.exists():
        found = files.read_json(started)
        facts["settings"] = found.get("config") if isinstance(found, dict) else None
    if done.exists():
        outputs = read_done(done)["outputs"]
        facts |= {"outputs": outputs, "health": _changed(path, outputs)}
    for log in sorted(path.glob("*.jsonl")):
        facts[log.name] = f"{sum(1 for _ in each_row(log))} rows"
    return facts


def _episodes(path: Path) -> Facts:
    store = EpisodeStore(path)
    lengths = np.array(store.lengths)
    return {
        "shards": len(store.shards), "episodes": len(lengths), "frames": int(store.num_frames),
        "length": {"mean": float(lengths.mean()), "min": int(lengths.min()), "max": int(lengths.max())},
        "health": [str(fault) for shard in store.shards if (fault := _fault(shard))],
    }  # fmt: skip


def _fault(shard: Shard) -> WorldModelsError | None:
    try:
        shard.verify()
    except WorldModelsError as error:
        return error
    return None


def _shard(path: Path) -> Facts:
    shard = Shard(path)
    fault = _fault(shard)
    return {
        "episodes": len(shard.lengths), "frames": shard.num_frames, "seeds": shard.seeds, "lengths": shard.lengths,
        "health": [str(fault)] if fault else [],
    }  # fmt: skip


def _latents(path: Path) -> Facts:
    store = LatentStore(path)
    finite = all(bool(np.isfinite(store.mu[i : i + 65536]).all()) for i in range(0, len(store.mu), 65536))
    return {
        "episodes": store.num_episodes, "steps": int(store.offsets[-1]), "latent_size": store.mu.shape[1],
        "action_size": store.action.shape[1], "health": [] if finite else [f"{path}/mu.npy: a value is not finite"],
    }  # fmt: skip


def _model(path: Path) -> Facts:
    config: Any = files.read_json(path / CONFIG)
    facts: Facts = {"weights": {name: _weights(path / f"{name}.safetensors") for name in PARTS}}
    faults = [fault for weights in facts["weights"].values() for fault in weights.pop("health")]
    try:
        agent = load_model(path)
        facts |= {"task": agent.task.name, "controller_inputs": agent.inputs, "temperature": agent.temperature}
        facts |= {"frames": agent.task.frames_name, "dream_end": "drawn" if agent.world_model.sizes.drawn else "compared"}
        facts["sha256"] = agent.sha256
        facts["initial_latents"] = len(agent.world_model.initial.mu)
    except WorldModelsError as error:
        faults.append(str(error))
        facts["task"] = get_task(config["task"]).name if isinstance(config, dict) and "task" in config else None
    return {**facts, "health": faults}


def _weights(path: Path) -> Facts:
    tensors = load_tensors(path)
    bad = [fault for name, tensor in tensors.items() if (fault := fault_of(name, tensor))]
    return {
        "tensors": len(tensors), "numbers": sum(t.numel() for t in tensors.values()),
        "types": sorted({type_name(t.dtype) for t in tensors.values()}),
        "sha256": files.sha256_of(path), "metadata": load_metadata(path),
        "health": [f"{path}: {fault}" for fault in bad],
    }  # fmt: skip


def _log(path: Path) -> Facts:
    num_rows, last = 0, None
    for last in each_row(path):  # noqa: B007 (the last one is kept)
        num_rows += 1
    with path.open("rb") as file:
        num_torn = sum(1 for _ in file) - num_rows
    return {"rows": num_rows, "last": last, "health": [f"{path}: {num_torn} torn lines"] if num_torn else []}


def _result(path: Path) -> Facts:
    found: Any = files.read_json(path)
    if isinstance(found, list):  # such as the original's training logs
        return {"values": len(found)}
    if not isinstance(found, dict):
        raise BadFileError(f"{path}: no table and no list of values")
    health: list[str] = []
    if path.parent.name == EVALUATION and path.stem in NAMES:
        with _noting(health):
            read_score(path)
    episodes = found.get("episodes")
    facts = {key: value for key, value in found.items() if key not in ("episodes", "health")}
    return {**facts, "episodes": len(episodes) if isinstance(episodes, list) else episodes, "health": health}


def _print(facts: Facts) -> None:
    """Prints facts, a line each, tables below their names; a line says whether all is well. What a stranger's file says is
    printed as it stands, and not obeyed by the terminal."""

    def say(line: str) -> None:
        print(on_one_line(line))

    def show(values: Facts, indent: int) -> None:
        for key, value in values.items():
            if isinstance(value, dict) and value:
                say(f"{' ' * indent}{key}:")
                show(value, indent + 2)
            elif isinstance(value, list) and len(value) > 12:
                say(f"{' ' * indent}{key}: {', '.join(map(str, value[:12]))}, … ({len(value)})")
            else:
                text = f"{value:,}" if isinstance(value, int) and key == "bytes" else str(value)
                say(f"{' ' * indent}{key}: {', '.join(map(str, value)) if isinstance(value, list) else text}")

    show({key: value for key, value in facts.items() if key != "health"}, 0)
    for fault in facts["health"]:
        say(f"FAULT {fault}")
    print("health: " + (f"{len(facts['health'])} faults" if facts["health"] else "nothing wrong found"))
