"""Draws every picture that JSON files under results/ or beside a shipped agent hold all of: ``python -m tools.draw``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from benchmarks.stages.learning import BUSY
from tools import made_by, progress
from tools.keep_results import unpacked
from tools.tables import read_result, shipped_scores
from worldmodels.experiments.curiosity import MEASURES
from worldmodels.experiments.departures import draw_departures
from worldmodels.experiments.table import DRAW
from worldmodels.experiments.transfer import draw_transfer
from worldmodels.plots import style
from worldmodels.plots.curiosity import draw_curiosity
from worldmodels.plots.evolution import draw_curve, draw_returns, draw_scores
from worldmodels.plots.fidelity import draw as draw_fidelity
from worldmodels.plots.figures import save
from worldmodels.plots.table import draw_robustness
from worldmodels.runs.run import Run

RESULTS = Path(__file__).resolve().parent.parent / "results"
#: How the name of the bench's second row of a dream ends.
NAIVE = ", naive loop"
#: Scores that lie so close, in steps, have one label in the picture of the recipes.
CLOSE_STEPS = 120
COLOURS = {"take-cover": style.BLUE, "car-racing": style.ORANGE}


def _against(row: dict[str, Any], key: str) -> str:
    """Returns what a row measures, and, of a dream's times as fast, beside what."""
    name = str(row["name"]).removesuffix(NAIVE)
    if key != "ratio" or name != "dream":
        return name
    return "dream, against a naive loop" if row["name"].endswith(NAIVE) else "dream, against one episode"


def draw_bench() -> Figure:
    """Times the others' way, and the share of the bound, a bar a stage."""
    rows = [row for row in read_result("bench.json")["rows"] if row["task"] and not row["name"].endswith(BUSY)]
    figure = style.figure(15, 8)
    times, share = figure.subplots(1, 2)
    for axes, key, title, unit in (
        (times, "ratio", "Speed against the others' way", "times as fast (logarithmic)"),
        (share, "fraction_of_bound", "Speed against the hardware's bound", "share of the matrix products' speed"),
    ):
        # The naive loop is another baseline of the same dream, which has one share of its bound.
        twice = [] if key == "ratio" else [row for row in rows if row["name"].endswith(NAIVE)]
        shown = [row for row in rows if row[key] is not None and row not in twice][::-1]
        names = [f"{style.called(row['task'])}: {_against(row, key)}" for row in shown]
        axes.barh(names, [row[key] for row in shown], color=[COLOURS[row["task"]] for row in shown])
        for y, row in enumerate(shown):
            text = f" {row[key]:.1f}×" if key == "ratio" else f" {row[key]:.0%}"
            axes.text(row[key], y, text, va="center", fontsize=12)
        axes.set_title(title)
        axes.set_xlabel(unit)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    times.set_xscale("log")
    times.set_xlim(right=2 * times.get_xlim()[1])
    times.axvline(1, color=style.BLACK, linewidth=1.5)
    times.set_xlim(left=0.8)
    times.xaxis.set_minor_locator(NullLocator())
    ticks = [1, 3, 10, 30, 100]
    times.set_xticks(ticks, [f"{tick}×" for tick in ticks])
    share.set_xlim(0, 1)
    share.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def draw_scaling() -> Figure:
    """A generation against the population, and CMA-ES's share against C's size."""
    growth = read_result("scaling.json")
    figure = style.figure(13, 5.8)
    playing, cma = figure.subplots(1, 2)
    most = max(row["threads"] for row in growth["dream"])
    dream = [row for row in growth["dream"] if row["threads"] == most and row["episodes"] == 4]
    series = [("TakeCover's dream", "take-cover", dream)]
    for workers in sorted({row["workers"] for row in growth["real"]}):
        rows = [row for row in growth["real"] if row["workers"] == workers and row["episodes"] == 1]
        series.append((f"CarRacing, {workers} worker{'s' if workers > 1 else ''}", "car-racing", rows))
    for (label, task, rows), line in zip(series, ("o-", "s-", "^--"), strict=True):
        per_step = [1e3 * row["seconds"] / row["steps"] * row["population"] for row in rows]
        playing.plot([row["population"] for row in rows], per_step, line, color=COLOURS[task], label=label)
    playing.set_title("A generation of one 1,000-step episode each (computed)")
    playing.set_xlabel("population (logarithmic)")
    for index, variant in enumerate(dict.fromkeys(row["variant"] for row in growth["cma"])):
        rows = [row for row in growth["cma"] if row["variant"] == variant]
        x, y = [row["parameters"] for row in rows], [row["seconds"] for row in rows]
        cma.plot(x, y, f"{style.MARKERS[index]}-", label=variant)
    cma.set_title("CMA-ES's own share of a generation")
    cma.set_xlabel("parameters of C (logarithmic)")
    for axes in (playing, cma):
        axes.set_ylabel("seconds (logarithmic)")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend()
    return figure


