"""How true the dream is: the same policies played in both worlds, and M's predictions against what really came.

This tells a better M from a worse one in minutes, before hours of evolution. The fixed policies come first: a dream may be true
nearly everywhere and have one hole, and CMA-ES finds it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from worldmodels.envs.task import Task
from worldmodels.models.precision import pick_device
from worldmodels.models.world_model import WorldModel
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
    run.require("controller")
    spec, controller = get_task(run.task).seeing(run.preset.collect.frames), run.preset.controller
    world_model = load_world_model(run, open_latents(run))
    rows = _in_both_worlds(config, run, world_model, spec) if spec.env_id else []
    store = LatentStore(run.stage_path("encode"))
    _, held_out = split_run(run, store.num_episodes, run.preset.rnn.held_out_fraction)
    dreams, reals = [row["dream"]["mean"] for row in rows], [row["real"]["mean"] for row in rows]
    result = {
        "task": spec.name,
        "temperature": _temperature(config, run),
        "own_temperature": controller.temperature,
        "policies": rows,
        "rank_correlation": rank_correlation(dreams, reals) if rows else None,
        "bias": float(np.mean(np.array(dreams) - np.array(reals))) if rows else None,
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
    result["uncertainty"] = _uncertainty(config, run, world_model, store, newest if len(newest) else held_out)
    return result


def _in_both_worlds(config: FidelityConfig, run: Run, world_model: WorldModel, spec: Task) -> list[dict[str, Any]]:
    """Returns a row for each policy that does not look, for C on its way and for the C that was kept."""
    controller, place, random = run.preset.controller, config.place, run.preset.collect.random
    temperature, rules, device = _temperature(config, run), DreamRules(controller.dream_dropout), pick_device(config.device)
    real_jobs = [EpisodeJob(0, run.derive_seed("fidelity/real", i)) for i in range(config.real_episodes)]
    dream_jobs = _dream_jobs(config, run)
    blind, evolved = blind_policies(spec, random), evolved_solutions(run)
    progress = Progress("fidelity", len(blind) + len(evolved), "policies")
    rows: list[dict[str, Any]] = []

    def play(name: str, solution: Tensor, dream: DreamEvaluator, real: RealEvaluator) -> None:
        dreamt, played = (
            np.array([result.episode_return for result in world.evaluate(solution[None], jobs)])
            for world, jobs in ((dream, dream_jobs), (real, real_jobs))
        )
        rows.append({"policy": name, "dream": summarise(dreamt), "real": summarise(played)})
        progress.update(len(rows), f"{name}: dream {dreamt.mean():.0f}, real {played.mean():.0f}")

    def dream_of(acting: Callable[[DreamEnv], BlindPolicy] | None = None) -> DreamEvaluator:
        return DreamEvaluator(world_model, controller.inputs, temperature, NUM_SLOTS, device, acting, rules)

    def game(world_model: WorldModel | None, blind: Blind = Blind()) -> RealEvaluator:  # noqa: B008 (frozen)
        where = (config.num_workers, place.backend, place.address)
        return RealEvaluator(spec, world_model, controller.inputs, False, *where, blind)

    for name, make in blind.items():
        with closing(game(None, Blind(name, random))) as real:
            play(name, torch.zeros(0), dream_of(_blind(make, spec.action_size)), real)
    with closing(game(world_model)) as real:
        dream = dream_of()
        for name, solution in evolved.items():
            play(name, torch.from_numpy(solution), dream, real)
    progress.finish(f"{len(rows)} policies")
    return rows


def _uncertainty(
    config: FidelityConfig, run: Run, world_model: WorldModel, store: LatentStore, episodes: NDArray[np.int64]
) -> dict[str, Any]:
    """Returns M's uncertainty along recorded ``episodes`` and in the dreams of the C that was kept."""
    asked, controller, dreamer = config.uncertainty, run.preset.controller, world_model.on(pick_device(config.device))
    rules, temperature = DreamRules(controller.dream_dropout), _temperature(config, run)
    kept = load_tensors(run.stage_path("controller") / BEST)["solution"]
    jobs, seed = _dream_jobs(config, run), run.derive_seed("fidelity/uncertainty")
    return {
        **asked.to_dict(),
        "recorded": uncertainty.of_recorded(asked, dreamer, store, episodes, seed),
        "dream": uncertainty.of_dreams(asked, rules, dreamer, controller.inputs, temperature, kept, jobs),
    }


def _temperature(config: FidelityConfig, run: Run) -> float:
    return config.temperature or run.preset.controller.temperature


def _dream_jobs(config: FidelityConfig, run: Run) -> list[EpisodeJob]:
    return [EpisodeJob(0, run.derive_seed("fidelity/dream", i)) for i in range(config.dream_episodes)]
