"""How cost grows: with the population, the workers, the episodes, C's size and the data; results/scaling.json.

    python -m benchmarks.scaling [--scale 1.0] [--json results/scaling.json]

Everything is measured through the project's own code with weights that were never trained. Episodes are short (the dream's
end after 100 steps, the real ones after 100 steps without a reward), so that whole generations can be timed; what a generation
of the paper's length costs follows from the agent steps per second, which hardly depend on an episode's length. At scale 1
it takes about four minutes on two cores; smaller scales leave out the largest sizes.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cma
import numpy as np
import torch
from cma.restricted_gaussian_sampler import GaussVDSampler, GaussVkDSampler

from benchmarks import scaling_data
from benchmarks.stages.bench import describe_machine
from benchmarks.stages.plan import Bench
from worldmodels.base.files import write_json
from worldmodels.envs.registry import get_task
from worldmodels.models.sizes import own_parameters
from worldmodels.runtime.memory import keep_freed_memory
from worldmodels.search.cma_es import CMAES
from worldmodels.search.evaluators import DreamEvaluator, RealEvaluator
from worldmodels.search.real_player import RealPlayer
from worldmodels.worlds.rollout import EpisodeJob

DREAM_EPISODE_STEPS = 100
PATIENCE_STEPS = 100
#: Candidates and episodes of each that a generation is timed with, in the dream.
DREAM_GENERATIONS = [(16, 4), (64, 4), (256, 4), (1024, 4), (64, 1), (64, 16), (64, 64)]
#: In the real environment: workers, candidates, episodes.
REAL_GENERATIONS = [(1, 16, 1), (2, 16, 1), (1, 64, 1), (2, 64, 1), (2, 256, 1), (2, 16, 4), (2, 16, 16)]
#: Episodes that one process plays side by side.
CHUNKS = [1, 2, 4, 8, 16, 32]
#: C's parameters: CarRacing's and TakeCover's, and ten times those.
SIZES = [867, 1_088, 8_670, 10_880]
#: The full covariance matrix is measured up to here; beyond, a decomposition alone takes minutes.
FULL_SIZES = [867, 1_088, 2_176]
POPULATION = 64


def make_jobs(candidates: int, episodes: int) -> list[EpisodeJob]:
    """Returns a generation's jobs: all candidates meet the same seeds."""
    return [EpisodeJob(candidate, seed) for candidate in range(candidates) for seed in range(episodes)]


def measure_dream_generations(bench: Bench, scale: float) -> list[dict[str, Any]]:
    """Seconds of a generation in TakeCover's dream, with one and with all of this process's threads."""
    spec = dataclasses.replace(bench.spec, max_episode_steps=DREAM_EPISODE_STEPS)
    model = dataclasses.replace(bench.model(), spec=spec)
    preset = bench.preset.controller
    population = DreamEvaluator(model, preset.inputs, preset.temperature, preset.num_slots)
    rows = []
    every = torch.get_num_threads()
    for candidates, episodes in DREAM_GENERATIONS:
        if candidates * episodes > 4096 * scale:
            continue
        solutions = 0.1 * torch.randn(candidates, own_parameters(spec, preset.inputs))
        for threads in sorted({1, every}):
            if threads < every and (candidates, episodes) != (64, 16):
                continue
            torch.set_num_threads(threads)
            population.evaluate(solutions, make_jobs(min(candidates, 16), 1))
            start = time.perf_counter()
            results = population.evaluate(solutions, make_jobs(candidates, episodes))
            seconds = time.perf_counter() - start
            steps = sum(result.length for result in results)
            rows.append(
                {"population": candidates, "episodes": episodes, "threads": threads, "seconds": seconds, "steps": steps}
            )
        torch.set_num_threads(every)
    return rows


def measure_real_generations(bench: Bench, scale: float) -> list[dict[str, Any]]:
    """Seconds of a generation in CarRacing, with one worker and with two."""
    spec, inputs = bench.spec, bench.preset.controller.inputs
    model, rows = bench.model(), []
    for num_workers in sorted({workers for workers, _, _ in REAL_GENERATIONS}):
        population = RealEvaluator(spec, model, inputs, official=False, num_workers=num_workers)
        try:
            for workers, candidates, episodes in REAL_GENERATIONS:
                if workers != num_workers or candidates * episodes > 256 * scale:
                    continue
                solutions = 0.1 * torch.randn(
                    candidates, own_parameters(spec, inputs), generator=torch.Generator().manual_seed(0)
                )
                jobs = make_jobs(candidates, episodes)
                population.evaluate(solutions, jobs[: 4 * workers], patience_steps=5)  # opens all and compiles
                start = time.perf_counter()
                results = population.evaluate(solutions, jobs, patience_steps=PATIENCE_STEPS)
                seconds = time.perf_counter() - start
                steps = sum(result.length for result in results)
                rows.append(
                    {"population": candidates, "episodes": episodes, "workers": workers, "seconds": seconds, "steps": steps}
                )
        finally:
            population.close()
    return rows


