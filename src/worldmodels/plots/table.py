"""The paper's tables as pictures: scores in the dream against scores in reality, and scores by what C sees."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from worldmodels.plots.figures import save


def _half_interval(row: dict[str, Any]) -> float:
    """Half of the 95% interval of a mean; NaN, which is not drawn, of a single episode."""
    return math.nan if row["ci95"] is None else float(row["ci95"][1] - row["mean"])


def draw_temperatures(result: dict[str, Any], path: Path) -> None:
    """Draws each row's mean in reality against its mean in the dream, the paper's points beside ours."""
    figure = Figure(figsize=(6, 5))
    axis = figure.subplots()
    for row in result["rows"]:
        x, y = row["dream"], row["real"]
        axis.errorbar(x["mean"], y["mean"], xerr=_half_interval(x), yerr=_half_interval(y), fmt="o", color="C0")
        axis.annotate(row["label"], (x["mean"], y["mean"]), xytext=(6, 6), textcoords="offset points", color="C0", fontsize=8)
        if row["paper_dream"] and row["paper_real"]:
            axis.plot(row["paper_dream"][0], row["paper_real"][0], "x", color="C1")
            axis.annotate(
                row["label"],
                (row["paper_dream"][0], row["paper_real"][0]),
                xytext=(6, -10),
                textcoords="offset points",
                color="C1",
                fontsize=8,
            )
    axis.plot([], [], "o", color="C0", label="ours, with 95% intervals of the means")
    if any(row["paper_dream"] for row in result["rows"]):
        axis.plot([], [], "x", color="C1", label="paper")
    highest = max(axis.get_xlim()[1], axis.get_ylim()[1])
    axis.plot([0, highest], [0, highest], color="grey", linewidth=0.8, label="a true dream")
    axis.axhline(result["random"]["mean"], color="grey", linestyle=":", label="random policy")
    axis.set(xlabel="return in the dream it was evolved in", ylabel="return in the real environment", title=result["task"])
    axis.legend(fontsize=8)
    save(figure, path)


def draw_ablation(result: dict[str, Any], path: Path) -> None:
    """Draws each row's mean in reality as a bar, the paper's beside it."""
    figure = Figure(figsize=(7, 4))
    axis = figure.subplots()
    for index, row in enumerate(result["rows"]):
        axis.bar(index - 0.2, row["real"]["mean"], 0.4, yerr=_half_interval(row["real"]), color="C0", capsize=3)
        if row["paper_real"]:
            axis.bar(index + 0.2, row["paper_real"][0], 0.4, color="C1")
    axis.bar(0, 0, color="C0", label="ours, with 95% intervals of the means")
    if any(row["paper_real"] for row in result["rows"]):
        axis.bar(0, 0, color="C1", label="paper")
    axis.axhline(result["random"]["mean"], color="grey", linestyle=":", label="random policy")
    axis.set_xticks(range(len(result["rows"])), [row["label"] for row in result["rows"]])
    axis.set(ylabel="return in the real environment", title=result["task"])
    axis.legend(fontsize=8, loc="upper left")
    save(figure, path)
