"""Draws every picture that JSON files under results/ or beside a shipped agent hold all of: ``python -m tools.draw``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.stages.learning import BUSY
from tools import made_by, progress
from tools.keep_results import unpacked
from tools.tables import read_result, shipped_scores
from worldmodels.plots.evolution import draw_curve, draw_returns, draw_scores
from worldmodels.plots.fidelity import draw as draw_fidelity
from worldmodels.plots.figures import save
from worldmodels.plots.table import draw_ablation, draw_temperatures
from worldmodels.runs.run import Run

RESULTS = Path(__file__).resolve().parent.parent / "results"
COLOURS = {"take-cover": "#2b6cb0", "car-racing": "#c05621"}
TITLES = {"take-cover": "TakeCover", "car-racing": "CarRacing"}


def draw_bench() -> Figure:
    """Times the others' way, and the share of the bound, a bar a stage."""
    rows = [row for row in read_result("bench.json")["rows"] if row["task"] and not row["name"].endswith(BUSY)]
    figure = Figure(figsize=(11, 5))
    times, share = figure.subplots(1, 2)
    for axes, key, title in (
        (times, "ratio", "times as fast as the others' way"),
        (share, "fraction_of_bound", "share of what the matrix products allow"),
    ):
        shown = [row for row in rows if row[key] is not None][::-1]
        names = [f"{TITLES[row['task']]}: {row['name']}" for row in shown]
        axes.barh(names, [row[key] for row in shown], color=[COLOURS[row["task"]] for row in shown])
        axes.set_title(title)
        axes.grid(axis="x", alpha=0.3)
    times.set_xscale("log")
    times.axvline(1, color="black", linewidth=0.8)
    share.set_xlim(0, 1)
    figure.tight_layout()
    return figure


def draw_scaling() -> Figure:
    """A generation against the population, and CMA-ES's share against C's size."""
    growth = read_result("scaling.json")
    figure = Figure(figsize=(11, 4.2))
    playing, cma = figure.subplots(1, 2)
    most = max(row["threads"] for row in growth["dream"])
    dream = [row for row in growth["dream"] if row["threads"] == most and row["episodes"] == 4]
    series = [("TakeCover's dream", "take-cover", dream)]
    for workers in sorted({row["workers"] for row in growth["real"]}):
        rows = [row for row in growth["real"] if row["workers"] == workers and row["episodes"] == 1]
        series.append((f"CarRacing, {workers} worker{'s' if workers > 1 else ''}", "car-racing", rows))
    for index, (label, task, rows) in enumerate(series):
        per_step = [1e3 * row["seconds"] / row["steps"] * row["population"] for row in rows]
        playing.plot(
            [row["population"] for row in rows], per_step, "o-" if index < 2 else "s--", color=COLOURS[task], label=label
        )
    playing.set_title("a generation of one 1,000-step episode each (computed)")
    playing.set_xlabel("population")
    playing.set_ylabel("seconds")
    for variant in dict.fromkeys(row["variant"] for row in growth["cma"]):
        rows = [row for row in growth["cma"] if row["variant"] == variant]
        cma.plot([row["parameters"] for row in rows], [row["seconds"] for row in rows], "o-", label=variant)
    cma.set_title("CMA-ES's own share of a generation")
    cma.set_xlabel("parameters of C")
    cma.set_ylabel("seconds")
    for axes in (playing, cma):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    return figure


def draw_shipped(task: str) -> Figure:
    """The shipped agent's scores and chance's."""
    return draw_returns({name: result["returns"] for name, result in shipped_scores(task).items()}, TITLES[task])


def save_kept(task: str, scale: str, draw: Callable[[Run], Figure | None], path: Path) -> None:
    """A picture of a kept run."""
    with unpacked(RESULTS / task / scale) as run:
        figure = draw(run)
    assert figure is not None
    save(figure, path)


def save_shipped(task: str, path: Path) -> None:
    """A shipped agent's scores."""
    save(draw_shipped(task), path)


def save_result(name: str, draw: Callable[[Any, Path], Any], path: Path) -> None:
    """A picture of a JSON file under results/."""
    draw(read_result(name), path)


#: The pictures by name under results/, each with what draws it into a file.
PICTURES: dict[str, Callable[[Path], Any]] = {
    "bench.png": lambda path: save(draw_bench(), path),
    "scaling.png": lambda path: save(draw_scaling(), path),
    "car-racing/progress.png": partial(save_result, "car-racing/progress.json", progress.draw),
    "take-cover/shipped/fidelity.png": partial(save_result, "take-cover/shipped/fidelity.json", draw_fidelity),
    "take-cover/temperature/table.png": partial(save_result, "take-cover/temperature/table.json", draw_temperatures),
    "take-cover/ablation/table.png": partial(save_result, "take-cover/ablation/table.json", draw_ablation),
    "car-racing/ablation/table.png": partial(save_result, "car-racing/ablation/table.json", draw_ablation),
}
for task in TITLES:
    PICTURES[f"{task}/shipped/scores.png"] = partial(save_shipped, task)
    for scale in ("smoke", "laptop"):
        PICTURES[f"{task}/{scale}/curve.png"] = partial(save_kept, task, scale, draw_curve)
        PICTURES[f"{task}/{scale}/scores.png"] = partial(save_kept, task, scale, draw_scores)


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        draw(RESULTS / name)
    made_by.record(f"results/{name}" for name in PICTURES)
