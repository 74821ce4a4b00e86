"""Says what a path is: a run, a stage's folder, a shard, latents, a model, weights, or a result. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.agent.files import PARTS
from worldmodels.agent.load import load_model
from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError, WorldModelsError
from worldmodels.base.logs import each_row, rows_so_far
from worldmodels.base.tensors import load_metadata, load_tensors
from worldmodels.data.episodes import EpisodeStore, Shard
from worldmodels.data.latents import LatentStore
from worldmodels.diagnostics.statistics import score_text
from worldmodels.envs.task import get_task
from worldmodels.runs.layout import (
    BEST,
    CONFIG,
    DONE,
    EVALUATION,
    HISTORY,
    METRICS,
    POSITION,
    PPO_LOG,
    SHARD,
    STARTED,
    VAE,
    WEIGHTS,
)
from worldmodels.runs.run import STAGES, VERBS, Run, read_done
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
    raise UserError(f"{path}: neither a run, a stage's folder, a shard, latents, a model, a .safetensors, .json or .jsonl file")


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
        state = "finished" if done is not None else "begun" if (folder / STARTED).exists() else "missing"
        stages[stage] = {"state": state, "bytes": _size(folder) if folder.exists() else 0}
        if stage in took:
            stages[stage]["took"] = format_seconds(took[stage])
        if done is not None:
            stages[stage] |= {key: value for key, value in done.items() if key not in ("outputs", "fingerprint")}
            health += _changed(folder, done["outputs"])
    config = files.read_json(path / CONFIG)
    next_up = _next(run)
    scores = {f.stem: score_text(r, 1) for f in sorted((path / EVALUATION).glob("*.json")) if (r := _score(f))}
    return {
        "task": run.task, "scale": run.scale, "seed": run.seed, "versions": config["versions"],
        "stages": stages, **next_up, "scores": scores, "health": health,
    }  # fmt: skip


def _next(run: Run) -> Facts:
    """Returns the command that a run needs next and how long its stage may take yet; nothing of a finished run."""
    stage = next((stage for stage in STAGES if run.done(stage) is None), None)
    if stage is None:
        return {}
    facts = {"next": f"worldmodels {VERBS[stage]} --run {run.path}"}
    if not (run.stage_path(stage) / STARTED).exists():
        return facts | {"may_take": "not known before it has begun"}
    done, total, seconds, unit = _how_far(run, stage)
    facts["so_far"] = f"{done:,} of {total:,} {unit}"
    if done and seconds:
        facts["may_take"] = f"{format_seconds(seconds / done * (total - done))} more, at the pace so far"
    return facts


def _how_far(run: Run, stage: str) -> tuple[int, int, float, str]:
    """Returns how much of a stage that has begun is done, of how much, in how many seconds, and what is counted."""
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
        times = [shard.stat().st_mtime for shard in folder.glob(f"shard-*/{SHARD}")]
        episodes = min(len(times) * preset.collect.episodes_per_shard, preset.collect.num_episodes)
        return episodes, preset.collect.num_episodes, max([0.0, *times]) - begun if times else 0.0, "episodes"
    position, made = folder / POSITION, run.done("collect") or {}
    total = int(made.get("num_frames", 0))
    if not position.exists():
        return 0, total, 0.0, "frames"
    frames = _look_up(files.read_json(position), "frames")
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


def _score(path: Path) -> Facts | None:
    found = files.read_json(path)
    return found if isinstance(found, dict) and {"mean", "std"} <= found.keys() else None


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
        facts["sha256"] = agent.sha256
        facts["initial_latents"] = len(agent.world_model.initial.mu)
    except WorldModelsError as error:
        faults.append(str(error))
        facts["task"] = get_task(config["task"]).name if isinstance(config, dict) and "task" in config else None
    return {**facts, "health": faults}


def _weights(path: Path) -> Facts:
    tensors = load_tensors(path)
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    return {
        "tensors": len(tensors), "numbers": sum(t.numel() for t in tensors.values()),
        "types": sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()}),
        "sha256": files.sha256_of(path), "metadata": load_metadata(path),
        "health": [f"{path}: '{name}' holds a value that is not finite" for name in bad],
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
    if not isinstance(found, dict):
        raise BadFileError(f"{path}: no table of values")
    episodes = found.get("episodes")
    facts = {key: value for key, value in found.items() if key not in ("episodes", "health")}
    return {**facts, "episodes": len(episodes) if isinstance(episodes, list) else episodes}


def _print(facts: Facts) -> None:
    """Prints facts, a line each, tables below their names; a line says whether all is well."""

    def show(values: Facts, indent: int) -> None:
        for key, value in values.items():
            if isinstance(value, dict) and value:
                print(f"{' ' * indent}{key}:")
                show(value, indent + 2)
            elif isinstance(value, list) and len(value) > 12:
                print(f"{' ' * indent}{key}: {', '.join(map(str, value[:12]))}, … ({len(value)})")
            else:
                text = f"{value:,}" if isinstance(value, int) and key == "bytes" else str(value)
                print(f"{' ' * indent}{key}: {', '.join(map(str, value)) if isinstance(value, list) else text}")

    show({key: value for key, value in facts.items() if key != "health"}, 0)
    for fault in facts["health"]:
        print(f"FAULT {fault}")
    print("health: " + (f"{len(facts['health'])} faults" if facts["health"] else "nothing wrong found"))
