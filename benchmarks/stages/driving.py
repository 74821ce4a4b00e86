"""How fast C drives CarRacing: the stage's own pool of processes, beside the peers' way of doing it on the same cores."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from benchmarks.stages import bounds, original
from benchmarks.stages.plan import Bench
from benchmarks.stages.timing import Row, rates
from worldmodels.envs.registry import get_task
from worldmodels.models.precision import compute_dtype
from worldmodels.models.sizes import own_parameters
from worldmodels.runtime.workers import available_cores
from worldmodels.search.evaluators import RealEvaluator
from worldmodels.worlds.rollout import EpisodeJob

TASK = "car-racing"
#: Episodes that a core plays while it is timed: one chunk of a generation.
JOBS_PER_CORE = 32


def _play_like_peers(seconds: float) -> float:
    """One process's steps/s: the official environment, one frame at a time through float32 modules of PyTorch."""
    torch.set_num_threads(1)
    spec = get_task(TASK)
    env, agent = original.make_env(spec), original.OriginalAgent(spec, "zh")
    frame, _ = env.reset(seed=0)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        frame, _, terminated, truncated, _ = env.step(agent.act(frame))
        steps += 1
        if terminated or truncated:
            frame, _ = env.reset()
    return steps / (time.perf_counter() - start)


def measure_driving(bench: Bench) -> list[Row]:
    """Agent steps/s of `train-controller`'s real world on all cores, and of the environment alone on one.

    The bound of the agent is its two largest parts alone: V's matrix products and the environment's own step.
    """
    cores = available_cores()
    model, spec, seconds = bench.model(), bench.spec, bench.seconds
    inputs = bench.preset.controller.inputs
    solutions = 0.1 * torch.randn(cores, own_parameters(spec, inputs), generator=torch.Generator().manual_seed(0))
    jobs = [EpisodeJob(core, seed) for core in range(cores) for seed in range(JOBS_PER_CORE)]
    population = RealEvaluator(spec, model, inputs, official=False, num_workers=cores)
    try:
        population.evaluate(solutions, [EpisodeJob(0, seed) for seed in range(4 * cores)])  # opens all and compiles
        start = time.perf_counter()
        ours = sum(result.length for result in population.evaluate(solutions, jobs)) / (time.perf_counter() - start)
    finally:
        population.close()
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        peers = sum(pool.map(_play_like_peers, [2 * seconds] * cores))

    env = spec.make_env()
    env.reset(seed=0)
    action = spec.squash(torch.tensor([0.1, 0.0, -1.0]).numpy())

    def step() -> float:
        for _ in range(100):
            if any(env.step(action)[2:4]):
                env.reset()
        return 100.0

    (alone,) = rates([step], [seconds])
    env.close()
    # One more thread would help the product, but the processes share the cores out.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    (product,) = rates([bounds.matrix_product("cpu", compute_dtype("cpu"))], [seconds / 4])
    torch.set_num_threads(threads)
    bound = cores / (bounds.encoder_operations(model.vae) / product + 1 / alone)
    return [
        Row(
            spec.name,
            "controller in the real game",
            ours,
            "steps/s",
            f"{cores} processes with V, M and C; baseline: as many processes, Gymnasium's own environment, a frame at a time "
            f"in float32; bound: V's matrix products and the environment alone",
            peers,
            bound,
        ),
        Row(
            spec.name,
            "environment, one core",
            alone,
            "steps/s",
            "the fast environment with its 64x64 observation, resets excluded",
        ),
    ]
