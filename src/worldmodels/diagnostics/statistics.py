"""Means with their intervals, and rank correlations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Two-sided 95% of a normal distribution.
Z95 = 1.959964


def summarise(returns: NDArray[np.float64]) -> dict[str, Any]:
    """Returns the mean, the sample standard deviation and the normal 95% interval of the mean; of a single episode the last two
    are None."""
    mean, std, interval = float(returns.mean()), None, None
    if len(returns) > 1:
        std = float(returns.std(ddof=1))
        half = Z95 * std / math.sqrt(len(returns))
        interval = [mean - half, mean + half]
    return {"num_episodes": len(returns), "mean": mean, "std": std, "ci95": interval}


def score_text(row: Mapping[str, Any], places: int = 0) -> str:
    """Returns a result's mean and standard deviation in words; the mean alone of a single episode."""
    spread = "" if row["std"] is None else f" ± {row['std']:.{places}f}"
    return f"{row['mean']:.{places}f}{spread}"


def short(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a table keeps of a result of `summarise`, or of an evaluation."""
    return {key: result[key] for key in ("num_episodes", "mean", "std", "ci95")}


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Returns Spearman's rank correlation (ties get the mean of their ranks); None where one side is all ties."""

    def ranks(values: Sequence[float]) -> NDArray[np.float64]:
        array = np.asarray(values, np.float64)
        return np.array([(array < x).sum() + ((array == x).sum() - 1) / 2 for x in array])

    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])
