"""How true a dream is, as a picture: returns in both worlds, and M's error against the horizon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldmodels.plots.figures import save


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws the policies' returns in both worlds, and M's error against the horizon."""
    has_policies = bool(result["policies"])
    figure = Figure(figsize=(11 if has_policies else 5.5, 4.5))
    right = figure.subplots(1, 2)[1] if has_policies else figure.subplots()
    if has_policies:
        _draw_policies(figure.axes[0], result)
    for name, errors in result["open_loop_error"].items():
        right.plot(range(1, len(errors) + 1), errors, label="M" if name == "m" else name.replace("_", " "))
    right.set(xlabel="steps without looking", ylabel="error of z (root mean square)")
    right.legend(fontsize=8)
    figure.tight_layout()
    save(figure, path)


def _draw_policies(left: Axes, result: dict[str, Any]) -> None:
    """Draws the policies' returns in both worlds."""
    highest = 0.0
    for row in result["policies"]:
        x, y = row["real"]["mean"], row["dream"]["mean"]
        spread = [abs(row[world]["ci95"][1] - row[world]["mean"]) for world in ("real", "dream")]
        left.errorbar(x, y, xerr=spread[0], yerr=spread[1], fmt="o", label=row["policy"])
        highest = max(highest, x, y)
    left.plot([0, highest], [0, highest], color="grey", linewidth=0.8)
    left.set(xlabel="return in the real environment", ylabel=f"return in the dream, τ {result['temperature']:g}")
    left.legend(fontsize=7)
