"""What the page takes from a target: its agent, how C came about, and one real episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load
from worldmodels.agent.target import is_model, target_path
from worldmodels.base import files
from worldmodels.base.errors import BadFileError
from worldmodels.base.logs import rows_so_far
from worldmodels.base.tensors import load_numbers
from worldmodels.base.types import Floats, Frame
from worldmodels.runs.layout import CARD, EVALUATION, HISTORY, MAKING, MODEL, PPO_LOG, SCORES, WAY, WAY_RECORD
from worldmodels.runs.run import Run
from worldmodels.search.history import BestMean, replayed
from worldmodels.search.start import begin_search, kept_iterations, start_after
from worldmodels.web.facts import make_env, solution_size
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs

#: Controllers of the way to the last one that a reader can choose from.
MAX_CANDIDATES = 6
#: What a model without any of these has to show beside the agent.
NO_SEARCH = "before any search: all weights 0"
#: The controller that found a hole in the dream, where somebody has put one beside C: {"solution", "temperature"}.
CHEATER = "cheater.safetensors"
#: The scores that the page shows.
SCORED = ("random", "dream", "real")

T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """A controller on the way to the last one: ``solution`` float32 [parameters]; ``generation`` and ``mean``, its score, where
    it has them."""

    name: str
    generation: int | None
    solution: Tensor
    mean: float | None = None


@dataclass(frozen=True)
class Source:
    """All that a target has to show; without C ``candidates`` is empty, else its last one is the agent."""

    agent: Agent
    candidates: list[Candidate]
    cheater: tuple[Tensor, float] | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    way: dict[str, Any] | None = None
    """Of what other search the candidates before the last are, where they are not of the agent's own."""


@dataclass(frozen=True)
class RealEpisode:
    """A real episode's first T steps: ``frames`` uint8 [T + 1, 64, 64, 3], ``z`` float32 [T + 1, Z] as V drew them, and of the
    steps ``actions`` float32 [T, A], ``rewards`` and ``damage`` float32 [T]; ``who`` played."""

    frames: Frame
    z: Floats
    actions: Floats
    rewards: Floats
    damage: Floats
    who: str


def open_source(target: str) -> Source:
    """Finds what a target (a task, a model's folder or a run's folder) has to show.

    Raises:
        UserError: there is nothing there, or not even a V yet.
        BadFileError: a part is damaged.
    """
    path = target_path(target)
    agent = load(path, finished=False)
    run = None if is_model(path) else Run.open(path)
    if run is None:
        earlier, way = _another_way(path, agent)
        folders, scores, curve = [path], _scores_of_model(path, agent), _curve_of_model(path, agent)
    else:
        earlier, way = kept_controllers(run), None
        folders, scores, curve = [path / MODEL, run.stage_path("controller")], _scores_of_run(run), _curve_of_run(run)
    last = [] if agent.solution is None else [Candidate("the agent", None, agent.solution)]
    if last and not earlier:
        earlier = [Candidate(NO_SEARCH, 0, torch.zeros(solution_size(agent)))]
    return Source(agent, [*earlier, *last], _cheater(folders, solution_size(agent)), scores, curve, way)


def _another_way(path: Path, agent: Agent) -> tuple[list[Candidate], dict[str, Any] | None]:
    """Returns the controllers of another search on a shipped agent's V and M, and what the page says of it, or [], None."""
    if not (path / WAY_RECORD).exists():
        return [], None
    record, solutions = files.read_json(path / WAY_RECORD), load_numbers(path / WAY).get("solutions")
    rows = _read(path / WAY_RECORD, lambda: [(row["name"], row["generation"], row["mean"]) for row in record["controllers"]])
    if solutions is None or solutions.shape != (len(rows), solution_size(agent)):
        raise BadFileError(f"{path / WAY}: not {len(rows)} controllers of {solution_size(agent):,} parameters ('solutions')")
    told = ("command", "seconds", "episodes", "temperature", "last_in_reality")
    way = _read(path / WAY_RECORD, lambda: {name: record[name] for name in told})
    pairs = zip(rows, solutions, strict=True)
    return [Candidate(name, generation, each, mean) for (name, generation, mean), each in pairs], way


def _score(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "world": result["world"],
        "agent": result["agent"],
        "mean": result["mean"],
        "std": result["std"],
        "episodes": result["num_episodes"],
        "temperature": result["temperature"],
    }


def _scores_of_model(path: Path, agent: Agent) -> list[dict[str, Any]]:
    found = agent.card.get("evaluation", {})
    return _read(path / CARD, lambda: [_score(found[name]) for name in SCORED if name in found])


