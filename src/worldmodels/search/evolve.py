"""The search of C, generation by generation: ask, score, tell, and keep the mean that scores best."""

from __future__ import annotations

import contextlib
import sys
import time

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.agent.files import save_model
from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.files import sha256_of
from worldmodels.base.logs import MetricsLog, rows_so_far
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.config import ControllerConfig, World
from worldmodels.data.latents import LatentStore
from worldmodels.models.precision import pick_device
from worldmodels.models.world_model import WorldModel
from worldmodels.runs.boards.board import open_board
from worldmodels.runs.layout import BEST, HISTORY, MODEL, SCORES
from worldmodels.runs.run import Run
from worldmodels.runtime.progress import Progress
from worldmodels.search.evaluators import DreamEvaluator, Evaluator, RealEvaluator
from worldmodels.search.history import BestMean, replayed
from worldmodels.search.start import begin_search, prepare
from worldmodels.worlds.dream_rules import rules_of
from worldmodels.worlds.rollout import EpisodeJob


def make_evaluator(world_model: WorldModel, config: ControllerConfig, world: World) -> Evaluator:
    """Makes what scores candidates in a world."""
    if world == "dream":
        device = pick_device(config.device)
        slots = config.num_slots
        return DreamEvaluator(world_model, config.inputs, config.temperature, slots, device, rules=rules_of(config))
    return RealEvaluator(
        world_model.spec,
        world_model,
        config.inputs,
        official=False,
        num_workers=config.num_workers,
        backend=config.place.backend,
        address=config.place.address,
    )


def evolve(config: ControllerConfig, run: Run, world_model: WorldModel, store: LatentStore | None) -> None:
    """Evolves C on a world model, wherever it comes from, into a run whose stage has begun; ``store`` are the run's latents,
    None where it has none."""
    prepare(config, run, world_model, store)
    evaluator = make_evaluator(world_model, config, config.world)
    score_world = config.resolved_score_world
    judge = evaluator if score_world == config.world else make_evaluator(world_model, config, score_world)
    try:
        evolution = _Evolution(config, run, evaluator, judge)
        best = evolution.to_the_end()
    finally:
        judge.close()
        evaluator.close()
    path = run.stage_path("controller") / BEST
    save_model(run.path / MODEL, world_model, config.inputs, load_tensors(path)["solution"], config.temperature)
    run.finish("controller", {"controller": sha256_of(path)}, score=best)
    evolution.progress.finish(f"{evolution.num_generations:,} generations, best {best:.1f}", run.path / MODEL)


