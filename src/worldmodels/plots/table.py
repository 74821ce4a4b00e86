"""Tables as pictures: scores in the dream against scores in reality, by what C sees, and by how the game looks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from worldmodels.plots import style
from worldmodels.plots.figures import save


def _half_interval(row: dict[str, Any]) -> float:
    """Half of the 95% interval of a mean; NaN, which is not drawn, of a single episode."""
    return math.nan if row["ci95"] is None else float(row["ci95"][1] - row["mean"])


def _title(result: dict[str, Any], what: str) -> str:
    """Returns the title, with whose recipe it is, and below it how long each C was searched for: the paper's searches, whose
    scores may stand beside ours, were longer."""
    recipe = f", recipe {result['recipe']}" if "recipe" in result else ""
    found = [row["controller"] for row in result["rows"] if "controller" in row]
    efforts = list(dict.fromkeys(_effort(controller) for controller in found))
    return f"{style.called(result['task'])}: {what}{recipe}" + (f"\n(ours: {' or '.join(efforts)} each)" if efforts else "")


def _effort(controller: dict[str, Any]) -> str:
    """Returns how long a C was searched for, in words."""
    parts = []
    if iterations := controller.get("ppo_iterations", 0):
        parts.append(f"{iterations:,} iterations of PPO")
    if steps := controller.get("max_steps", 0):
        parts.append(f"{steps / 1e6:g} million steps of candidates")
    elif generations := controller["num_generations"]:
        parts.append(f"{generations:,} generations of {controller['population_size']:,} candidates")
    return " and ".join(parts)


def draw_temperatures(result: dict[str, Any], path: Path) -> None:
    """Draws each temperature's mean in the dream and in reality on a row of its own, the paper's beside ours."""
    rows = result["rows"]
    figure = style.figure(9, 1.9 + 0.85 * len(rows))
    axis = figure.subplots()
    for index, row in enumerate(rows):
        for shift, colour, who, dream, real in (
            (-0.16, style.OURS, "ours", row["dream"], row["real"]),
            (0.16, style.ORIGINAL, "paper", _published(row["paper_dream"]), _published(row["paper_real"])),
        ):
            if dream is None or real is None:
                continue
            y = index + shift
            axis.plot([dream["mean"], real["mean"]], [y, y], color=colour, linewidth=1, alpha=0.6)
            for where, found, face in (("dream", dream, "white"), ("real", real, colour)):
                label = f"{who}, {'in the dream it learned in' if where == 'dream' else 'in the real environment'}"
                axis.errorbar(
                    found["mean"],
                    y,
                    xerr=_half_interval(found),
                    fmt="o" if who == "ours" else "D",
                    color=colour,
                    markerfacecolor=face,
                    capsize=3,
                    label=label if label not in axis.get_legend_handles_labels()[1] else None,
                )
    axis.axvline(result["random"]["mean"], color=style.RANDOM, linestyle=":", label="random policy, real environment")
    axis.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set(xlabel="return, with our 95% intervals of the means", xlim=(0, None))
    axis.grid(axis="y", visible=False)
    axis.set_title(_title(result, "what C scores by its dream's temperature τ"))
    style.legend_below(figure, 2)
    save(figure, path)


def draw_dropouts(result: dict[str, Any], path: Path) -> None:
    """Draws the scores in the dream and in reality against what the dream leaves out, the published ones beside ours."""
    rows = result["rows"]
    figure = style.figure(9, 5.5)
    axis = figure.subplots()
    places = [row["dropout"] for row in rows]
    for where, colour, face, label in (
        ("dream", style.DREAM, "white", "ours, in the dream it learned in"),
        ("real", style.OURS, style.OURS, "ours, in the real environment"),
    ):
        means, spread = [row[where]["mean"] for row in rows], [_half_interval(row[where]) for row in rows]
        axis.errorbar(places, means, yerr=spread, fmt="o-", color=colour, markerfacecolor=face, capsize=3, label=label)
    if paper := [row["paper_real"] for row in rows if row["paper_real"]]:
        label = "Dropout's Dream Land, in the real environment"
        axis.plot(places, [score[0] for score in paper], "D--", color=style.ORIGINAL, label=label)
    axis.axhline(result["random"]["mean"], color=style.RANDOM, linestyle=":", label="random policy, real environment")
    axis.set(xlabel="share of M that a dream leaves out", ylabel="return, with our 95% intervals of the means")
    axis.set_title(_title(result, "what C scores by what its dream leaves out"))
    style.legend_below(figure, 2)
    save(figure, path)


def _published(score: list[float] | None) -> dict[str, Any] | None:
    """Returns the paper's mean as a row of ours, without an interval."""
    return score and {"mean": score[0], "ci95": None}  # type: ignore[return-value]


