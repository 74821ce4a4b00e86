"""A run's evaluations and the logs of its search, read back and checked: whoever draws or tells them finds numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import BadFileError
from worldmodels.base.logs import rows_so_far
from worldmodels.runs.layout import EVALUATION, HISTORY, SCORES
from worldmodels.runs.run import Run

#: The evaluations that a run has.
NAMES = ("random", "dream", "real", "fast")


def evaluations(run: Run) -> dict[str, dict[str, Any]]:
    """Returns the run's scores by name, as far as there are any, with ``returns`` beside what is in the files. Raises
    `BadFileError` as `read_score` does."""
    found = {name: run.path / EVALUATION / f"{name}.json" for name in NAMES}
    return {name: read_score(path) for name, path in found.items() if path.exists()}


def read_score(path: Path) -> dict[str, Any]:
    """Reads an evaluation's result; ``returns`` are those of its episodes. Raises `BadFileError` as `checked_score` does."""
    found = files.read_json(path)
    episodes = found.get("episodes") if isinstance(found, dict) else None
    if not isinstance(episodes, list) or not all(isinstance(episode, dict) for episode in episodes):
        raise BadFileError(f"{path}: not an evaluation: 'episodes' is no list of episodes")
    return checked_score(path, {**found, "returns": [episode.get("return") for episode in episodes]})


def checked_score(path: Path, row: Any) -> dict[str, Any]:
    """Returns a score that was read from ``path`` if it holds finite numbers: ``mean``, ``num_episodes``, ``returns``, at least
    one, and ``std``, ``ci95`` and ``temperature`` unless they are None.

    Raises:
        BadFileError: naming the first that is something else.
    """
    if not isinstance(row, dict):
        raise BadFileError(f"{path}: not an evaluation: {row!r:.40}")
    returns, interval = row.get("returns"), row.get("ci95")
    if not isinstance(returns, list) or not returns:
        raise BadFileError(f"{path}: not an evaluation: it has no episodes")
    values = {name: row.get(name) for name in ("mean", "num_episodes")}
    values |= {name: row[name] for name in ("std", "temperature") if row.get(name) is not None}
    values |= {f"the return of episode {number}": value for number, value in enumerate(returns, 1)}
    if interval is not None:
        low_high = interval if isinstance(interval, list) and len(interval) == 2 else [None, None]
        values |= {"ci95": low_high[0], "the end of ci95": low_high[1]}
    for name, value in values.items():
        _require_number(path, name, value)
    return {"std": None, "ci95": None, **row}


def search_logs(run: Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the rows of the search's generations and of its scorings, as far as there are any; what PPO has led to is scored
    before the first generation.

    Raises:
        BadFileError: a row holds no number where one belongs, or a generation is scored that there is not.
    """
    folder = run.stage_path("controller")
    # In this order: a generation is noted before it is scored, and somebody may be at work.
    scores = numbers_of(folder / SCORES, "generation", "mean")
    history = numbers_of(folder / HISTORY, "generation", "elapsed_seconds", "mean", "min", "max")
    known = {0} | {row["generation"] for row in history}
    for row in scores:
        if row["generation"] not in known:
            raise BadFileError(f"{folder / SCORES}: scores generation {row['generation']}, which {HISTORY} beside it has not")
    return history, scores


def numbers_of(path: Path, *names: str, some: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Returns the rows of a log that may not have begun, after making sure that the values of ``names``, and those of ``some``
    in rows that have them, are finite numbers. Raises `BadFileError`."""
    rows = rows_so_far(path, *names)
    for number, row in enumerate(rows, 1):
        for name in (*names, *(name for name in some if name in row)):
            _require_number(path, f"'{name}' of row {number}", row[name])
    return rows


def _require_number(path: Path, name: str, value: Any) -> None:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise BadFileError(f"{path}: {name} is {value!r:.40}; expected a finite number")
