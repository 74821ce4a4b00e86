"""Scores an agent on held-out seeds, in the real environment or in the dream, and says exactly what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels import files
from worldmodels.config import EvaluateConfig
from worldmodels.envs.spec import EnvSpec, get_task, tasks
from worldmodels.errors import UserError
from worldmodels.evolution.population import DreamPopulation, RealPopulation
from worldmodels.models.precision import pick_device
from worldmodels.models.shipped import model_folder, target_path
from worldmodels.models.world_model import Model, load_model
from worldmodels.progress import Progress
from worldmodels.rollout import EpisodeJob, EpisodeResult
from worldmodels.run import MetricsLog, Run, rows_so_far, versions

#: No seed is above it.
MAX_SEED = 2**31
#: Two-sided 95% of a normal distribution.
Z95 = 1.959964


@dataclass(frozen=True)
class Target:
    """What is evaluated: a task, with a trained model or (random agent) without."""

    spec: EnvSpec
    model: Model | None


def load_target(target: str, agent: str) -> Target:
    """Finds what ``target`` means: a task (its shipped agent), a run's folder or a model's folder.

    Raises:
        UserError: it is none of them, or there is no finished agent.
        BadFileError: a part of the model is damaged.
    """
    if agent == "random":
        # Chance needs no model.
        if target in tasks():
            return Target(get_task(target), None)
        path = target_path(target)
        if (path / "episodes").is_dir():
            return Target(get_task(Run.open(path).task), None)
    model = load_model(model_folder(target))
    return Target(model.world_model.spec, None if agent == "random" else model)


def summarise(returns: NDArray[np.float64]) -> dict[str, Any]:
    """Returns the mean, the sample standard deviation and the normal 95% interval of the mean."""
    mean = float(returns.mean())
    std = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    half = Z95 * std / math.sqrt(len(returns))
    return {"num_episodes": len(returns), "mean": mean, "std": std, "ci95": [mean - half, mean + half]}


class PlayedEpisodes:
    """The episodes of an evaluation that have been played, one row each in a file, so that a killed one goes on.

    Args:
        path: the file; rows of other questions in it are passed over.
        question: what is asked, and of whom: a hash.

    Raises:
        BadFileError: a row holds something else than an episode's seed, return and length.
    """

    def __init__(self, path: Path, question: str) -> None:
        rows = rows_so_far(path, "seed", "return", "length")
        self.results = {
            row["seed"]: EpisodeResult(EpisodeJob(0, row["seed"]), row["return"], row["length"])
            for row in rows
            if row.get("question") == question
        }
        self._question, self._path = question, path
        self._log: MetricsLog | None = None

    def add(self, result: EpisodeResult) -> None:
        """Keeps an episode."""
        if self._log is None:  # an evaluation that is refused before its first episode leaves no file
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._log = MetricsLog(self._path, "seed", MAX_SEED)
        row = {"seed": result.job.seed, "return": result.episode_return, "length": result.length}
        self._log.write(**row, question=self._question)


def evaluate(config: EvaluateConfig, target: Target, played_path: Path | None = None) -> dict[str, Any]:
    """Plays ``config.episodes`` episodes with seeds S, S + 1, … and returns the result as JSON values.

    Args:
        played_path: where episodes are kept as they are played, for a call that is killed and made again; whoever has
            written the result removes it.
    """
    spec = target.spec
    if config.world == "dream" and target.model is None:
        raise UserError("a random agent is scored in the real world; use --world real")
    played = None
    if played_path is not None:
        question = {**_asked(config, target), "task": spec.name, "versions": versions()}
        played = PlayedEpisodes(played_path, files.fingerprint(question))
    found = {} if played is None else played.results
    seeds = range(config.seed, config.seed + config.episodes)
    jobs = [EpisodeJob(0, seed) for seed in seeds if seed not in found]
    who = "random policy" if target.model is None else "agent"
    progress = Progress(f"evaluate {who}, {config.world}", config.episodes, "episodes", len(found))

    def on_result(result: EpisodeResult) -> None:
        found[result.job.seed] = result
        if played is not None:
            played.add(result)
        progress.update(len(found), f"mean {np.mean([r.episode_return for r in found.values()]):.1f}")

    model = target.model
    official, inputs = not config.fast, model.inputs if model is not None else "z"
    population: DreamPopulation | RealPopulation
    if config.world == "dream" and model is not None:
        population = DreamPopulation(
            model.world_model, inputs, config.temperature, config.num_slots, pick_device(config.device)
        )
    else:
        world_model = None if model is None else model.world_model
        population = RealPopulation(spec, world_model, inputs, official, config.num_workers, config.backend, config.address)
    try:
        solutions = torch.zeros(1, 0) if model is None else model.solution[None]
        if jobs:
            population.evaluate(solutions, jobs, on_result)
    finally:
        population.close()
    results = [found[seed] for seed in seeds]
    summary = summarise(np.array([result.episode_return for result in results]))
    progress.finish(f"{summary['mean']:.1f} ± {summary['std']:.1f}")
    dream = config.world == "dream"
    return {
        "task": spec.name,
        "world": config.world,
        "agent": config.agent,
        "env": {
            "id": spec.dream_id if dream else spec.score_id(official),
            "settings": dict(spec.env_kwargs),
            "max_episode_steps": spec.max_episode_steps,
            "versions": versions(),
        },
        **summary,
        "seed": config.seed,
        "temperature": config.temperature if dream else None,
        "controller_inputs": None if model is None else inputs,
        "sha256": None if model is None else model.sha256,
        "episodes": [{"seed": r.job.seed, "return": r.episode_return, "length": r.length} for r in results],
    }


def _asked(config: EvaluateConfig, target: Target) -> dict[str, Any]:
    """Returns what decides an evaluation's result within its task."""
    return {"config": config.fingerprint_fields(), "sha256": None if target.model is None else target.model.sha256}


def run(config: EvaluateConfig, run: Run, name: str) -> dict[str, Any]:
    """Evaluates a run's agent into ``evaluation/<name>.json`` (once: the same question is not played twice)."""
    target = load_target(str(run.path), config.agent)
    path = run.path / "evaluation" / f"{name}.json"
    asked = _asked(config, target)
    found = files.read_json(path) if path.exists() else None
    if isinstance(found, dict) and found.get("asked") == asked:
        result = found
    else:
        result = {**evaluate(config, target, played_beside(path)), "asked": asked}
        files.write_json(path, result)
    played_beside(path).unlink(missing_ok=True)
    return result


def played_beside(path: Path) -> Path:
    """Returns where the episodes of an evaluation are kept until its result is written to ``path``."""
    return path.with_name(f"{path.name}.played.jsonl")
