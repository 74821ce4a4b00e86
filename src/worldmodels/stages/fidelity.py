"""How true the dream is: the same policies played in both worlds, and M's predictions against what really came.

This tells a better M from a worse one in minutes, before hours of evolution. The fixed policies come first: a dream may be true
nearly everywhere and have one hole, and CMA-ES finds it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from worldmodels import files
from worldmodels.checkpoint import load_tensors
from worldmodels.config import CollectConfig, FidelityConfig
from worldmodels.data.latents import LatentStore
from worldmodels.data.sampling import split_run
from worldmodels.dream_env import DreamEnv
from worldmodels.envs.spec import EnvSpec, Floats, RandomPolicy, get_task
from worldmodels.evolution.population import DreamPopulation, RealPopulation
from worldmodels.foresight import FORESEEN, WINDOW_STEPS, hits_foreseen
from worldmodels.models.precision import pick_device
from worldmodels.models.world_model import temperature_text
from worldmodels.open_loop import WARM_UP_STEPS, open_loop_error
from worldmodels.plots.figures import save
from worldmodels.progress import Progress
from worldmodels.rollout import EpisodeJob, rollout
from worldmodels.run import Run, read_jsonl
from worldmodels.stages.controller import load_world_model, replay
from worldmodels.stages.encode import open_latents
from worldmodels.stages.evaluate import summarise
from worldmodels.stages.search_start import BEST, begin_search, kept_iterations, start_after
from worldmodels.worlds import Mask, PixelEnvs

#: Dreams side by side at most.
NUM_SLOTS = 1024
#: Which parts of the evolution are looked at: the search's mean after this share of its generations.
MOMENTS = {"early": 0.1, "middle": 0.4, "late": 1.0}


class BlindPolicy:
    """Acts without looking: each slot by an episode's policy of its own.

    Args:
        make: makes an episode's policy from its seed.
    """

    def __init__(self, make: Callable[[int], RandomPolicy], action_size: int) -> None:
        self._make = make
        self._idle = np.zeros(action_size, np.float32)
        self._policies: list[RandomPolicy | None] = []

    def begin(self, mask: Mask, jobs: Sequence[EpisodeJob | None]) -> None:
        """Makes the policies of the slots whose episodes begin."""
        self._policies = self._policies or [None] * len(mask)
        for slot, job in enumerate(jobs):
            if job is not None:
                self._policies[slot] = self._make(job.seed)

    def act(self, obs: Any) -> Floats:
        """Returns actions float32 [N, A]."""
        nothing = np.zeros((64, 64, 3), np.uint8)
        return np.stack([policy(nothing) if policy else self._idle for policy in self._policies])

    def shrink(self, keep: Mask) -> None:
        """Drops the slots where ``keep`` is false."""
        self._policies = [policy for policy, kept in zip(self._policies, keep, strict=True) if kept]


def blind_policies(spec: EnvSpec, collect: CollectConfig) -> dict[str, Callable[[int], RandomPolicy]]:
    """Returns the task's fixed actions and the data's random policy, by name."""

    def always(action: Sequence[float]) -> Callable[[int], RandomPolicy]:
        fixed = np.array(action, np.float32)
        return lambda seed: lambda obs: fixed

    found: dict[str, Callable[[int], RandomPolicy]] = {name: always(action) for name, action in spec.fixed_actions.items()}
    found["held random"] = lambda seed: spec.random_policy(np.random.default_rng([seed, 3]), collect)
    return found


def evolved_solutions(run: Run) -> dict[str, NDArray[np.float64]]:
    """Returns C at a few moments of PPO, the search's mean at a few of the evolution, told anew from the history, and the
    controller kept."""
    config, folder = run.preset.controller, run.stage_path("controller")
    found = {f"C, iteration {iteration} of PPO": start_after(config, run, iteration) for iteration in kept_iterations(config)}
    history = folder / "history.jsonl"
    rows = read_jsonl(history, "generation")
    search = begin_search(config, run)
    wanted = {max(1, round(share * len(rows))): name for name, share in MOMENTS.items()}
    for row in rows:
        replay(search, row, history)
        if search.generation in wanted:
            found[f"C, {wanted[search.generation]} (generation {search.generation})"] = search.mean.copy()
    best = load_tensors(folder / BEST)["solution"].double().numpy()
    # Without generations it is one of PPO's, which need not be played twice.
    found = {name: solution for name, solution in found.items() if not np.array_equal(solution, best)}
    return {**found, "C, kept": np.asarray(best)}


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Returns Spearman's rank correlation (ties get the mean of their ranks); None where one side is all ties."""

    def ranks(values: Sequence[float]) -> NDArray[np.float64]:
        array = np.asarray(values, np.float64)
        return np.array([(array < x).sum() + ((array == x).sum() - 1) / 2 for x in array])

    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def measure(config: FidelityConfig, run: Run) -> dict[str, Any]:
    """Plays every policy in both worlds and returns the result as JSON values."""
    spec = get_task(run.task)
    run.require("controller")
    controller = run.preset.controller
    temperature = config.temperature or controller.temperature
    world_model = load_world_model(run, controller.memory, open_latents(run))
    real_jobs = [EpisodeJob(0, run.derive_seed("fidelity/real", i)) for i in range(config.real_episodes)]
    dream_jobs = [EpisodeJob(0, run.derive_seed("fidelity/dream", i)) for i in range(config.dream_episodes)]
    device = pick_device(config.device)
    blind, evolved = blind_policies(spec, run.preset.collect), evolved_solutions(run)
    progress = Progress("fidelity", len(blind) + len(evolved), "policies")
    rows: list[dict[str, Any]] = []

    def note(name: str, dream: NDArray[np.float64], real: NDArray[np.float64]) -> None:
        rows.append({"policy": name, "dream": summarise(dream), "real": summarise(real)})
        progress.update(len(rows), f"{name}: dream {dream.mean():.0f}, real {real.mean():.0f}")

    for name, make in blind.items():
        dream = DreamEnv(world_model.on(device), controller.inputs, min(NUM_SLOTS, len(dream_jobs)), temperature)
        dreamt = rollout(dream, BlindPolicy(make, spec.action_size), dream_jobs)
        pixels = PixelEnvs([spec.make_env() for _ in range(min(16, len(real_jobs)))], spec.env_threads)
        try:
            played = rollout(pixels, BlindPolicy(make, spec.action_size), real_jobs)
        finally:
            pixels.close()
        note(name, *(np.array([r.episode_return for r in results]) for results in (dreamt, played)))
    asleep = DreamPopulation(world_model, controller.inputs, temperature, NUM_SLOTS, device)
    awake = RealPopulation(spec, world_model, controller.inputs, official=False, num_workers=config.num_workers)
    try:
        for name, solution in evolved.items():
            weights = torch.from_numpy(solution)[None]
            dreamt, played = asleep.evaluate(weights, dream_jobs), awake.evaluate(weights, real_jobs)
            note(name, *(np.array([r.episode_return for r in results]) for results in (dreamt, played)))
    finally:
        awake.close()
    store = LatentStore(run.stage_path("encode"))
    _, held_out = split_run(run, store.num_episodes, run.preset.rnn.held_out_fraction)
    dreams, reals = [row["dream"]["mean"] for row in rows], [row["real"]["mean"] for row in rows]
    progress.finish(f"{len(rows)} policies")
    result = {
        "task": spec.name,
        "temperature": temperature,
        "own_temperature": controller.temperature,
        "policies": rows,
        "rank_correlation": rank_correlation(dreams, reals),
        "bias": float(np.mean(np.array(dreams) - np.array(reals))),
        "open_loop_error": open_loop_error(world_model, store, held_out),
        "warm_up_steps": WARM_UP_STEPS,
    }
    # Those of an agent like C, where there is one, come last: another's hits are of another kind.
    newest = held_out[held_out >= store.num_episodes - run.preset.collect.num_episodes]
    if spec.hit_damages and len(newest):
        seed = run.derive_seed("fidelity/hits")
        result["hits"] = dataclasses.asdict(hits_foreseen(world_model, store, newest, seed))
    return result


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws the policies' returns in both worlds, and M's error against the horizon."""
    figure = Figure(figsize=(11, 4.5))
    left, right = figure.subplots(1, 2)
    highest = 0.0
    for row in result["policies"]:
        x, y = row["real"]["mean"], row["dream"]["mean"]
        spread = [abs(row[world]["ci95"][1] - row[world]["mean"]) for world in ("real", "dream")]
        left.errorbar(x, y, xerr=spread[0], yerr=spread[1], fmt="o", label=row["policy"])
        highest = max(highest, x, y)
    left.plot([0, highest], [0, highest], color="grey", linewidth=0.8)
    left.set(xlabel="return in the real environment", ylabel=f"return in the dream, τ {result['temperature']:g}")
    left.legend(fontsize=7)
    for name, errors in result["open_loop_error"].items():
        right.plot(range(1, len(errors) + 1), errors, label="M" if name == "m" else name.replace("_", " "))
    right.set(xlabel="steps without looking", ylabel="error of z (root mean square)")
    right.legend(fontsize=8)
    figure.tight_layout()
    save(figure, path)


def print_table(result: dict[str, Any]) -> None:
    """Prints the policies' returns in both worlds."""
    at = temperature_text(result["temperature"], result["own_temperature"])
    table = Table(title=f"{result['task']}: the dream at {at} beside the real environment")
    for column in ("policy", "dream", "real"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for row in result["policies"]:
        table.add_row(row["policy"], *(f"{row[world]['mean']:.0f} ± {row[world]['std']:.0f}" for world in ("dream", "real")))
    Console().print(table)
    correlation = result["rank_correlation"]
    said = "undefined (all policies score the same in one world)" if correlation is None else f"{correlation:.2f}"
    print(f"rank correlation {said}; the dream is {result['bias']:+.0f} too high on average")
    hits = result.get("hits")
    if hits and hits["foreseen"] is not None:
        print(
            f"{hits['num_hits']:,} hits in {hits['num_steps']:,} held-out steps, M expected {hits['expected_hits']:.1f}; "
            f"{hits['foreseen']:.0%} were seen coming: M's chances within {WINDOW_STEPS} steps add up to {FORESEEN:g} or more"
        )


def run(config: FidelityConfig, run: Run) -> dict[str, Any]:
    """Measures a finished run's dream into ``evaluation/fidelity.json`` and ``evaluation/fidelity.png``."""
    result = measure(config, run)
    folder = run.path / "evaluation"
    files.write_json(folder / "fidelity.json", result)
    draw(result, folder / "fidelity.png")
    print_table(result)
    print(f"picture: {folder / 'fidelity.png'}")
    return result
