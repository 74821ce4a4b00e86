"""What the page takes from the rest of the package: a target's V, M and C, its history, and one real episode.

All that the room `web` needs of other rooms comes through here, but for the errors and the writing of files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels import files
from worldmodels.checkpoint import load_tensors
from worldmodels.config import CollectConfig, ControllerInputs
from worldmodels.envs.spec import EnvSpec, Floats, Frame, tasks
from worldmodels.errors import BadFileError
from worldmodels.latent_env import LatentEnv
from worldmodels.models.controller import ControllerPolicy, layer_sizes, num_parameters
from worldmodels.models.shipped import model_folder
from worldmodels.models.world_model import WorldModel
from worldmodels.rollout import EpisodeJob
from worldmodels.run import Run, rows_so_far
from worldmodels.stages.controller import replay
from worldmodels.stages.search_start import begin_search, kept_iterations, start_after
from worldmodels.viewer.parts import find_parts
from worldmodels.worlds import PixelEnvs

#: Controllers of the way to the last one that a reader can choose from.
MAX_CANDIDATES = 6
#: The controller that found a hole in the dream, where somebody has put one beside C: {"solution", "temperature"}.
CHEATER = "cheater.safetensors"


@dataclass(frozen=True)
class Candidate:
    """A controller on the way to the last one: ``solution`` float32 [parameters]; ``generation`` None where it has none."""

    name: str
    generation: int | None
    solution: Tensor


@dataclass(frozen=True)
class Source:
    """All that a target has to show. A world without M ``can_dream`` is false for; without C ``candidates`` is empty."""

    world_model: WorldModel
    inputs: ControllerInputs
    can_dream: bool
    candidates: list[Candidate]
    temperature: float
    cheater: tuple[Tensor, float] | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> EnvSpec:
        """The task."""
        return self.world_model.spec

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of C's layers."""
        return layer_sizes(self.spec, self.inputs)


@dataclass(frozen=True)
class RealEpisode:
    """A real episode's first T steps: ``frames`` uint8 [T + 1, 64, 64, 3], ``z`` float32 [T + 1, Z] as V drew them, and of the
    steps ``actions`` float32 [T, A], ``rewards`` and ``damage`` float32 [T]."""

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
    parts = find_parts(target)
    run, folder = _run_of(target), None
    if run is None:
        folder = model_folder(target)
    elif run.done("controller"):
        folder = run.path / "model"
    last = [] if parts.solution is None else [Candidate("the agent", None, parts.solution)]
    earlier = _earlier(run) if run is not None else []
    if last and not earlier:
        zeros = torch.zeros(num_parameters(parts.spec, parts.inputs))
        earlier = [Candidate("before any search: all weights 0", 0, zeros)]
    evaluation = _scores_of_model(folder) if run is None and folder is not None else _scores_of_run(run)
    return Source(
        parts.world_model,
        parts.inputs,
        parts.can_dream,
        [*earlier, *last],
        _temperature(folder, run, evaluation),
        _cheater(folder, run, num_parameters(parts.spec, parts.inputs)),
        evaluation,
        _curve_of_run(run) if run is not None else _curve_of_model(folder),
        _hashes(folder),
    )


def _run_of(target: str) -> Run | None:
    path = Path(target)
    if target in tasks() or not (path / "config.json").exists() or (path / "vae.safetensors").exists():
        return None
    return Run.open(path)


def _temperature(folder: Path | None, run: Run | None, scores: list[dict[str, Any]]) -> float:
    """Returns the agent's own τ: its model's, else its run's, else that of its recorded score in the dream."""
    if folder is not None:
        own = files.read_json(folder / "config.json").get("temperature")
        if isinstance(own, int | float):
            return float(own)
    if run is not None:
        return run.preset.controller.temperature
    return next((float(score["temperature"]) for score in scores if score["world"] == "dream"), 1.0)


def _hashes(folder: Path | None) -> dict[str, str]:
    return {} if folder is None else dict(files.read_json(folder / "config.json")["sha256"])


def _score(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "world": result["world"],
        "agent": result["agent"],
        "mean": result["mean"],
        "std": result["std"],
        "episodes": result["num_episodes"],
        "temperature": result["temperature"],
    }


def _scores_of_model(folder: Path) -> list[dict[str, Any]]:
    path = folder / "evaluation.json"
    if not path.exists():
        return []
    found = files.read_json(path)
    return [_read(path, lambda name=name: _score(found[name])) for name in ("random", "dream", "real") if name in found]


