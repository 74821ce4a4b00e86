"""How every picture looks: Okabe and Ito's colours, one for each meaning, and letters that can be read at half the size.

Importing this module sets matplotlib's defaults for the process that draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.figure import Figure

# Okabe and Ito's colours: people with every kind of colour vision tell them apart. Lines differ in kind as well.
BLACK, GREY = "#000000", "#767676"
ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

#: The same thing has the same colour in every picture.
OURS, ORIGINAL, DREAM, REAL, RANDOM, SOLVED = BLUE, ORANGE, PURPLE, BLUE, GREY, GREEN

#: For things that have no colour of their own, in this order.
EACH = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK, GREY)

MARKERS = "os^Dv<>pX"
#: A line of so many points, or fewer, has a marker on each: a single one is no line.
FEW_POINTS = 3

STYLE: Any = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.labelsize": 13,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "figure.titlesize": 16,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "axes.prop_cycle": cycler(color=EACH[:-1]),
    "svg.hashsalt": "worldmodels",
}
matplotlib.rcParams.update(STYLE)


def figure(width: float, height: float) -> Figure:
    """Returns an empty figure, so many inches wide and high, whose parts are laid out without touching one another."""
    return Figure(figsize=(width, height), layout="constrained")


def few(points: Sequence[float]) -> dict[str, Any]:
    """Returns what a line of so few points needs to be seen: markers."""
    return {"marker": "."} if len(points) <= FEW_POINTS else {}


def called(task: str) -> str:
    """Returns a task's name as a title has it: ``take-cover`` is TakeCover."""
    return "".join(part[:1].upper() + part[1:] for part in task.split("-"))


def legend_below(drawn: Figure, columns: int) -> None:
    """Explains all of a figure's lines once, below its parts."""
    found: dict[str, Artist] = {}
    for axis in drawn.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    drawn.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns)