def draw_recipes() -> Figure:
    """TakeCover by the dream's temperature: what C scores in the dream it learned in, and in the game, by recipe."""
    tables = {
        "best": "take-cover/temperature/table.json",
        "original": "take-cover/temperature-original/table.json",
        "original, V of 7,000 steps": "take-cover/temperature-original-7000/table.json",
    }
    colours = dict(zip([*tables, "paper"], (style.OURS, style.DREAM, style.VERMILION, style.ORIGINAL), strict=True))
    offsets = dict(zip([*tables, "paper"], ((0, 9), (-12, -9), (-12, -9), (10, 2)), strict=True))
    rows = {recipe: read_result(name)["rows"] for recipe, name in tables.items()}
    scores = {
        recipe: [(row["label"], row["dream"]["mean"], row["real"]["mean"]) for row in found] for recipe, found in rows.items()
    }
    published = [row for row in rows["original"] if row["paper_real"]]
    scores["paper"] = [(row["label"], row["paper_dream"][0], row["paper_real"][0]) for row in published]
    figure = style.figure(9, 6.5)
    axes = figure.subplots()
    for (recipe, found), marker in zip(scores.items(), style.MARKERS, strict=False):
        _, dream, real = zip(*found, strict=True)
        label = "the paper's agents" if recipe == "paper" else f"ours, recipe {recipe}"
        axes.plot(dream, real, f"{marker}-", color=colours[recipe], label=label)
        places: dict[tuple[float, float], list[str]] = {}  # those that score much the same have one label
        for temperature, x, y in found:
            place = next((near for near in places if max(abs(near[0] - x), abs(near[1] - y)) < CLOSE_STEPS), (x, y))
            places.setdefault(place, []).append(temperature.removeprefix("τ "))
        for place, temperatures in places.items():
            words, offset = "\n".join(f"τ {temperature}" for temperature in temperatures), offsets[recipe]
            side = "bottom" if offset[1] > 0 else "top"
            written = axes.annotate(words, place, xytext=offset, textcoords="offset points", color=colours[recipe])
            written.set(fontsize=10, va=side)
    most = max(dream for found in scores.values() for _, dream, _ in found)
    axes.plot([0, most], [0, most], ":", color=style.GREY, label="as good in the game as in the dream")
    axes.axhline(read_result(tables["original"])["random"]["mean"], color=style.RANDOM, label="random policy")
    axes.set(xlabel="steps survived in the dream", ylabel="steps survived in the game", xlim=(0, 2300), ylim=(0, 1400))
    axes.set_title("TakeCover: what cold dreams teach")
    style.legend_below(figure, 3)
    return figure


def draw_shipped(task: str) -> Figure:
    """The shipped agent's scores and chance's."""
    return draw_returns({name: result["returns"] for name, result in shipped_scores(task).items()}, task)


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
    "take-cover/temperature/table.png": partial(save_result, "take-cover/temperature/table.json", DRAW["temperature"]),
    "take-cover/temperature-original/table.png": partial(
        save_result, "take-cover/temperature-original/table.json", DRAW["temperature"]
    ),
    "take-cover/temperature-original-7000/table.png": partial(
        save_result, "take-cover/temperature-original-7000/table.json", DRAW["temperature"]
    ),
    "take-cover/temperature/recipes.png": lambda path: save(draw_recipes(), path),
    "take-cover/departures/table.png": partial(save_result, "take-cover/departures/table.json", draw_departures),
    "take-cover/departures-laptop/table.png": partial(save_result, "take-cover/departures-laptop/table.json", draw_departures),
    "take-cover/optimizers/table.png": partial(save_result, "take-cover/optimizers/table.json", DRAW["optimizers"]),
    "take-cover/ablation/table.png": partial(save_result, "take-cover/ablation/table.json", DRAW["ablation"]),
    "car-racing/ablation/table.png": partial(save_result, "car-racing/ablation/table.json", DRAW["ablation"]),
    "car-racing/robustness/table.png": partial(save_result, "car-racing/robustness/table.json", draw_robustness),
    "health-gathering/curiosity/table.png": partial(
        save_result, "health-gathering/curiosity/table.json", partial(draw_curiosity, measures=MEASURES)
    ),
    "health-gathering/transfer/table.png": partial(save_result, "health-gathering/transfer/table.json", draw_transfer),
    "take-cover/robustness/table.png": partial(save_result, "take-cover/robustness/table.json", draw_robustness),
}
for task in COLOURS:
    PICTURES[f"{task}/shipped/scores.png"] = partial(save_shipped, task)
    for scale in ("smoke", "laptop"):
        PICTURES[f"{task}/{scale}/curve.png"] = partial(save_kept, task, scale, draw_curve)
        PICTURES[f"{task}/{scale}/scores.png"] = partial(save_kept, task, scale, draw_scores)


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        draw(RESULTS / name)
    made_by.record(f"results/{name}" for name in PICTURES)
