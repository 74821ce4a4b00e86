"""How fast C plays, in the dream and in the real game, and what CMA-ES itself costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from worldmodels.bench import bounds, original
from worldmodels.bench.plan import Bench
from worldmodels.bench.timing import Row, Work, rates
from worldmodels.config import ControllerInputs
from worldmodels.dream_env import DreamEnv
from worldmodels.evolution.cma_es import CMAES
from worldmodels.latent_env import LatentEnv
from worldmodels.models.controller import ControllerPolicy, num_parameters
from worldmodels.models.precision import device_of
from worldmodels.models.world_model import WorldModel
from worldmodels.randomness import BLOCK_STEPS
from worldmodels.rollout import EpisodeJob
from worldmodels.workers import available_cores
from worldmodels.worlds import PixelEnvs

#: Slots of the dream: 64 candidates with 16 seeds each, the paper's generation.
DREAM_SLOTS = 1024
#: Games that are played side by side, `worldmodels evaluate`'s default.
GAME_SLOTS = 16
#: Steps of a repetition in the real game: a slot's episode ends about once in four of them, so all pay for resets.
GAME_STEPS = 50
#: Generations of a repetition: pycma decomposes its covariance matrix only every few of them.
CMA_GENERATIONS = 6


def dream_steps(model: WorldModel, inputs: ControllerInputs, temperature: float, jobs: Sequence[EpisodeJob]) -> Work:
    """Returns the work of some steps of the dream, C's included, of one slot a job; no episode ends."""
    # Nothing may end while it is timed.
    spec = dataclasses.replace(model.spec, max_episode_steps=2**31)
    world = DreamEnv(dataclasses.replace(model, spec=spec), inputs, len(jobs), temperature, as_tensors=True)
    candidates = max(job.candidate for job in jobs) + 1
    solutions = 0.1 * torch.randn(candidates, num_parameters(spec, inputs))
    policy = ControllerPolicy(spec, inputs, solutions.to(device_of(model.rnn)))
    obs, _ = world.reset(seed=[job.seed for job in jobs])
    policy.begin(np.ones(len(jobs), np.bool_), jobs)

    def work() -> float:
        nonlocal obs
        # As many steps as the noise is drawn ahead, so that every repetition pays for one drawing.
        for _ in range(BLOCK_STEPS):
            obs, *_ = world.step(policy.act(obs))
        return float(BLOCK_STEPS * len(jobs))

    return work


def measure_dream(bench: Bench) -> list[Row]:
    """Agent steps/s in the dream, C's included, as a generation of the paper's size plays it."""
    spec, preset, device = bench.spec, bench.preset.controller, bench.device
    model = bench.model().on(device)
    candidates, seeds = preset.population_size, DREAM_SLOTS // preset.population_size
    jobs = [EpisodeJob(candidate, seed) for candidate in range(candidates) for seed in range(seeds)]
    ours = dream_steps(model, preset.inputs, preset.temperature, jobs)
    first = original.OriginalDream(spec, preset.inputs, preset.temperature)

    def one_by_one() -> float:
        for _ in range(BLOCK_STEPS):
            first.step()
        return float(BLOCK_STEPS)

    wide = original.NaiveDream(spec, preset.inputs, len(jobs), preset.temperature)

    def naive() -> float:
        for _ in range(BLOCK_STEPS // 4):
            wide.step()
        return float(BLOCK_STEPS // 4 * len(jobs))

    operations = bounds.rnn_operations(model.rnn)
    value, slow, bound = bench.measure(ours, one_by_one, operations, device)
    value_again, wider, bound_again = bench.measure(ours, naive, operations, device)
    what = f"{len(jobs):,} slots, {candidates} candidates, C included"
    return [
        Row(
            spec.name,
            "dream",
            value,
            "steps/s",
            f"{what}; baseline: one episode, float32, a Python loop over the latents",
            slow,
            bound,
        ),
        Row(
            spec.name,
            "dream, naive loop",
            value_again,
            "steps/s",
            f"{what}; baseline: as many slots, float32, nn.LSTMCell, softmax and multinomial, on the CPU",
            wider,
            bound_again,
        ),
    ]


def measure_game(bench: Bench) -> Row:
    """Agent steps/s in the real game with V, M and C, resets included."""
    spec = bench.spec
    env = original.make_env(spec)
    inputs = bench.preset.controller.inputs
    world = LatentEnv(PixelEnvs([spec.make_env() for _ in range(GAME_SLOTS)], available_cores()), bench.model(), inputs)
    try:
        policy = ControllerPolicy(spec, inputs, torch.randn(1, num_parameters(spec, inputs)) * 0.1)
        policy.begin(np.ones(GAME_SLOTS, np.bool_), [EpisodeJob(0, seed) for seed in range(GAME_SLOTS)])
        obs, _ = world.reset(seed=list(range(GAME_SLOTS)))
        agent = original.OriginalAgent(spec, inputs)
        frame, _ = env.reset(seed=0)

        def ours() -> float:
            nonlocal obs
            for _ in range(GAME_STEPS):
                obs, _, terminated, truncated, _ = world.step(policy.act(obs))
                if (over := terminated | truncated).any():
                    obs, _ = world.reset(options={"reset_mask": over})
            return float(GAME_STEPS * GAME_SLOTS)

        def one_by_one() -> float:
            nonlocal frame
            for _ in range(GAME_STEPS):
                frame, _, terminated, truncated, _ = env.step(agent.act(frame))
                if terminated or truncated:
                    frame, _ = env.reset()
            return float(GAME_STEPS)

        value, baseline = rates([ours, one_by_one], [bench.seconds, bench.seconds])
    finally:
        world.close()
        env.close()
    note = f"{GAME_SLOTS} games with V, M and C; baseline: one game at 640x480, V and M at batch 1 in float32"
    return Row(spec.name, "controller in the real game", value, "steps/s", note, baseline)


def measure_cma_es(bench: Bench) -> Row:
    """Seconds of a generation's ask and tell, without playing."""
    size, population = num_parameters(bench.spec, bench.preset.controller.inputs), bench.preset.controller.population_size
    search = CMAES(np.zeros(size), bench.preset.controller.sigma, population, 0)
    rng = np.random.default_rng(0)

    def work() -> float:
        for _ in range(CMA_GENERATIONS):
            search.ask()
            search.tell(rng.standard_normal(population))
        return float(CMA_GENERATIONS)

    (generations,) = rates([work], [bench.seconds / 2])
    return Row(
        bench.spec.name, "CMA-ES ask and tell", 1 / generations, "s/generation", f"{size:,} parameters, population {population}"
    )
