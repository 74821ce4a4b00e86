"""A search that goes through its recorded generations again, its returns to the best mean included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.base.errors import BadFileError
from worldmodels.base.logs import rows_so_far
from worldmodels.runs.layout import HISTORY, SCORES
from worldmodels.search.strategy import Solution, Strategy


@dataclass
class BestMean:
    """The mean that has scored best."""

    returns: bool
    """Whether the search returns to it from a mean that has not scored better."""
    score: float = -np.inf
    mean: Solution | None = None

    def take(self, search: Strategy, score: float) -> bool:
        """Takes the score of the search's mean; returns whether it is the best so far."""
        if score > self.score:
            self.score, self.mean = score, search.mean.copy()
            return True
        if self.returns and self.mean is not None:
            search.return_to(self.mean)
        return False


def replayed(
    search: Strategy, folder: Path, best: BestMean, rows: Sequence[Mapping[str, Any]] | None = None
) -> Iterator[Mapping[str, Any]]:
    """Goes through the recorded generations in ``controller/``; yields each one's row when the search is behind it.

    Args:
        search: before its first generation.
        best: takes the recorded scores.
        rows: of the history; None: those in the folder.

    Raises:
        BadFileError: a generation is missing, or a row is none.
    """
    history = folder / HISTORY
    scores = {row["generation"]: row["mean"] for row in rows_so_far(folder / SCORES, "generation", "mean", "std")}
    if 0 in scores:
        best.take(search, scores[0])
    for row in rows_so_far(history, "generation", "elapsed_seconds") if rows is None else rows:
        try:
            search.replay(np.array(row["fitness"], np.float64))
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise BadFileError(
                f"{history}: generation {row['generation']} holds no fitness of its candidates ({error})"
            ) from error
        if row["generation"] != search.generation:
            raise BadFileError(f"{history}: generation {search.generation} is missing")
        if search.generation in scores:
            best.take(search, scores[search.generation])
        yield row
