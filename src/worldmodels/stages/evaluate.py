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
from worldmodels.models.shipped import model_folder
from worldmodels.models.world_model import Model, load_model
from worldmodels.progress import Progress
from worldmodels.rollout import EpisodeJob, EpisodeResult
from worldmodels.run import Run, versions

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
        if (Path(target) / "episodes").is_dir():
            return Target(get_task(Run.open(Path(target)).task), None)
    model = load_model(model_folder(target))
    return Target(model.world_model.spec, None if agent == "random" else model)


def summarise(returns: NDArray[np.float64]) -> dict[str, Any]:
    """Returns the mean, the sample standard deviation and the normal 95% interval of the mean."""
    mean = float(returns.mean())
    std = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    half = Z95 * std / math.sqrt(len(returns))
    return {"num_episodes": len(returns), "mean": mean, "std": std, "ci95": [mean - half, mean + half]}


def evaluate(config: EvaluateConfig, target: Target) -> dict[str, Any]:
    """Plays ``config.episodes`` episodes with seeds S, S + 1, … and returns the result as JSON values."""
    spec = target.spec
    if config.world == "dream" and target.model is None:
        raise UserError("a random agent is scored in the real world; use --world real")
    jobs = [EpisodeJob(0, config.seed + i) for i in range(config.episodes)]
    who = "random policy" if target.model is None else "agent"
    progress = Progress(f"evaluate {who}, {config.world}", len(jobs), "episodes")
    finished: list[float] = []

    def on_result(result: EpisodeResult) -> None:
        finished.append(result.episode_return)
        progress.update(len(finished), f"mean {np.mean(finished):.1f}")

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
        results = population.evaluate(solutions, jobs, on_result)
    finally:
        population.close()
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


def run(config: EvaluateConfig, run: Run, name: str) -> dict[str, Any]:
    """Evaluates a run's agent into ``evaluation/<name>.json`` (once: the same question is not played twice)."""
    target = load_target(str(run.path), config.agent)
    path = run.path / "evaluation" / f"{name}.json"
    asked = {
        "config": config.fingerprint_fields(),
        "sha256": None if target.model is None else target.model.sha256,
    }
    if path.exists():
        found = files.read_json(path)
        if isinstance(found, dict) and found.get("asked") == asked:
            return found
    result = {**evaluate(config, target), "asked": asked}
    files.write_json(path, result)
    return result
