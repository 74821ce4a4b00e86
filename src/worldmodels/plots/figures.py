"""How every picture is saved: beside and renamed, without a display, the same bytes for the same data."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from worldmodels.base.files import written_beside

matplotlib.use("Agg")

DPI = 120


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as .png or .svg, whichever ``path`` ends in."""
    kind = path.suffix.removeprefix(".")
    with written_beside(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=DPI, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else None)
    return path