def _scores_of_run(run: Run | None) -> list[dict[str, Any]]:
    if run is None:
        return []
    paths = [run.path / "evaluation" / f"{name}.json" for name in ("random", "dream", "real")]
    return [_read(path, lambda path=path: _score(files.read_json(path))) for path in paths if path.exists()]


def _curve_of_model(folder: Path | None) -> list[dict[str, Any]]:
    """Returns the scored means of all the rounds that made a shipped agent."""
    path = None if folder is None else folder / "training.json"
    if path is None or not path.exists():
        return []
    return _read(
        path,
        lambda: [
            {"round": number, "generation": row["generation"], "mean": row["mean"]}
            for number, record in enumerate(files.read_json(path)["rounds"])
            for row in record["scored_means"]
        ],
    )


def _curve_of_run(run: Run) -> list[dict[str, Any]]:
    rows = rows_so_far(run.stage_path("controller") / "scores.jsonl", "generation", "mean", "std")
    return [{"round": 0, "generation": row["generation"], "mean": row["mean"]} for row in rows]


def _read(path: Path, make: Any) -> Any:
    try:
        return make()
    except (KeyError, TypeError) as error:
        raise BadFileError(f"{path}: not as evaluation and training write it ({error!r})") from None


def _earlier(run: Run) -> list[Candidate]:
    """Returns earlier controllers: those that PPO kept, and CMA-ES's means, found again by replaying its history."""
    config, folder = run.preset.controller, run.stage_path("controller")
    if not (folder / "history.jsonl").exists() and not (folder / "ppo.jsonl").exists():
        return []
    start = start_after(config, run, 0)
    found = [Candidate("where the search began", 0, torch.from_numpy(start).float())]
    for iteration in kept_iterations(config):
        if (folder / f"ppo-{iteration}.safetensors").exists():
            solution = torch.from_numpy(start_after(config, run, iteration)).float()
            found.append(Candidate(f"PPO, iteration {iteration}", iteration, solution))
    rows = rows_so_far(folder / "history.jsonl", "generation", "elapsed_seconds")
    if not rows:
        return found
    wanted = {round(len(rows) * share / MAX_CANDIDATES) for share in range(1, MAX_CANDIDATES + 1)}
    search = begin_search(config, run)
    for row in rows:
        replay(search, row, folder / "history.jsonl")
        if search.generation in wanted:
            found.append(Candidate(f"generation {search.generation}", search.generation, torch.from_numpy(search.mean).float()))
    return found


def _cheater(folder: Path | None, run: Run | None, size: int) -> tuple[Tensor, float] | None:
    """Returns the controller that cheats and its τ, where one lies beside C."""
    folders = [*([folder] if folder is not None else []), *([run.stage_path("controller")] if run is not None else [])]
    path = next((where / CHEATER for where in folders if (where / CHEATER).exists()), None)
    if path is None:
        return None
    found = load_tensors(path)
    solution, temperature = found.get("solution"), found.get("temperature")
    if solution is None or solution.shape != (size,) or temperature is None or temperature.numel() != 1:
        raise BadFileError(f"{path}: not a controller of {size:,} parameters ('solution') and its 'temperature'")
    return solution.float(), float(temperature)


def play_real(source: Source, seed: int, max_steps: int) -> RealEpisode:
    """Plays a real episode's first steps: the agent, or the random policy where there is none. Raises `EnvironmentFailure`."""
    spec = source.spec
    envs = PixelEnvs([spec.make_env()])
    world = LatentEnv(envs, source.world_model, source.inputs, source.can_dream)
    policy = None
    if source.candidates:
        policy = ControllerPolicy(spec, source.inputs, source.candidates[-1].solution[None])
        policy.begin(np.ones(1, np.bool_), [EpisodeJob(0, 0)])
    chance = spec.random_policy(np.random.default_rng([seed, 3]), CollectConfig())
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
            action = policy.act(seen)[0] if policy is not None else chance(frames[-1])
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
        "agent" if policy is not None else "random",
    )


def action_bounds(spec: EnvSpec) -> tuple[list[float], list[float]]:
    """Returns the least and the largest action, component by component."""
    env = spec.make_env()
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    env.close()
    return [float(x) for x in low], [float(x) for x in high]


def latent_order(source: Source, mu: Floats) -> NDArray[np.int64]:
    """Returns V's latents, the ones that tell frames apart most first: by the variance of mu, float32 [T, Z]."""
    return np.argsort(-mu.var(0), kind="stable")
