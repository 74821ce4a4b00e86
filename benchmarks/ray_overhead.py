"""Agent steps per second of `train-controller` in the real environments: the Ray backend beside the local pool.

    python -m benchmarks.ray_overhead [--rounds 5] [--workers 2] [--json results/ray-overhead.json]

Both pools are open at once, with as many workers each, and take turns at the same generation, so that both play the same steps
and other work on the machine meets both alike. The ratio is the median over the rounds of a round's two times. V, M and C have
random weights: they cost what trained ones do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.stages.bench import describe_machine
from worldmodels.base.files import write_json
from worldmodels.base.versions import versions
from worldmodels.config import Backend
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.models.vae import VAE
from worldmodels.models.world_model import InitialLatents, WorldModel
from worldmodels.search.evaluators import RealEvaluator
from worldmodels.worlds.rollout import EpisodeJob

TASKS = ("car-racing", "take-cover")
BACKENDS: tuple[Backend, Backend] = ("local", "ray")
#: Of the generation that is timed: two chunks a worker.
CANDIDATES, EPISODES = 8, 8


def measure(task: str, rounds: int, num_workers: int) -> dict[str, Any]:
    """Returns a row: steps/s of both backends, the median of their ratio, and every round's seconds."""
    spec = get_task(task)
    torch.manual_seed(0)
    none = torch.zeros(0, spec.latent_size)
    world_model = WorldModel(spec, VAE(spec.latent_size).eval(), MDNRNN(own_sizes(spec)).eval(), InitialLatents(none, none))
    inputs = spec.preset("laptop").controller.inputs
    solutions = 0.1 * torch.randn(CANDIDATES, own_parameters(spec, inputs))
    jobs = [EpisodeJob(candidate, seed) for candidate in range(CANDIDATES) for seed in range(EPISODES)]
    pools = {name: RealEvaluator(spec, world_model, inputs, False, num_workers, name) for name in BACKENDS}
    seconds: dict[str, list[float]] = {name: [] for name in BACKENDS}
    try:
        # Opens all environments and compiles.
        first = {name: pool.evaluate(solutions, jobs) for name, pool in pools.items()}
        same = first["local"] == first["ray"]
        for number in range(rounds):
            for name in BACKENDS if number % 2 == 0 else BACKENDS[::-1]:
                start = time.perf_counter()
                same = pools[name].evaluate(solutions, jobs) == first["local"] and same
                seconds[name].append(time.perf_counter() - start)
    finally:
        for pool in pools.values():
            pool.close()
    steps = sum(result.length for result in first["local"])
    return {
        "task": task,
        "steps": steps,
        "local_steps_per_second": steps / statistics.median(seconds["local"]),
        "ray_steps_per_second": steps / statistics.median(seconds["ray"]),
        "ratio": statistics.median(a / b for a, b in zip(seconds["local"], seconds["ray"], strict=True)),
        "same_results": same,
        "seconds": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
    }


def main() -> None:
    """Measures, prints, and writes the rows where asked."""
    parser = argparse.ArgumentParser(description="The Ray backend's steps/s beside the local pool's.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)  # a Ray of our own, on this machine
    machine = {name: value for name, value in describe_machine("cpu").items() if name not in ("task", "scale")}
    rows = []
    for task in asked.tasks:
        rows.append(row := measure(task, asked.rounds, asked.workers))
        print(
            f"{task}: local {row['local_steps_per_second']:,.0f}, Ray {row['ray_steps_per_second']:,.0f} steps/s with "
            f"{asked.workers} workers each, ratio {row['ratio']:.3f}, same results: {row['same_results']}",
            flush=True,
        )
    if asked.json is not None:
        write_json(asked.json, {"machine": machine, "versions": versions(), "workers": asked.workers, "rows": rows})


if __name__ == "__main__":
    main()