class _Evolution:
    """The search from wherever its history ends: asked, scored and told, its mean scored now and then.

    Args:
        evaluator: scores the candidates.
        judge: scores the search's mean.
    """

    def __init__(self, config: ControllerConfig, run: Run, evaluator: Evaluator, judge: Evaluator) -> None:
        self._config, self._run, self._evaluator, self._judge = config, run, evaluator, judge
        self._folder = run.stage_path("controller")
        self._search = begin_search(config, run)
        history = self._folder / HISTORY
        self._best = BestMean(config.return_to_best)
        rows = list(replayed(self._search, self._folder, self._best))
        scores = rows_so_far(self._folder / SCORES, "generation", "mean", "std")
        self._elapsed = rows[-1]["elapsed_seconds"] if rows else 0.0
        self._log = MetricsLog(history, "generation", len(rows))
        # A scoring belongs to the generation before it; one that was cut off is played again.
        self._score_log = MetricsLog(self._folder / SCORES, "generation", len(rows))
        self._last_steps = rows[-1].get("steps", 0) if rows else 0
        self._steps = sum(row.get("steps", 0) for row in rows)
        self._board = open_board(config.log, run, "controller", len(rows), config)
        unit = "steps" if config.max_steps else "generations"
        self.progress = Progress("train-controller", config.max_steps or config.num_generations, unit, self._done)
        # Without the generations before it a score is of nothing: it is taken again.
        self._scored = {row["generation"] for row in scores if row["generation"] <= len(rows)}

    def to_the_end(self) -> float:
        """Evolves to the last generation; returns the best score of a mean, whose weights are in `BEST`."""
        with contextlib.closing(self._board):
            while True:
                if self._is_due(self._search.generation):
                    self._score_mean()
                if self._over():
                    break
                self._advance()
        return self._best.score

    @property
    def num_generations(self) -> int:
        """Generations so far."""
        return self._search.generation

    @property
    def _done(self) -> int:
        """How much of the search is done, in what its progress is counted in."""
        limit = self._config.max_steps
        return min(self._steps, limit) if limit else self._search.generation

    def _over(self) -> bool:
        config = self._config
        return self._search.generation == config.num_generations or 0 < config.max_steps <= self._steps

    def _is_due(self, generation: int) -> bool:
        """Returns whether the mean is to be scored before the next generation."""
        # Zeros are no controller; a C to begin with, PPO's or another run's, may be the best of all.
        if generation in self._scored or not (generation or self._search.mean.any()):
            return False
        return self._over() or generation % self._config.score_every_generations == 0

    def _score_mean(self) -> None:
        """Scores the centre of the search on many episodes, always the same ones, and keeps it if it is the best so far."""
        config, generation = self._config, self._search.generation
        jobs = [EpisodeJob(0, self._run.derive_seed("controller/score", i)) for i in range(config.score_episodes)]
        results = self._judge.evaluate(torch.from_numpy(self._search.mean)[None], jobs)
        returns = np.array([result.episode_return for result in results])
        mean, std = float(returns.mean()), float(returns.std())
        self._scored.add(generation)
        scored = self._search.mean
        if self._best.take(self._search, mean):
            save_tensors(self._folder / BEST, {"solution": torch.from_numpy(scored).float()})
        self._score_log.write(generation=generation, mean=mean, std=std, episodes=config.score_episodes)
        self._board.scalars({"score": mean}, generation)

    def _advance(self) -> None:
        """Plays one generation and notes it."""
        start = time.monotonic()
        fitness, num_steps = self._score_candidates(self._search.ask())
        finite = self._finite(fitness)
        self._search.tell(fitness)
        self._elapsed += time.monotonic() - start
        self._last_steps = num_steps
        self._steps += num_steps
        row = {
            "generation": self._search.generation,
            "elapsed_seconds": round(self._elapsed, 3),
            "mean": float(finite.mean()),
            "min": float(finite.min()),
            "max": float(finite.max()),
            "std": float(finite.std()),
            "sigma": self._search.sigma,
            "steps": num_steps,
        }
        if broken := len(fitness) - len(finite):
            row["num_not_finite"] = broken
        self._log.write(**row, fitness=[float(f) for f in fitness])
        self._board.scalars({name: row[name] for name in ("mean", "min", "max", "sigma")}, self._search.generation)
        so_far = f", best {self._best.score:.1f}" if np.isfinite(self._best.score) else ""
        self.progress.update(self._done, f"return {row['mean']:.1f} (max {row['max']:.1f}){so_far}")

    def _score_candidates(self, solutions: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        """Scores a generation: all candidates meet the same seeds. Returns fitness float64 [P] and the steps played."""
        config, generation = self._config, self._search.generation
        seeds = [self._run.derive_seed("controller/episode", generation, i) for i in range(config.episodes_per_candidate)]
        jobs = [EpisodeJob(candidate, seed) for candidate in range(len(solutions)) for seed in seeds]
        cap = 2 * (self._last_steps // len(jobs)) if config.cap_time else 0
        results = self._evaluator.evaluate(
            torch.from_numpy(solutions), jobs, patience_steps=config.patience_steps, cap_steps=cap
        )
        returns = np.array([result.episode_return for result in results])
        return returns.reshape(len(solutions), -1).mean(1), sum(result.length for result in results)

    def _finite(self, fitness: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the fitness values that are finite, and says how many are not.

        Raises:
            EnvironmentFailure: none is.
        """
        generation, finite = self._search.generation + 1, fitness[np.isfinite(fitness)]
        broken = len(fitness) - len(finite)
        if broken == len(fitness):
            raise EnvironmentFailure(
                f"train-controller: no candidate of generation {generation} has a finite fitness; all generations before "
                f"it are kept; 'worldmodels inspect {self._run.path}' looks for damage"
            )
        if broken:
            print(
                f"train-controller: generation {generation}: the fitness of {broken} of {len(fitness)} candidates is not "
                f"finite; they rank last",
                file=sys.stderr,
                flush=True,
            )
        return finite
