"""How long a run took to its scores, beside the original: ``python -m tools.progress RUN``.

Writes results/TASK/progress.{json,md,png}, with the rounds that the run goes on from. A score is that of the search's mean, as
`train-controller` measures it (on the environment that training plays); the scorings' own time and steps are left out.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.logs import read_jsonl
from worldmodels.plots import style
from worldmodels.plots.evolution import ORIGINAL
from worldmodels.plots.figures import save
from worldmodels.runs.run import Run
from worldmodels.runs.timings import stage_seconds

ROOT = Path(__file__).resolve().parent.parent
#: What the table asks after, by task.
LEVELS = {"car-racing": (600, 700, 800, 850, 880, 900), "take-cover": (750, 900, 1092)}
#: The original's machine, and what one of its generations plays: 64 candidates, 16 episodes each of 1,000 steps (CarRacing).
ORIGINAL_CORES, ORIGINAL_STEPS = 64, 64 * 16 * 1000


def score_points(run: Run) -> list[dict[str, float]]:
    """Returns a row a scoring: wall clock hours, agent steps and generations before it, of all rounds, and the mean."""
    points = []
    seconds, steps, generations = 0.0, 0, 0
    for part in [*run.ancestors(), run]:
        spent = stage_seconds(part)
        seconds += sum(spent[stage] for stage in ("collect", "vae", "encode", "rnn"))
        # A round has the frames of those before it too; only its own were played in it.
        steps += part.require("collect")["num_frames"] - (
            part.previous.require("collect")["num_frames"] if part.previous else 0
        )
        history = read_jsonl(part.stage_path("controller") / "history.jsonl", "generation", "elapsed_seconds", "steps")
        for score in read_jsonl(part.stage_path("controller") / "scores.jsonl", "generation", "mean"):
            before = history[: int(score["generation"])]
            points.append(
                {
                    "hours": (seconds + (before[-1]["elapsed_seconds"] if before else 0)) / 3600,
                    "agent_steps": steps + sum(row["steps"] for row in before),
                    "generation": generations + score["generation"],
                    "mean": score["mean"],
                }
            )
        seconds += history[-1]["elapsed_seconds"] if history else 0
        steps += sum(row["steps"] for row in history)
        generations += len(history)
    return points


def first_to(points: list[dict[str, float]], level: float) -> dict[str, float] | None:
    """Returns the first scoring that reached a level; None if none did."""
    return next((point for point in points if point["mean"] >= level), None)


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""
    cores = result["cores"]

    def row(who: str, level: float, point: dict[str, float] | None, on: int) -> str:
        if point is None:
            return f"| {level:g} | {who} | not reached | | | |"
        return (
            f"| {level:g} | {who} | {point['hours']:.2f} | {point['hours'] * on:,.1f} | {point['agent_steps'] / 1e6:,.1f} | "
            f"{point['generation']:g} |"
        )

    lines = [
        "| score | who | hours | core hours | agent steps (millions) | generations |",
        "| --: | --- | --: | --: | --: | --: |",
    ]
    for level in result["levels"]:
        lines.append(row(f"ours, {cores} cores", level, first_to(result["ours"], level), cores))
        lines.append(row(f"original, {ORIGINAL_CORES} cores", level, first_to(result["original"], level), ORIGINAL_CORES))
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws score against wall clock, core hours and agent steps, the original's beside ours."""
    figure = style.figure(14, 5.4)
    axes = figure.subplots(1, 3, sharey=True)
    whose = (("ours", result["cores"], style.OURS, "o-"), ("original", ORIGINAL_CORES, style.ORIGINAL, "s--"))
    for axis, key in zip(axes, ("hours", "core hours", "agent steps"), strict=True):
        for name, cores, colour, line in whose:
            of = {"hours": ("hours", 1), "core hours": ("hours", cores), "agent steps": ("agent_steps", 1)}[key]
            x = [point[of[0]] * of[1] for point in result[name]]
            label = f"{name}, {cores} cores"
            axis.plot(x, [point["mean"] for point in result[name]], line, markersize=5, color=colour, label=label)
        axis.set(xscale="log", xlabel=f"{key} (logarithmic)")
    axes[0].set_ylabel("return of the search's mean")
    figure.suptitle(f"{style.called(result['task'])}: what training takes")
    style.legend_below(figure, 2)
    save(figure, path)


def main(path: Path) -> None:
    """Writes the three files."""
    run = Run.open(path)
    original = json.loads(ORIGINAL.read_text(encoding="utf-8"))[run.task]
    result = {
        "task": run.task,
        "scale": run.scale,
        "cores": os.cpu_count(),
        "levels": LEVELS[run.task],
        "ours": score_points(run),
        "original": [
            {"hours": hours, "agent_steps": generation * ORIGINAL_STEPS, "generation": generation, "mean": mean}
            for generation, hours, mean in original
        ],
    }
    folder = ROOT / "results" / run.task
    files.write_json(folder / "progress.json", result)
    files.write_bytes(folder / "progress.md", to_markdown(result).encode())
    draw(result, folder / "progress.png")
    print(to_markdown(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
