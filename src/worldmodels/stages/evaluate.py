"""Scores an agent on held-out seeds, in the real environment or in the dream, and says exactly what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels import files
from worldmodels.config import Agent, EvaluateConfig, World
from worldmodels.envs.check import check_task
from worldmodels.envs.spec import EnvSpec, get_task, tasks
from worldmodels.evolution.population import DreamPopulation, RealPopulation
from worldmodels.models.precision import pick_device
from worldmodels.models.shipped import model_folder, target_path
from worldmodels.models.world_model import Model, load_model, temperature_text
from worldmodels.progress import Progress
from worldmodels.rollout import EpisodeJob, EpisodeResult
from worldmodels.run import MetricsLog, Run, each_row, versions

#: No seed is above it.
MAX_SEED = 2**31
#: Episodes that are handed out together: while they are played, far more is held of each than its result.
BLOCK_EPISODES = 65_536
#: Two-sided 95% of a normal distribution.
Z95 = 1.959964


@dataclass(frozen=True)
class Target:
    """What is evaluated: a task, with a model: the agent's, or that of chance's dream. Chance in reality has none."""

    spec: EnvSpec
    model: Model | None


def load_target(target: str, agent: Agent, world: World = "real") -> Target:
    """Finds what ``target`` means: a task (its shipped agent), a run's folder or a model's folder.

    Raises:
        UserError: it is none of them, or there is no finished agent.
        BadFileError: a part of the model is damaged.
    """
    if agent == "random" and world == "real":
        # Chance needs no model.
        if target in tasks():
            return Target(get_task(target), None)
        path = target_path(target)
        if (path / "episodes").is_dir():
            return Target(get_task(Run.open(path).task), None)
        return Target(load_model(model_folder(target)).world_model.spec, None)
    model = load_model(model_folder(target))
    return Target(model.world_model.spec, model)


def summarise(returns: NDArray[np.float64]) -> dict[str, Any]:
    """Returns the mean, the sample standard deviation and the normal 95% interval of the mean; of a single episode the last two
    are None."""
    mean, std, interval = float(returns.mean()), None, None
    if len(returns) > 1:
        std = float(returns.std(ddof=1))
        half = Z95 * std / math.sqrt(len(returns))
        interval = [mean - half, mean + half]
    return {"num_episodes": len(returns), "mean": mean, "std": std, "ci95": interval}


def score_text(row: Mapping[str, Any], places: int = 0) -> str:
    """Returns a result's mean and standard deviation in words; the mean alone of a single episode."""
    spread = "" if row["std"] is None else f" ± {row['std']:.{places}f}"
    return f"{row['mean']:.{places}f}{spread}"


class Tally:
    """Returns and lengths of episodes with the seeds S, S + 1, …, in the order of their coming: 17 bytes each."""

    def __init__(self, seeds: range) -> None:
        self.seeds = seeds
        self.returns, self.lengths = np.zeros(len(seeds)), np.zeros(len(seeds), np.int64)
        self.played = np.zeros(len(seeds), np.bool_)
        self.num_played, self._sum = 0, 0.0

    def add(self, seed: int, episode_return: float, length: int) -> None:
        """Adds an episode; one that is there already changes nothing."""
        index = seed - self.seeds.start
        if self.played[index]:
            return
        self.returns[index], self.lengths[index], self.played[index] = episode_return, length, True
        self.num_played += 1
        self._sum += episode_return

    @property
    def mean(self) -> float:
        """The mean return so far, for progress."""
        return self._sum / max(self.num_played, 1)

    def rows(self) -> list[dict[str, Any]]:
        """Returns the episodes as JSON values, in the seeds' order."""
        columns = (self.seeds, self.returns.tolist(), self.lengths.tolist())
        return [{"seed": s, "return": r, "length": n} for s, r, n in zip(*columns, strict=True)]


