"""C in pictures: its evolution against generations and hours, the original's below it, and the scores of its episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldmodels.base import files
from worldmodels.base.logs import rows_so_far
from worldmodels.envs.task import get_task
from worldmodels.runs.layout import EVALUATION, HISTORY, PPO_LOG, SCORES
from worldmodels.runs.run import Run

#: (generation, hours, score) of the original's own log, thinned: how far 64 cores had got, and when.
ORIGINAL = Path(__file__).parent / "original_curves.json"


def evaluations(run: Run) -> dict[str, Any]:
    """Returns the run's scores by name, as far as there are any."""
    found = {name: run.path / EVALUATION / f"{name}.json" for name in ("random", "dream", "real", "fast")}
    return {name: files.read_json(path) for name, path in found.items() if path.exists()}


def draw_curve(run: Run) -> Figure | None:
    """Draws the population's spread, the scored means and the final scores, or, without generations, what PPO met; None before
    there is either."""
    history = rows_so_far(run.stage_path("controller") / HISTORY)
    if not history:
        return _draw_ppo(run)
    scores = rows_so_far(run.stage_path("controller") / SCORES)
    # What PPO has led to is scored before the first generation.
    hours_of = {0: 0.0} | {row["generation"]: row["elapsed_seconds"] / 3600 for row in history}
    original = json.loads(ORIGINAL.read_text(encoding="utf-8")).get(run.task, [])
    figure = Figure(figsize=(12, 4.5))
    left, right = figure.subplots(1, 2, sharey=True)
    search = run.preset.controller
    where, temperature = search.world, search.temperature
    axes: list[tuple[Axes, str, dict[int, float], int]] = [
        (left, "generation", {g: float(g) for g in hours_of}, 0),
        (right, "hours", hours_of, 1),
    ]
    for axis, label, x_of, column in axes:
        x = [x_of[row["generation"]] for row in history]
        low, high = ([row[name] for row in history] for name in ("min", "max"))
        axis.fill_between(x, low, high, alpha=0.2, label="population, min to max")
        axis.plot(x, [r["mean"] for r in history], label="population, mean")
        axis.plot(x, list(accumulate(high, max)), linewidth=0.8, color="C0", linestyle="--", label="best so far")
        axis.plot(
            [x_of[r["generation"]] for r in scores],
            [r["mean"] for r in scores],
            "o-",
            label=f"the search's mean, scored ({search.resolved_score_world})",
        )
        if original:
            axis.plot(
                [row[column] for row in original],
                [row[2] for row in original],
                ".-",
                color="C7",
                label="original's log, 64 cores",
            )
            axis.set_xscale("log")
        axis.set_xlabel(label)
        _draw_final(axis, run)
    left.set_ylabel("return")
    figure.suptitle(
        f"{run.task}: C trained in the " + (f"dream, temperature {temperature:g}" if where == "dream" else "real environment")
    )
    right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    return figure


def _draw_ppo(run: Run) -> Figure | None:
    """Draws what C met in the dream, hits or rewards, against PPO's iterations; None before the first."""
    met = "hits" if get_task(run.task).hit_damages else "reward"
    rows = rows_so_far(run.stage_path("controller") / PPO_LOG, "iteration", met)
    if not rows:
        return None
    figure = Figure(figsize=(7, 4))
    axis = figure.subplots()
    axis.plot([row["iteration"] for row in rows], [1000 * row[met] for row in rows])
    axis.set(xlabel="iteration of PPO", ylabel=f"{met} in 1,000 steps of the dream, while C is learning")
    if met == "hits":
        axis.set_ylim(0, None)
    axis.set_title(f"{run.task}: C improved in the dream, temperature {run.preset.controller.temperature:g}")
    figure.tight_layout()
    return figure


def _draw_final(axis: Axes, run: Run) -> None:
    """Draws what the finished agent scored, and what the task calls solved."""
    final = evaluations(run)
    if "real" in final:
        axis.axhline(final["real"]["mean"], color="black", linestyle="--", label="final agent, real environment")
    if "random" in final:
        axis.axhline(final["random"]["mean"], color="grey", linestyle=":", label="random policy, real environment")
    solved_at = get_task(run.task).published.solved_at
    if solved_at is not None:
        axis.axhline(solved_at, color="green", linewidth=0.8, label="solved")


def draw_scores(run: Run) -> Figure | None:
    """Draws a histogram of every evaluation's returns; None before there is one."""
    found = evaluations(run)
    if not found:
        return None
    return draw_returns({name: [e["return"] for e in result["episodes"]] for name, result in found.items()}, run.task)


def draw_returns(found: Mapping[str, Sequence[float]], task: str) -> Figure:
    """Draws histograms over each other, in shares of the episodes: there may be more of some than of others.

    Args:
        found: the returns of "random", "dream", "real", "fast", or of some of them.
    """
    figure = Figure(figsize=(7, 4))
    axis = figure.subplots()
    labels = {"random": "random policy", "dream": "agent, dream", "real": "agent, real", "fast": "agent, training's copy"}
    low, high = min(map(min, found.values())), max(map(max, found.values())) + 1e-6
    for index, (name, returns) in enumerate(found.items()):
        count, mean = len(returns), sum(returns) / len(returns)
        label = f"{labels[name]}: {mean:.0f} ({count:,} episodes)"
        shares = [1 / count] * count
        axis.hist(returns, bins=30, range=(low, high), weights=shares, alpha=0.5, color=f"C{index}", label=label)
        axis.axvline(mean, color=f"C{index}", linewidth=1)
    axis.set(xlabel="return", ylabel="share of the episodes", title=f"{task}: scores, episode by episode")
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure
