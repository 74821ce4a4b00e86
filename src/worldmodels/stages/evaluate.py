"""Scores an agent on held-out seeds, in the real environment or in the dream, and says exactly what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.agent.agent import Agent
from worldmodels.agent.files import dropout_text, temperature_text
from worldmodels.agent.load import load, task_of
from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.base.logs import MetricsLog, each_row
from worldmodels.base.versions import versions
from worldmodels.config import OWN_FRAMES, SEEDS, EvaluateConfig
from worldmodels.diagnostics.statistics import score_text, summarise
from worldmodels.envs.check import check_task
from worldmodels.envs.task import Task
from worldmodels.models.precision import pick_device
from worldmodels.policies.blind import UniformPolicy
from worldmodels.runs.layout import EVALUATION
from worldmodels.runs.run import Run
from worldmodels.runtime.progress import Progress
from worldmodels.search.evaluators import DreamEvaluator, Evaluator, RealEvaluator
from worldmodels.search.outsider import Outsider, OutsiderEvaluator
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.rollout import EpisodeJob, EpisodeResult

#: Episodes that are handed out together: while they are played, far more is held of each than its result.
BLOCK_EPISODES = 65_536


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
            self._log = MetricsLog(self._path, "seed", int(SEEDS.high))
        row = {"seed": result.job.seed, "return": result.episode_return, "length": result.length}
        self._log.write(**row, question=self._question)


Player = Agent | Task | Outsider


def evaluate(config: EvaluateConfig, player: Player, played_path: Path | None = None) -> dict[str, Any]:
    """Plays ``config.episodes`` episodes with seeds S, S + 1, … and returns the result as JSON values.

    Args:
        player: who plays: an agent, with ``config.agent`` "random" chance in its dream or its task; a task alone: chance; or
            somebody else's policy, which knows the real environment alone.
        played_path: where episodes are kept as they are played, for a call that is killed and made again; whoever has
            written the result removes it.
    """
    spec = player if isinstance(player, Task) else player.task
    if config.variant:
        spec = spec.varied(config.variant)
    agent = player if isinstance(player, Agent) else None
    random = config.agent == "random"
    if config.world == "real":
        check_task(spec)
    tally = Tally(range(config.seed, config.seed + config.episodes))
    played = None
    if played_path is not None and not isinstance(player, Outsider):
        question = {**_asked(config, agent), "task": spec.name, "versions": versions()}
        played = PlayedEpisodes(played_path, files.fingerprint(question), tally)
    who = "random policy" if random else "agent" if agent is not None else "policy"
    look = f", {config.variant}" if config.variant else ""
    progress = Progress(f"evaluate {who}, {config.world}{look}", config.episodes, "episodes", tally.num_played)

    def on_result(result: EpisodeResult) -> None:
        tally.add(result.job.seed, result.episode_return, result.length)
        if played is not None:
            played.add(result)
        progress.update(tally.num_played, f"mean {tally.mean:.1f}")

    evaluator, temperature = _evaluator(config, player, spec)
    try:
        solutions = torch.zeros(1, 0) if agent is None else agent.needed_solution()[None]
        block = max(BLOCK_EPISODES, config.num_slots)
        for first in range(0, config.episodes, block):
            left = np.flatnonzero(~tally.played[first : first + block]).tolist()
            if left:
                evaluator.evaluate(solutions, [EpisodeJob(0, config.seed + first + index) for index in left], on_result)
    finally:
        evaluator.close()
    summary = summarise(tally.returns)
    own = None if temperature is None or agent is None else agent.temperature
    where = ""
    if temperature is not None and own is not None:
        where = f"{temperature_text(temperature, own)}{dropout_text(config.dream_dropout)}: "
    progress.finish(f"{where}{score_text(summary, 1)}")
    return {
        "task": spec.name,
        "world": config.world,
        "agent": "policy" if isinstance(player, Outsider) else config.agent,
        "env": _env(config, spec),
        **summary,
        "seed": config.seed,
        "temperature": temperature,
        "own_temperature": own,
        **({"dream_dropout": config.dream_dropout} if config.dream_dropout else {}),
        "controller_inputs": None if random or agent is None else agent.inputs,
        "sha256": _hashes(config, agent),
        "episodes": tally.rows(),
    }


def _evaluator(config: EvaluateConfig, player: Player, spec: Task) -> tuple[Evaluator, float | None]:
    """Returns where the player plays, and the dream's temperature; None for the real environment's."""
    agent, random, official = player if isinstance(player, Agent) else None, config.agent == "random", not config.fast
    if config.world == "dream":
        if agent is None:
            raise UserError(f"{spec.name}: without V and M there is no dream; give an agent")
        temperature = config.temperature or agent.temperature
        acting = (lambda world: UniformPolicy(world.single_action_space)) if random else None
        device, rules = pick_device(config.device), DreamRules(config.dream_dropout)
        dreamt = (agent.world_model, agent.inputs, temperature, config.num_slots)
        return DreamEvaluator(*dreamt, device, acting, rules), temperature
    if isinstance(player, Outsider):
        return OutsiderEvaluator(Outsider(spec, player.policy), official), None
    world_model, inputs = (None, "z") if agent is None else (None if random else agent.world_model, agent.inputs)
    place = (config.num_workers, config.place.backend, config.place.address)
    return RealEvaluator(spec, world_model, inputs, official, *place), None


def _env(config: EvaluateConfig, spec: Task) -> dict[str, Any]:
    """Returns what was played, with its settings and versions."""
    official = not config.fast
    return {
        "id": spec.gym_id("Dream") if config.world == "dream" else spec.score_id(official),
        "settings": spec.env_settings(official),
        **({} if spec.frames_name == OWN_FRAMES else {"frames": spec.frames_name}),
        **({"variant": spec.variant} if spec.variant else {}),
        "max_episode_steps": spec.max_episode_steps,
        "versions": versions(),
    }


def _hashes(config: EvaluateConfig, agent: Agent | None) -> dict[str, str] | None:
    """Returns the hashes of the parts that play: of all, of the dream's alone where chance plays in it, or of none."""
    if agent is None or (config.agent == "random" and config.world == "real"):
        return None
    unused = ("controller",) if config.agent == "random" else ()
    return {part: digest for part, digest in agent.sha256.items() if part not in unused}


