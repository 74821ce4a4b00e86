"""How things are timed, and what a row of the result holds."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

#: Turns that each kind of work gets.
ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One measurement. ``baseline`` is the other way, measured in the same run; ``bound`` is what the matrix products allow.

    ``task`` is whose stage it is, empty for the machine's own. ``value``, ``baseline`` and ``bound`` are all in ``unit``; None
    where there is none.
    """

    task: str
    name: str
    value: float
    unit: str
    note: str
    baseline: float | None = None
    bound: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the row as JSON values, with the ratio to the baseline and the fraction of the bound (both pure numbers)."""
        row = dataclasses.asdict(self)
        note = row.pop("note")
        return {
            "task": row["task"],
            "name": row["name"],
            "value": row["value"],
            "unit": row["unit"],
            "baseline": row["baseline"],
            "ratio": self.value / self.baseline if self.baseline else None,
            "bound": row["bound"],
            "fraction_of_bound": self.value / self.bound if self.bound else None,
            "note": note,
        }


def synchronise(device: str) -> None:
    """Waits until the device has done all its work: a GPU's calls return before that."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


Work = Callable[[], float]


def rates(works: Sequence[Work], seconds: Sequence[float], device: str = "cpu") -> list[float]:
    """Returns units per second of several kinds of work: for each the median over repetitions, after one that is not counted.

    They take turns, a few rounds long, so that a machine that others use, or that slows down as it heats, treats all of
    them alike: single figures may suffer, ratios hardly do.

    Args:
        works: each does one repetition and returns how many units it was.
        seconds: how long each goes on; at least one repetition a round.
        device: where the work happens.
    """
    found: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    synchronise(device)
    for _ in range(ROUNDS):
        for work, share, measured in zip(works, seconds, found, strict=True):
            end = time.perf_counter() + share / ROUNDS
            while True:
                start = time.perf_counter()
                units = work()
                synchronise(device)
                now = time.perf_counter()
                measured.append(units / (now - start))
                if now >= end:
                    break
    return [statistics.median(measured) for measured in found]