def _scores_of_run(run: Run) -> list[dict[str, Any]]:
    found = []
    for path in (run.path / EVALUATION / f"{name}.json" for name in SCORED):
        if path.exists():
            result = files.read_json(path)
            found.append(_read(path, partial(_score, result)))
    return found


def _curve_of_model(path: Path, agent: Agent) -> list[dict[str, Any]]:
    """Returns the scored means of all the rounds that made a shipped agent."""
    rounds = agent.card.get("training", {}).get("rounds", [])
    return _read(
        path / MAKING,
        lambda: [
            {"round": number, "generation": row["generation"], "mean": row["mean"]}
            for number, record in enumerate(rounds)
            for row in record["scored_means"]
        ],
    )


def _curve_of_run(run: Run) -> list[dict[str, Any]]:
    return [{"round": 0, "generation": row["generation"], "mean": row["mean"]} for row in _scorings(run)]


def _scorings(run: Run) -> list[dict[str, Any]]:
    """Returns the rows of the search's scores."""
    return rows_so_far(run.stage_path("controller") / SCORES, "generation", "mean", "std")


def _read(path: Path, make: Callable[[], T]) -> T:
    try:
        return make()
    except (KeyError, TypeError) as error:
        raise BadFileError(f"{path}: not as evaluation and training write it ({error!r})") from None


def kept_controllers(run: Run) -> list[Candidate]:
    """Returns a run's earlier controllers: those that PPO kept, and the search's means, found by replaying its history."""
    config, folder = run.preset.controller, run.stage_path("controller")
    if not (folder / HISTORY).exists() and not (folder / PPO_LOG).exists():
        return []
    start = start_after(config, run, 0)
    found = [Candidate("where the search began", 0, torch.from_numpy(start).float())]
    for iteration in kept_iterations(config):
        if (folder / f"ppo-{iteration}.safetensors").exists():
            solution = torch.from_numpy(start_after(config, run, iteration)).float()
            found.append(Candidate(f"PPO, iteration {iteration}", iteration, solution))
    rows = rows_so_far(folder / HISTORY, "generation", "elapsed_seconds")
    if not rows:
        return found
    wanted = {round(len(rows) * share / MAX_CANDIDATES) for share in range(1, MAX_CANDIDATES + 1)} - {0}
    means = {row["generation"]: row["mean"] for row in _scorings(run)}
    search = begin_search(config, run)
    for _ in replayed(search, folder, BestMean(config.return_to_best), rows):
        if search.generation in wanted:
            number, solution = search.generation, torch.from_numpy(search.mean).float()
            found.append(Candidate(f"generation {number}", number, solution, means.get(number)))
    return found


def _cheater(folders: list[Path], size: int) -> tuple[Tensor, float] | None:
    """Returns the controller that cheats and its τ, where one lies beside C."""
    path = next((folder / CHEATER for folder in folders if (folder / CHEATER).exists()), None)
    if path is None:
        return None
    found = load_numbers(path)
    solution, temperature = found.get("solution"), found.get("temperature")
    if solution is None or solution.shape != (size,) or temperature is None or temperature.numel() != 1:
        raise BadFileError(f"{path}: not a controller of {size:,} parameters ('solution') and its 'temperature'")
    return solution, float(temperature)


def play_real(source: Source, seed: int, max_steps: int) -> RealEpisode:
    """Plays a real episode's first steps: the agent, or the random policy where there is none. Raises `EnvironmentFailure`."""
    agent = source.agent
    world = LatentEnv(PixelEnvs([make_env(agent)]), agent.world_model, agent.inputs, agent.can_dream)
    chance = agent.task.seeded_random_policy(seed)
    frames: list[Frame] = []
    z: list[Tensor] = []
    steps: list[tuple[Floats, float, float]] = []
    try:
        seen, _ = world.reset(seed=[seed])
        over = False
        while True:
            frames.append(world.frames[0].copy())
            z.append(world.z[0].clone())
            if over or len(steps) == max_steps:
                break
            action = agent.act(seen)[0] if agent.solution is not None else chance(frames[-1])
            seen, rewards, terminated, truncated, infos = world.step(action[None])
            over = bool(terminated[0] or truncated[0])
            steps.append((action, float(rewards[0]), float(infos["damage"][0])))
    finally:
        world.close()
    actions, rewards_of, damage = zip(*steps, strict=True)
    return RealEpisode(
        np.stack(frames),
        torch.stack(z).numpy(),
        np.stack(actions).astype(np.float32),
        np.array(rewards_of, np.float32),
        np.array(damage, np.float32),
        "agent" if agent.solution is not None else "random",
    )


def latent_order(mu: Floats) -> NDArray[np.int64]:
    """Returns V's latents, the ones that tell frames apart most first: by the variance of mu, float32 [T, Z]."""
    return np.argsort(-mu.var(0), kind="stable")
