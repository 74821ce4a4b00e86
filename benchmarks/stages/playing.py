"""How fast C plays, in the dream and in the real game, and what CMA-ES itself costs."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from benchmarks.stages import bounds, original
from benchmarks.stages.plan import Bench
from benchmarks.stages.timing import Row, rates
from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.runtime.workers import available_cores
from worldmodels.search.cma_es import CMAES
from worldmodels.search.evaluators import DreamEvaluator
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.noise import BLOCK_STEPS
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob

#: Slots of the dream: the paper's generation, 64 candidates with 16 seeds each; a GPU has room for four times the seeds.
DREAM_SLOTS = {"cpu": 1024, "cuda": 4096}
#: Steps of an episode of the dream: half of what the paper's agent lasts, so that a measurement takes seconds.
DREAM_STEPS = 512
#: Games that are played side by side, `worldmodels evaluate`'s default.
GAME_SLOTS = 16
#: Steps of a repetition in the real game: a slot's episode ends about once in four of them, so all pay for resets.
GAME_STEPS = 50
#: Generations of a repetition: pycma decomposes its covariance matrix only every few of them.
CMA_GENERATIONS = 6


def measure_dream(bench: Bench) -> list[Row]:
    """Agent steps/s in the dream, C's included, as a generation of the paper's size plays it."""
    spec, preset, device = bench.spec, bench.preset.controller, bench.device
    # The done head of this model ends none, so all episodes last as long.
    model = dataclasses.replace(bench.model(), spec=dataclasses.replace(spec, max_episode_steps=DREAM_STEPS))
    candidates = preset.population_size
    seeds = DREAM_SLOTS[device.split(":")[0]] // candidates
    jobs = [EpisodeJob(candidate, seed) for candidate in range(candidates) for seed in range(seeds)]
    population = DreamEvaluator(model, preset.inputs, preset.temperature, len(jobs), device)
    solutions = 0.1 * torch.randn(candidates, own_parameters(spec, preset.inputs))

    def ours() -> float:
        return float(sum(result.length for result in population.evaluate(solutions, jobs)))

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
    value, slow, wider, bound = bench.measure(ours, one_by_one, naive, operations=operations)
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
            value,
            "steps/s",
            f"{what}; baseline: as many slots, float32, nn.LSTMCell, softmax and multinomial, on the CPU",
            wider,
            bound,
        ),
    ]


def measure_game(bench: Bench) -> Row:
    """Agent steps/s in the real game with V, M and C, resets included."""
    spec = bench.spec
    env = original.make_env(spec)
    inputs = bench.preset.controller.inputs
    world = LatentEnv(PixelEnvs([spec.make_env() for _ in range(GAME_SLOTS)], available_cores()), bench.model(), inputs)
    try:
        policy = ControllerPolicy(spec, own_sizes(spec), inputs, torch.randn(1, own_parameters(spec, inputs)) * 0.1)
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
    size, population = own_parameters(bench.spec, bench.preset.controller.inputs), bench.preset.controller.population_size
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
