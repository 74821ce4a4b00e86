"""The table of curiosity as a picture: a panel a measure, in it each row's mean and its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodels.plots import style
from worldmodels.plots.figures import save


def draw_curiosity(result: dict[str, Any], path: Path, measures: Mapping[str, tuple[str, str]]) -> None:
    """Draws what was measured.

    Args:
        measures: the table's key of each measure, with its title and how a number is written.
    """
    rows = result["rows"]
    shown = {key: title for key, (title, _) in measures.items() if any(row[key] is not None for row in rows)}
    figure = style.figure(3 + 2.6 * len(shown), 1.9 + 0.55 * len(rows))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axis, (key, title) in zip(panels, shown.items(), strict=True):
        for y, row in enumerate(rows):
            seeds = [seed[key] for seed in row["seeds"] if seed[key] is not None]
            axis.plot(seeds, [y] * len(seeds), "o", color=style.GREY, markersize=5, label="a seed")
            if row[key] is not None:
                axis.plot(row[key]["mean"], y, "D", color=style.OURS, markersize=8, label="mean of the seeds")
        axis.set(xlabel=title)
        axis.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(rows)), [row["label"] for row in rows])
    panels[0].set_ylabel("learned from")
    panels[0].invert_yaxis()
    figure.suptitle(f"{style.called(result['task'])}: what new episodes are worth, by who plays them")
    style.legend_below(figure, 2)
    save(figure, path)