class PlayedEpisodes:
    """The episodes of an evaluation that have been played, one row each in a file, so that a killed one goes on.

    Args:
        path: the file; rows of other questions in it are passed over.
        question: what is asked, and of whom: a hash.
        tally: gets the episodes that are in the file.

    Raises:
        BadFileError: a row holds something else than an episode's seed, return and length.
    """

    def __init__(self, path: Path, question: str, tally: Tally) -> None:
        for row in each_row(path, "seed", "return", "length") if path.exists() else ():
            if row.get("question") == question and type(row["seed"]) is int and row["seed"] in tally.seeds:
                tally.add(row["seed"], row["return"], int(row["length"]))
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
    spec, model, random = target.spec, target.model, config.agent == "random"
    if config.world == "real":
        check_task(spec)
    tally = Tally(range(config.seed, config.seed + config.episodes))
    played = None
    if played_path is not None:
        question = {**_asked(config, target), "task": spec.name, "versions": versions()}
        played = PlayedEpisodes(played_path, files.fingerprint(question), tally)
    who = "random policy" if random else "agent"
    progress = Progress(f"evaluate {who}, {config.world}", config.episodes, "episodes", tally.num_played)

    def on_result(result: EpisodeResult) -> None:
        tally.add(result.job.seed, result.episode_return, result.length)
        if played is not None:
            played.add(result)
        progress.update(tally.num_played, f"mean {tally.mean:.1f}")

    official, inputs = not config.fast, model.inputs if model is not None else "z"
    temperature, own, where = None, None, ""
    population: DreamPopulation | RealPopulation
    if config.world == "dream":
        assert model is not None
        own = model.temperature
        temperature = config.temperature or own
        where = f"{temperature_text(temperature, own)}: "
        device = pick_device(config.device)
        population = DreamPopulation(model.world_model, inputs, temperature, config.num_slots, device, random)
    else:
        world_model = None if model is None or random else model.world_model
        population = RealPopulation(spec, world_model, inputs, official, config.num_workers, config.backend, config.address)
    try:
        solutions = torch.zeros(1, 0) if model is None else model.solution[None]
        block = max(BLOCK_EPISODES, config.num_slots)
        for first in range(0, config.episodes, block):
            left = np.flatnonzero(~tally.played[first : first + block]).tolist()
            if left:
                population.evaluate(solutions, [EpisodeJob(0, config.seed + first + index) for index in left], on_result)
    finally:
        population.close()
    summary = summarise(tally.returns)
    progress.finish(f"{where}{score_text(summary, 1)}")
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
        "temperature": temperature,
        "own_temperature": own,
        "controller_inputs": None if random else inputs,
        "sha256": _hashes(config, target),
        "episodes": tally.rows(),
    }


def _hashes(config: EvaluateConfig, target: Target) -> dict[str, str] | None:
    """Returns the hashes of the parts that play: of all, of the dream's alone where chance plays in it, or of none."""
    if target.model is None or (config.agent == "random" and config.world == "real"):
        return None
    unused = ("controller",) if config.agent == "random" else ()
    return {part: digest for part, digest in target.model.sha256.items() if part not in unused}


def _asked(config: EvaluateConfig, target: Target) -> dict[str, Any]:
    """Returns what decides an evaluation's result within its task."""
    fields = config.fingerprint_fields()
    if config.world == "dream" and target.model is not None:
        fields["temperature"] = config.temperature or target.model.temperature
    return {"config": fields, "sha256": _hashes(config, target)}


def _same(found: Any, asked: dict[str, Any]) -> bool:
    """Returns whether two questions have one answer: the real environment has no temperature, whatever was asked for."""
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        return False
    if asked["config"]["world"] == "real":
        found = {**found, "config": {**found["config"], "temperature": asked["config"]["temperature"]}}
    return bool(found == asked)


def run(config: EvaluateConfig, run: Run, name: str) -> dict[str, Any]:
    """Evaluates a run's agent into ``evaluation/<name>.json`` (once: the same question is not played twice)."""
    target = load_target(str(run.path), config.agent, config.world)
    path = run.path / "evaluation" / f"{name}.json"
    asked = _asked(config, target)
    found = files.read_json(path) if path.exists() else None
    if isinstance(found, dict) and _same(found.get("asked"), asked):
        result = found
    else:
        result = {**evaluate(config, target, played_beside(path)), "asked": asked}
        files.write_json(path, result)
    played_beside(path).unlink(missing_ok=True)
    return result


def played_beside(path: Path) -> Path:
    """Returns where the episodes of an evaluation are kept until its result is written to ``path``."""
    return path.with_name(f"{path.name}.played.jsonl")
