"""How true a dream is, as a picture: returns in both worlds, and M's error against the horizon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from worldmodels.plots import style
from worldmodels.plots.figures import save
from worldmodels.plots.memory import draw_errors


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws the policies' returns in both worlds, and M's error against the horizon."""
    has_policies = bool(result["policies"])
    figure = style.figure(13 if has_policies else 7, 6)
    right = figure.subplots(1, 2)[1] if has_policies else figure.subplots()
    if has_policies:
        _draw_policies(figure.axes[0], result)
    draw_errors(right, result["open_loop_error"])
    figure.suptitle(f"{style.called(result['task'])}: how true the dream is")
    save(figure, path)


def _draw_policies(left: Axes, result: dict[str, Any]) -> None:
    """Draws the policies' returns in both worlds."""
    highest = 0.0
    for index, row in enumerate(result["policies"]):
        x, y = row["real"]["mean"], row["dream"]["mean"]
        spread = [abs(row[world]["ci95"][1] - row[world]["mean"]) for world in ("real", "dream")]
        marker = style.MARKERS[index % len(style.MARKERS)]
        colour = style.EACH[index % len(style.EACH)]
        face = colour if index < len(style.EACH) else "white"
        drawn: dict[str, Any] = {"fmt": marker, "color": colour, "markerfacecolor": face, "elinewidth": 1}
        left.errorbar(x, y, xerr=spread[0], yerr=spread[1], label=row["policy"], **drawn)
        highest = max(highest, x, y)
    left.plot([0, highest], [0, highest], color=style.GREY, linewidth=1, linestyle="--", label="the same in both")
    left.set(xlabel="return in the real environment", ylabel=f"return in the dream, temperature {result['temperature']:g}")
    left.set_title("Policies in both worlds, with 95% intervals of the means")
    left.legend(fontsize=11)
