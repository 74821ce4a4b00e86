"""How true the dream is: the same policies played in both worlds, and M's predictions against what really came.

This tells a better M from a worse one in minutes, before hours of evolution. The fixed policies come first: a dream may be true
nearly everywhere and have one hole, and CMA-ES finds it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodels.agent.run_parts import load_world_model
from worldmodels.base.logs import read_jsonl
from worldmodels.base.tensors import load_tensors
from worldmodels.config import FidelityConfig
from worldmodels.data.latents import LatentStore
from worldmodels.data.run_data import open_latents, split_run
from worldmodels.diagnostics import uncertainty
from worldmodels.diagnostics.hits import hits_foreseen
from worldmodels.diagnostics.open_loop import WARM_UP_STEPS, open_loop_error
from worldmodels.diagnostics.statistics import rank_correlation, summarise
from worldmodels.envs.held_random import RandomPolicy
from worldmodels.envs.registry import get_task
from worldmodels.models.precision import pick_device
from worldmodels.policies.blind import Blind, BlindPolicy, blind_policies
from worldmodels.runs.layout import BEST, HISTORY
from worldmodels.runs.run import Run
from worldmodels.runtime.progress import Progress
from worldmodels.search.evaluators import DreamEvaluator, RealEvaluator
from worldmodels.search.history import BestMean, replayed
from worldmodels.search.start import begin_search, kept_iterations, start_after
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.rollout import EpisodeJob

#: Dreams side by side at most.
NUM_SLOTS = 1024
#: Which parts of the evolution are looked at: the search's mean after this share of its generations.
MOMENTS = {"early": 0.1, "middle": 0.4, "late": 1.0}


def evolved_solutions(run: Run) -> dict[str, NDArray[np.float64]]:
    """Returns C at a few moments of PPO, the search's mean at a few of the evolution, told anew from the history, and the
    controller kept."""
    config, folder = run.preset.controller, run.stage_path("controller")
    found = {f"C, iteration {iteration} of PPO": start_after(config, run, iteration) for iteration in kept_iterations(config)}
    rows = read_jsonl(folder / HISTORY, "generation")
    search = begin_search(config, run)
    wanted = {max(1, round(share * len(rows))): name for name, share in MOMENTS.items()}
    for _ in replayed(search, folder, BestMean(config.return_to_best), rows):
        if search.generation in wanted:
            found[f"C, {wanted[search.generation]} (generation {search.generation})"] = search.mean.copy()
    best = load_tensors(folder / BEST)["solution"].double().numpy()
    # Without generations it is one of PPO's, which need not be played twice.
    found = {name: solution for name, solution in found.items() if not np.array_equal(solution, best)}
    return {**found, "C, kept": np.asarray(best)}


def _blind(make: Callable[[int], RandomPolicy], action_size: int) -> Callable[[DreamEnv], BlindPolicy]:
    """Returns what makes a policy that does not look, for `DreamEvaluator`."""
    return lambda world: BlindPolicy(make, action_size)


def measure(config: FidelityConfig, run: Run) -> dict[str, Any]:
    """Plays every policy in both worlds and returns the result as JSON values. Of a task without a real environment there are
    no policies, only M's predictions."""
    spec = get_task(run.task).seeing(run.preset.collect.frames)
    run.require("controller")
    controller = run.preset.controller
    temperature, rules = config.temperature or controller.temperature, DreamRules(controller.dream_dropout)
    world_model = load_world_model(run, open_latents(run))
    real_jobs = [EpisodeJob(0, run.derive_seed("fidelity/real", i)) for i in range(config.real_episodes)]
    dream_jobs = [EpisodeJob(0, run.derive_seed("fidelity/dream", i)) for i in range(config.dream_episodes)]
    # What C sees, the environment that training uses, and who plays it.
    real_place = (controller.inputs, False, config.num_workers, config.place.backend, config.place.address)
    device = pick_device(config.device)
    has_env = bool(spec.env_id)
    blind = blind_policies(spec, run.preset.collect.random) if has_env else {}
    evolved = evolved_solutions(run) if has_env else {}
    progress = Progress("fidelity", len(blind) + len(evolved), "policies")
    rows: list[dict[str, Any]] = []

    def note(name: str, dream: NDArray[np.float64], real: NDArray[np.float64]) -> None:
        rows.append({"policy": name, "dream": summarise(dream), "real": summarise(real)})
        progress.update(len(rows), f"{name}: dream {dream.mean():.0f}, real {real.mean():.0f}")

    for name, make in blind.items():
        acting = _blind(make, spec.action_size)
        dream = DreamEvaluator(world_model, controller.inputs, temperature, NUM_SLOTS, device, acting, rules)
        dreamt = dream.evaluate(torch.zeros(1, 0), dream_jobs)
        real = RealEvaluator(spec, None, *real_place, Blind(name, run.preset.collect.random))
        try:
            played = real.evaluate(torch.zeros(1, 0), real_jobs)
        finally:
            real.close()
        note(name, *(np.array([r.episode_return for r in results]) for results in (dreamt, played)))
    dream_evaluator = DreamEvaluator(world_model, controller.inputs, temperature, NUM_SLOTS, device, rules=rules)
    real_evaluator = RealEvaluator(spec, world_model, *real_place)
    try:
        for name, solution in evolved.items():
            weights = torch.from_numpy(solution)[None]
            dreamt, played = dream_evaluator.evaluate(weights, dream_jobs), real_evaluator.evaluate(weights, real_jobs)
            note(name, *(np.array([r.episode_return for r in results]) for results in (dreamt, played)))
    finally:
        real_evaluator.close()
    store = LatentStore(run.stage_path("encode"))
    _, held_out = split_run(run, store.num_episodes, run.preset.rnn.held_out_fraction)
    dreams, reals = [row["dream"]["mean"] for row in rows], [row["real"]["mean"] for row in rows]
    progress.finish(f"{len(rows)} policies")
    result = {
        "task": spec.name,
        "temperature": temperature,
        "own_temperature": controller.temperature,
        "policies": rows,
        "rank_correlation": rank_correlation(dreams, reals) if has_env else None,
        "bias": float(np.mean(np.array(dreams) - np.array(reals))) if has_env else None,
        "open_loop_error": open_loop_error(world_model, store, held_out),
        "warm_up_steps": WARM_UP_STEPS,
    }
    if controller.dream_dropout:
        result["dream_dropout"] = controller.dream_dropout
    # Those of an agent like C, where there is one, come last: another's hits are of another kind.
    newest = held_out[held_out >= store.num_episodes - run.preset.collect.num_episodes]
    if world_model.sizes.hits and len(newest):
        seed = run.derive_seed("fidelity/hits")
        result["hits"] = dataclasses.asdict(hits_foreseen(world_model, store, newest, seed))
    kept = load_tensors(run.stage_path("controller") / BEST)["solution"]
    asked, dreamer, inputs = config.uncertainty, world_model.on(device), controller.inputs
    result["uncertainty"] = {
        **asked.to_dict(),
        "recorded": uncertainty.of_recorded(
            asked, dreamer, store, newest if len(newest) else held_out, run.derive_seed("fidelity/uncertainty")
        ),
        "dream": uncertainty.of_dreams(asked, rules, dreamer, inputs, temperature, kept, dream_jobs),
    }
    return result
