"""How things are timed, and what a row of the result holds."""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

#: Turns that each kind of work gets.
ROUNDS = 3
#: How long busy processes take to begin.
BUSY_START_SECONDS = 0.3


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


def best_of(rows: Sequence[Row]) -> Row:
    """Returns one row of several of the same: the best value, baseline and bound."""
    first = rows[0]
    if first.unit.startswith("s/"):
        return min(rows, key=lambda row: row.value)
    baselines, bounds = ([getattr(row, name) for row in rows] for name in ("baseline", "bound"))
    return dataclasses.replace(
        first,
        value=max(row.value for row in rows),
        baseline=None if first.baseline is None else max(baselines),
        bound=None if first.bound is None else max(bounds),
    )


def synchronise(device: str) -> None:
    """Waits until the device has done all its work: a GPU's calls return before that."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


Work = Callable[[], float]


#: What a busy process does: it only computes, until its parent is gone.
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10**6))"


def rate_beside(num_busy: int, work: Work, seconds: float) -> float:
    """Returns a work's units per second, on average, beside so many processes that only compute. Work on the CPU."""
    busy = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(num_busy)]
    try:
        time.sleep(BUSY_START_SECONDS)
        start, units = time.perf_counter(), 0.0
        while (elapsed := time.perf_counter() - start) < seconds or not units:
            units += work()
        return units / elapsed
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


def rates(works: Sequence[Work], seconds: Sequence[float], device: str = "cpu") -> list[float]:
    """Returns units per second of several kinds of work: for each the best round's median, after one that is not counted.

    They take turns, a few rounds long, and the best round counts: others at work on the machine only ever slow it down. On a
    virtual machine threads that exchange data were a third slower for seconds at a time, while a matrix product was not.

    Args:
        works: each does one repetition and returns how many units it was.
        seconds: how long each goes on; at least one repetition a round.
        device: where the work happens.
    """
    best = [0.0] * len(works)
    for work in works:
        work()
    synchronise(device)
    for _ in range(ROUNDS):
        for index, (work, share) in enumerate(zip(works, seconds, strict=True)):
            end = time.perf_counter() + share / ROUNDS
            measured: list[float] = []
            while True:
                start = time.perf_counter()
                units = work()
                synchronise(device)
                now = time.perf_counter()
                measured.append(units / (now - start))
                if now >= end:
                    break
            best[index] = max(best[index], statistics.median(measured))
    return best