def measure_chunks(bench: Bench, seconds: float) -> list[dict[str, Any]]:
    """Agent steps/s of one core in CarRacing, against how many episodes it plays side by side."""
    spec, inputs = bench.spec, bench.preset.controller.inputs
    player = RealPlayer(spec, False, bench.model(), inputs)
    solutions = np.asarray(0.1 * torch.randn(1, own_parameters(spec, inputs)), np.float32)
    rows: list[dict[str, Any]] = []
    try:
        for size in CHUNKS:
            jobs = [EpisodeJob(0, seed) for seed in range(size)]
            player.play(solutions, jobs, patience_steps=5)
            rates: list[float] = []
            end = time.perf_counter() + seconds
            while not rates or time.perf_counter() < end:
                start = time.perf_counter()
                steps = sum(result.length for result in player.play(solutions, jobs, patience_steps=PATIENCE_STEPS))
                rates.append(steps / (time.perf_counter() - start))
            rows.append({"side_by_side": size, "steps_per_second": statistics.median(rates)})
    finally:
        player.close()
    return rows


def _generations(strategy: Any, ask: Callable[[], Any], tell: Callable[[Any, Any], None], seconds: float) -> dict[str, Any]:
    """Asks and tells for a while, a whole number of updates of the decomposition where there is one."""
    rng = np.random.default_rng(0)
    gap = max(1, int(np.ceil(getattr(strategy.sm, "lazy_update_gap", None) or 1)))
    taken: list[float] = []
    while len(taken) <= 2 * gap or sum(taken) < seconds:
        start = time.perf_counter()
        asked = ask()
        tell(asked, list(rng.standard_normal(POPULATION)))
        taken.append(time.perf_counter() - start)
    counted = taken[1 : 1 + (len(taken) - 1) // gap * gap]
    return {"seconds": sum(counted) / len(counted), "generations": len(counted), "decomposed_every": gap}


def _tell(search: CMAES, asked: Any, fitness: list[float]) -> None:
    """Our search knows what it has asked."""
    search.tell(np.array(fitness))


def measure_cma(scale: float) -> list[dict[str, Any]]:
    """Seconds of a generation's ask and tell, without playing, against C's size."""
    rows = []
    for size in FULL_SIZES if scale >= 1 else FULL_SIZES[:2]:
        search = CMAES(np.zeros(size), 0.1, POPULATION, 0)
        found = _generations(search._strategy, search.ask, partial(_tell, search), 2 * scale)
        rows.append({"variant": "full", "parameters": size, **found})
    variants: dict[str, dict[str, Any]] = {
        "separable": {"CMA_diagonal": True},
        "VD": GaussVDSampler.extend_cma_options(),
        "VkD": GaussVkDSampler.extend_cma_options(),
    }
    for name, options in variants.items():
        for size in SIZES:
            strategy = cma.CMAEvolutionStrategy(
                np.zeros(size), 0.1, {"popsize": POPULATION, "seed": 1, "verbose": -9, "signals_filename": "", **options}
            )
            found = _generations(strategy, strategy.ask, strategy.tell, 2 * scale)
            rows.append({"variant": name, "parameters": size, **found})
    return rows


def main() -> int:
    """Measures everything and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1: all sizes, about four minutes; less: the small ones")
    parser.add_argument("--json", type=Path, default=Path("results/scaling.json"))
    asked = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    result: dict[str, Any] = {"machine": describe_machine("cpu"), "scale": asked.scale}

    def note(name: str, value: Any) -> None:
        result[name] = value
        print(name, *(value if isinstance(value, list) else [value]), sep="\n  ", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="worldmodels-scaling-", ignore_cleanup_errors=True) as folder:
        doom, cars = (Bench(get_task(task), Path(folder) / task, "cpu", 1.0) for task in ("take-cover", "car-racing"))
        note("cma", measure_cma(asked.scale))
        note("dream", measure_dream_generations(doom, asked.scale))
        note("chunks", measure_chunks(cars, 4 * asked.scale))
        note("real", measure_real_generations(cars, asked.scale))
        note("collection", scaling_data.measure_collection(Path(folder), asked.scale))
        note("memory", scaling_data.measure_memory(Path(folder), asked.scale))
    result["machine"]["cores"] = os.cpu_count()
    write_json(asked.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