def _asked(config: EvaluateConfig, agent: Agent | None) -> dict[str, Any]:
    """Returns what decides an evaluation's result within its task."""
    fields = config.fingerprint_fields()
    if config.world == "dream" and agent is not None:
        fields["temperature"] = config.temperature or agent.temperature
    return {"config": fields, "sha256": _hashes(config, agent)}


def _same(found: Any, asked: dict[str, Any]) -> bool:
    """Returns whether two questions have one answer: the real environment has no temperature, whatever was asked for."""
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        return False
    if asked["config"]["world"] == "real":
        found = {**found, "config": {**found["config"], "temperature": asked["config"]["temperature"]}}
    return bool(found == asked)


def run(config: EvaluateConfig, run: Run, name: str) -> dict[str, Any]:
    """Evaluates a run's agent into ``evaluation/<name>.json`` (once: the same question is not played twice)."""
    chance = config.agent == "random" and config.world == "real"  # which needs no agent
    player = task_of(run.path) if chance else load(run.path)
    return evaluate_once(config, player, run.path / EVALUATION / f"{name}.json")


def evaluate_once(config: EvaluateConfig, player: Agent | Task, path: Path, keep: bool = False) -> dict[str, Any]:
    """Evaluates into a file, once: the same question is not played twice, and a call that is killed and made again goes on.

    Args:
        keep: whether the answer to another question that is in the file stays there.

    Raises:
        UserError: it does, and is.
    """
    asked = _asked(config, player if isinstance(player, Agent) else None)
    found = files.read_json(path) if path.exists() else None
    if isinstance(found, dict) and _same(found.get("asked"), asked):
        result = found
    elif keep and found is not None:
        raise UserError(f"{path}: is of other settings, or of another model; give another folder")
    else:
        result = {**evaluate(config, player, played_beside(path)), "asked": asked}
        files.write_json(path, result)
    played_beside(path).unlink(missing_ok=True)
    return result


def played_beside(path: Path) -> Path:
    """Returns where the episodes of an evaluation are kept until its result is written to ``path``."""
    return path.with_name(f"{path.name}.played.jsonl")
