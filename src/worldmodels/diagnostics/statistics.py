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


def short_score(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a table keeps of an evaluation: what `summarise` gave."""
    return {key: result[key] for key in ("num_episodes", "mean", "std", "ci95")}


def score_text(row: Mapping[str, Any], places: int = 0) -> str:
    """Returns a result's mean and standard deviation in words; the mean alone of a single episode."""
    spread = "" if row["std"] is None else f" ± {row['std']:.{places}f}"
    return f"{row['mean']:.{places}f}{spread}"


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Returns Spearman's rank correlation (ties get the mean of their ranks); None where one side is all ties."""

    def ranks(values: Sequence[float]) -> NDArray[np.float64]:
        array = np.asarray(values, np.float64)
        return np.array([(array < x).sum() + ((array == x).sum() - 1) / 2 for x in array])

    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def entropy_explained(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float | None:
    """Returns the share of the entropy of yes/no questions that chances explain: 0 is knowing no more than how often each is
    answered with yes, 1 knowing every answer; below 0 it is worse than that. None where nothing is open.

    Args:
        logits: of the chance of a yes, [R] of one question, or [R, Q].
        truth: the answers, as large.
    """
    rate = truth.mean(0)
    # x log x is 0 at 0.
    entropy = -sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0) for p in (rate, 1 - rate))
    if not np.sum(entropy):
        return None
    left = np.logaddexp(0, np.where(truth, -logits, logits)).mean(0)
    return float(1 - np.sum(left) / np.sum(entropy))


def auc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float | None:
    """Returns the chance that a true one of [R] scores more than a false one, ties counted as half; None where all are true, or
    none."""
    num_true = int(truth.sum())
    if num_true in (0, len(truth)):
        return None
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    above = ranks[truth].sum() - num_true * (num_true + 1) / 2
    return float(above / (num_true * (len(truth) - num_true)))
