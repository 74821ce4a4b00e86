"""The search of C, generation by generation: ask, score, tell, and keep the mean that scores best."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from worldmodels.agent.files import save_model
from worldmodels.base.errors import BadFileError, EnvironmentFailure
from worldmodels.base.files import sha256_of
from worldmodels.base.logs import MetricsLog, rows_so_far
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.config import ControllerConfig, World
from worldmodels.data.latents import LatentStore
from worldmodels.models.precision import pick_device
from worldmodels.models.world_model import WorldModel
from worldmodels.runs.layout import BEST
from worldmodels.runs.run import Run
from worldmodels.runtime.progress import Progress
from worldmodels.search.cma_es import CMAES
from worldmodels.search.evaluators import DreamEvaluator, RealEvaluator
from worldmodels.search.start import begin_search, prepare
from worldmodels.worlds.rollout import EpisodeJob

Evaluator = DreamEvaluator | RealEvaluator


def make_evaluator(world_model: WorldModel, config: ControllerConfig, world: World) -> Evaluator:
    """Makes what scores candidates in a world."""
    if world == "dream":
        device = pick_device(config.device)
        return DreamEvaluator(world_model, config.inputs, config.temperature, config.num_slots, device)
    return RealEvaluator(
        world_model.spec,
        world_model,
        config.inputs,
        official=False,
        num_workers=config.num_workers,
        backend=config.place.backend,
        address=config.place.address,
    )


def replay(search: CMAES, row: dict[str, Any], history: Path) -> None:
    """Tells the search a generation of its history. Raises `BadFileError` where the row is none."""
    try:
        search.replay(np.array(row["fitness"], np.float64))
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise BadFileError(f"{history}: generation {row['generation']} holds no fitness of its candidates ({error})") from error


def evolve(config: ControllerConfig, run: Run, world_model: WorldModel, store: LatentStore | None) -> None:
    """Evolves C on a world model, wherever it comes from, into a run whose stage has begun; ``store`` are the run's latents,
    None where it has none."""
    prepare(config, run, world_model, store)
    evaluator = make_evaluator(world_model, config, config.world)
    score_world = config.resolved_score_world
    judge = evaluator if score_world == config.world else make_evaluator(world_model, config, score_world)
    try:
        _evolve(config, run, world_model, evaluator, judge)
    finally:
        judge.close()
        evaluator.close()


def _evolve(config: ControllerConfig, run: Run, world_model: WorldModel, evaluator: Evaluator, judge: Evaluator) -> None:
    """Asks and tells to the last generation, from wherever the history ends; ``judge`` scores the search's mean."""
    folder = run.stage_path("controller")
    search = begin_search(config, run)
    history = folder / "history.jsonl"
    rows = rows_so_far(history, "generation", "elapsed_seconds")
    scores = rows_so_far(folder / "scores.jsonl", "generation", "mean", "std")
    elapsed = rows[-1]["elapsed_seconds"] if rows else 0.0
    log = MetricsLog(history, "generation", len(rows))
    # A scoring belongs to the generation before it; one that was cut off is played again.
    score_log = MetricsLog(folder / "scores.jsonl", "generation", len(rows))
    for row in rows:
        replay(search, row, history)
        if row["generation"] != search.generation:
            raise BadFileError(f"{history}: generation {search.generation} is missing")
    board = SummaryWriter(str(run.path / "tensorboard" / "controller"), purge_step=len(rows))
    progress = Progress("train-controller", config.num_generations, "generations", len(rows))
    best = max((row["mean"] for row in scores), default=-np.inf)
    scored = {row["generation"] for row in scores}

    while True:
        generation = search.generation
        due = generation == config.num_generations or generation % config.score_every_generations == 0
        # Zeros are no controller; where PPO has led may be the best of all.
        if (generation or config.ppo_iterations) and due and generation not in scored:
            mean, std = _score_mean(run, config, judge, search.mean)
            scored.add(generation)
            if mean > best:
                best = mean
                save_tensors(folder / BEST, {"solution": torch.from_numpy(search.mean).float()})
            score_log.write(generation=generation, mean=mean, std=std, episodes=config.score_episodes)
            board.add_scalar("controller/score", mean, generation)
        if generation == config.num_generations:
            break
        start = time.monotonic()
        solutions = search.ask()
        fitness, num_steps = _evaluate(run, config, evaluator, solutions, generation)
        finite = fitness[np.isfinite(fitness)]
        broken = len(fitness) - len(finite)
        if broken == len(fitness):
            raise EnvironmentFailure(
                f"train-controller: no candidate of generation {generation + 1} has a finite fitness; all generations before "
                f"it are kept; 'worldmodels inspect {run.path}' looks for damage"
            )
        if broken:
            print(
                f"train-controller: generation {generation + 1}: the fitness of {broken} of {len(fitness)} candidates is not "
                f"finite; they rank last",
                file=sys.stderr,
                flush=True,
            )
        search.tell(fitness)
        elapsed += time.monotonic() - start
        row = {
            "generation": search.generation,
            "elapsed_seconds": round(elapsed, 3),
            "mean": float(finite.mean()),
            "min": float(finite.min()),
            "max": float(finite.max()),
            "std": float(finite.std()),
            "sigma": search.sigma,
            "steps": num_steps,
        }
        if broken:
            row["num_not_finite"] = broken
        log.write(**row, fitness=[float(f) for f in fitness])
        for name in ("mean", "min", "max", "sigma"):
            board.add_scalar(f"controller/{name}", row[name], search.generation)
        so_far = f", best mean scored {best:.1f}" if np.isfinite(best) else ""
        progress.update(search.generation, f"return {row['mean']:.1f} (max {row['max']:.1f}){so_far}")
    board.close()

    solution = load_tensors(folder / BEST)["solution"]
    save_model(run.path / "model", world_model, config.inputs, solution, config.temperature)
    run.finish("controller", {"controller": sha256_of(folder / BEST)}, score=best)
    progress.finish(f"{config.num_generations} generations, best mean scored {best:.1f}")


def _evaluate(
    run: Run, config: ControllerConfig, evaluator: Evaluator, solutions: NDArray[np.float64], generation: int
) -> tuple[NDArray[np.float64], int]:
    """Scores a generation: all candidates meet the same seeds. Returns fitness float64 [P] and the steps played."""
    seeds = [run.derive_seed("controller/episode", generation, i) for i in range(config.episodes_per_candidate)]
    jobs = [EpisodeJob(candidate, seed) for candidate in range(len(solutions)) for seed in seeds]
    results = evaluator.evaluate(torch.from_numpy(solutions), jobs, patience_steps=config.patience_steps)
    returns = np.array([result.episode_return for result in results])
    return returns.reshape(len(solutions), -1).mean(1), sum(result.length for result in results)


def _score_mean(run: Run, config: ControllerConfig, judge: Evaluator, mean: NDArray[np.float64]) -> tuple[float, float]:
    """Scores the centre of the search on many episodes, always the same ones; returns mean and standard deviation."""
    jobs = [EpisodeJob(0, run.derive_seed("controller/score", i)) for i in range(config.score_episodes)]
    results = judge.evaluate(torch.from_numpy(mean)[None], jobs)
    returns = np.array([result.episode_return for result in results])
    return float(returns.mean()), float(returns.std())
