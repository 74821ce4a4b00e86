"""C in pictures: its evolution against generations and hours, the original's below it, and the scores of its episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from worldmodels.envs.registry import get_task
from worldmodels.plots import style
from worldmodels.runs.layout import PPO_LOG
from worldmodels.runs.run import Run
from worldmodels.runs.scores import evaluations, numbers_of, search_logs

#: (generation, hours, score) of the original's own log, thinned: how far 64 cores had got, and when.
ORIGINAL = Path(__file__).parent / "original_curves.json"


def return_unit(task: str) -> str:
    """Returns what a task's return counts, in brackets, where it is steps; nothing where it is the game's own points."""
    return " (steps survived)" if get_task(task).hit_damages else ""


def draw_curve(run: Run) -> Figure | None:
    """Draws the population's spread, the scored means and the final scores, or, without generations, what PPO met; None before
    there is either."""
    if not has_generations(run):
        if not has_ppo(run):
            return None
        figure = style.figure(8, 4.8)
        draw_ppo(figure.subplots(), run)
        return figure
    figure = style.figure(12, 6.2)
    left, right = figure.subplots(1, 2, sharey=True)
    draw_generations(left, run)
    draw_generations(right, run, by_hours=True)
    left.set_ylabel(f"return{return_unit(run.task)}")
    figure.suptitle(f"{style.called(run.task)}: {how_evolved(run)}")
    style.legend_below(figure, 3)
    return figure


def has_generations(run: Run) -> bool:
    """Returns whether C has been evolved for at least a generation."""
    return bool(search_logs(run)[0])


def has_ppo(run: Run) -> bool:
    """Returns whether C has learned by PPO for at least an iteration."""
    return bool(_ppo_rows(run))


def how_evolved(run: Run) -> str:
    """Returns where C was evolved, in words."""
    search = run.preset.controller
    where = f"dream, temperature {search.temperature:g}" if search.world == "dream" else "real environment"
    return f"C evolved in the {where}"


def draw_generations(axis: Axes, run: Run, by_hours: bool = False) -> None:
    """Draws the population's spread, the scored means, the original's log and the final scores against generations or hours."""
    history, scores = search_logs(run)
    original = json.loads(ORIGINAL.read_text(encoding="utf-8")).get(run.task, [])
    # What PPO has led to is scored before the first generation.
    hours_of = {0: 0.0} | {row["generation"]: row["elapsed_seconds"] / 3600 for row in history}
    x_of = hours_of if by_hours else {generation: float(generation) for generation in hours_of}
    label, column = ("hours of training C", 1) if by_hours else ("generation", 0)
    x = [x_of[row["generation"]] for row in history]
    low, high = ([row[name] for row in history] for name in ("min", "max"))
    spread: Any = {"alpha": 0.25, "color": style.SKY, "label": "population, least to most"}
    if len(x) > 1:
        axis.fill_between(x, low, high, linewidth=0, **spread)
    else:
        axis.vlines(x, low, high, linewidth=8, **spread)
    dots = style.few(x)
    axis.plot(x, [r["mean"] for r in history], color=style.SKY, label="population, mean", **dots)
    axis.plot(x, list(accumulate(high, max)), color=style.SKY, linewidth=1.2, linestyle=":", label="best so far", **dots)
    axis.plot(
        [x_of[r["generation"]] for r in scores],
        [r["mean"] for r in scores],
        "o-",
        color=style.OURS,
        label=f"the search's mean, scored ({run.preset.controller.resolved_score_world})",
    )
    if original:
        x, y = [row[column] for row in original], [row[2] for row in original]
        axis.plot(x, y, "s-", markersize=4, color=style.ORIGINAL, label="the original's log, 64 cores")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    else:
        axis.set_xlim(left=0)
        axis.locator_params(axis="x", nbins=5, integer=not by_hours)
        axis.ticklabel_format(axis="x", useOffset=False)
    axis.set_xlabel(f"{label} (logarithmic)" if original else label)
    _draw_final(axis, run)


def _ppo_met(run: Run) -> str:
    return "hits" if get_task(run.task).hit_damages else "reward"


def _ppo_rows(run: Run) -> list[dict[str, Any]]:
    return numbers_of(run.stage_path("controller") / PPO_LOG, "iteration", _ppo_met(run))


def draw_ppo(axis: Axes, run: Run) -> None:
    """Draws what C met in the dream, hits or rewards, against PPO's iterations."""
    rows, met = _ppo_rows(run), _ppo_met(run)
    x = [row["iteration"] for row in rows]
    axis.plot(x, [1000 * row[met] for row in rows], color=style.DREAM, **style.few(x))
    axis.set(xlabel="iteration of PPO", ylabel=f"{met} in 1,000 steps of the dream")
    if met == "hits":
        axis.set_ylim(0, None)
    temperature = run.preset.controller.temperature
    axis.set_title(f"{style.called(run.task)}: {met} while C learns by PPO\nin the dream, temperature {temperature:g}")


def _draw_final(axis: Axes, run: Run) -> None:
    """Draws what the finished agent scored, and what the task calls solved."""
    final = evaluations(run)
    if "real" in final:
        axis.axhline(final["real"]["mean"], color=style.BLACK, linestyle="--", label="final agent, real environment")
    if "random" in final:
        axis.axhline(final["random"]["mean"], color=style.RANDOM, linestyle=":", label="random policy, real environment")
    solved_at = get_task(run.task).published.solved_at
    if solved_at is not None:
        axis.axhline(solved_at, color=style.SOLVED, linestyle="-.", linewidth=1.5, label=f"solved ({solved_at:g})")


def draw_scores(run: Run) -> Figure | None:
    """Draws a histogram of every evaluation's returns; None before there is one."""
    found = evaluations(run)
    if not found:
        return None
    return draw_returns({name: result["returns"] for name, result in found.items()}, run.task)


#: What the evaluations are called, and each one's colour.
NAMES = {
    "random": ("random policy, real environment", style.RANDOM),
    "dream": ("agent, dream", style.DREAM),
    "real": ("agent, real environment", style.REAL),
    "fast": ("agent, training's copy", style.SKY),
}


def draw_returns(found: Mapping[str, Sequence[float]], task: str) -> Figure:
    """Draws histograms below one another, in shares of the episodes: there may be more of some than of others.

    Args:
        found: the returns of "random", "dream", "real", "fast", or of some of them.
    """
    figure = style.figure(8, 1.1 + 1.35 * len(found))
    draw_histograms(figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0], found, task)
    figure.supylabel("share of the episodes", fontsize=13)
    figure.suptitle(f"{style.called(task)}: the return of each episode")
    return figure


def draw_histograms(axes: NDArray[np.object_], found: Mapping[str, Sequence[float]], task: str) -> None:
    """Draws a histogram on each of the axes, from above, over the same values, with the mean as a line."""
    low, high = min(map(min, found.values())), max(map(max, found.values())) + 1e-6
    for axis, (name, returns) in zip(axes, found.items(), strict=True):
        count, mean = len(returns), sum(returns) / len(returns)
        label, colour = NAMES[name]
        axis.hist(returns, bins=40, range=(low, high), weights=[1 / count] * count, color=colour)
        axis.axvline(mean, color=style.BLACK, linewidth=1.5, linestyle="--")
        episodes = f"{count:,} episode{'s' if count > 1 else ''}"
        axis.set_title(f"{label}: mean {mean:,.0f} (dashed), {episodes}", fontsize=12, pad=4)
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.locator_params(axis="y", nbins=2)
    axes[-1].set_xlabel(f"return{return_unit(task)}")