def draw_bars(result: dict[str, Any], path: Path, title: str) -> None:
    """Draws each row's mean in reality as a bar, the paper's beside it, where it has one."""
    rows = result["rows"]
    paper = any(row.get("paper_real") for row in rows)
    figure = style.figure(9, 2.1 + 0.85 * len(rows))
    axis = figure.subplots()
    height = 0.38 if paper else 0.6
    ours, theirs = "ours, with the 95% interval of the mean", "paper"
    for index, row in enumerate(rows):
        y, mean = index - (height / 2 if paper else 0), row["real"]["mean"]
        axis.barh(y, mean, height, xerr=_half_interval(row["real"]), color=style.OURS, capsize=4, label=ours)
        if row.get("paper_real"):
            axis.barh(
                y + height, row["paper_real"][0], height, color=style.ORIGINAL, hatch="//", edgecolor="white", label=theirs
            )
    axis.axvline(0, color=style.BLACK, linewidth=0.8)
    axis.axvline(result["random"]["mean"], color=style.RANDOM, linestyle=":", label="random policy")
    axis.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="return in the real environment")
    axis.set_title(_title(result, title))
    style.legend_below(figure, 3)
    save(figure, path)


#: Whose published scores stand beside ours: a colour and a mark each, in the order of their coming.
OTHERS = ((style.ORIGINAL, "D"), (style.GREEN, "s"), (style.PURPLE, "^"), (style.VERMILION, "v"))


def draw_robustness(result: dict[str, Any], path: Path) -> None:
    """Draws each row's mean as a bar, that of the augmented agent below it, the published means of others as marks on them."""
    rows = result["rows"]
    bars = {"real": ("ours", 0.6), **({"augmented": ("ours, augmented", 1.0)} if "augmented" in rows[0] else {})}
    height = 0.6 / len(bars)
    figure = style.figure(9, 2.3 + (0.4 + 0.2 * len(bars)) * len(rows))
    axis = figure.subplots()
    names = list(dict.fromkeys(score["who"] for row in rows for score in row["published"]))
    marks = {who: OTHERS[number % len(OTHERS)] for number, who in enumerate(names)}
    for y, row in enumerate(rows):
        for number, (name, (who, alpha)) in enumerate(bars.items()):
            place, label = y + (number - (len(bars) - 1) / 2) * height, f"{who}, with the 95% interval of the mean"
            spread = _half_interval(row[name])
            axis.barh(place, row[name]["mean"], height, xerr=spread, color=style.OURS, alpha=alpha, capsize=4, label=label)
        for score in row["published"]:
            colour, mark = marks[score["who"]]
            axis.plot(score["mean"], y, mark, color=colour, markeredgecolor="white", markersize=10, label=score["who"])
    axis.axvline(0, color=style.BLACK, linewidth=0.8)
    axis.set_yticks(range(len(rows)), [row["row"] for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="return in the real environment, of agents of the plain game")
    axis.set_title(f"{style.called(result['task'])}: what an agent scores by how its game looks")
    style.legend_below(figure, 3)
    save(figure, path)
