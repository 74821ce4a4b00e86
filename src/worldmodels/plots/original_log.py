"""The original's own training logs as curves: what its training program leaves in ``log/``.

*.hist.json       a row a generation: generation, seconds, mean, min, max, std, σ, mean steps, most steps
*.hist_best.json  a row a scoring of the mean: generation, seconds, then "curr" and "best" with their values
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worldmodels.agent.original import CLONE
from worldmodels.base import files
from worldmodels.base.errors import BadFileError
from worldmodels.plots import style

ENDING = ".hist.json"


def original_logs(path: Path) -> list[Path]:
    """Returns the log that a path is, or the logs in a folder, in its folder ``log``, or in those of a clone's two tasks."""
    if path.is_file():
        return [path] if path.name.endswith(ENDING) else []
    folders = (folder / below for folder in (path, *(path / task for task in CLONE)) for below in ("", "log"))
    return [file for folder in folders for file in sorted(folder.glob(f"*{ENDING}"))]


def draw_original_log(log: Path) -> Figure:
    """Draws the population's spread and the scored means against generations and hours. Raises `BadFileError`."""
    rows = _numbers(log, files.read_json(log), 9)
    scored = log.with_name(f"{log.name.removesuffix(ENDING)}.hist_best.json")
    scores = _numbers(scored, [_scoring(row) for row in _rows(scored)], 3) if scored.exists() else np.zeros((0, 3))
    figure = style.figure(12, 5.8)
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, label, column, unit in ((left, "generation", 0, 1.0), (right, "hours", 1, 3600.0)):
        x = rows[:, column] / unit
        axis.fill_between(
            x, rows[:, 3], rows[:, 4], alpha=0.25, linewidth=0, color=style.SKY, label="population, least to most"
        )
        axis.plot(x, rows[:, 2], color=style.SKY, label="population, mean")
        axis.plot(scores[:, column] / unit, scores[:, 2], "o-", color=style.ORIGINAL, label="the search's mean, scored")
        axis.set_xlabel(label)
    left.set_ylabel("return")
    figure.suptitle(f"{log.name.removesuffix(ENDING)}: the original's log")
    style.legend_below(figure, 3)
    return figure


def _rows(path: Path) -> list[Any]:
    found = files.read_json(path)
    if not isinstance(found, list):
        raise BadFileError(f"{path}: holds a {type(found).__name__}; the original's log is a list of rows")
    return found


def _scoring(row: Any) -> Any:
    """Returns a scoring's generation, seconds and score; anything else as it is, for `_numbers` to refuse."""
    is_one = isinstance(row, list) and "curr" in row[:-1]
    return [*row[:2], row[row.index("curr") + 1]] if is_one else row


def _numbers(path: Path, rows: Any, width: int) -> NDArray[np.float64]:
    """Returns rows of so many finite numbers. Raises `BadFileError` naming the row that is none."""
    if not isinstance(rows, list) or not rows:
        raise BadFileError(f"{path}: no rows; the original's log has one a generation")
    for number, row in enumerate(rows):
        good = isinstance(row, list) and len(row) == width and all(type(value) in (int, float) for value in row)
        if not good or not np.isfinite(row).all():
            raise BadFileError(f"{path}: row {number} is not one of {width} finite numbers")
    return np.array(rows, np.float64)
