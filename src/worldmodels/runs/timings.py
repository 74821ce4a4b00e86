"""How long every stage of a run has worked."""

from __future__ import annotations

import json

from worldmodels.base.errors import BadFileError
from worldmodels.base.logs import rows_so_far
from worldmodels.runs.layout import TIMINGS
from worldmodels.runs.run import Run


def note_time(run: Run, stage: str, seconds: float) -> None:
    """Appends a row to ``timings.jsonl``."""
    with (run.path / TIMINGS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"stage": stage, "seconds": round(seconds, 2)}) + "\n")


def stage_seconds(run: Run) -> dict[str, float]:
    """Returns the working time of every stage that has begun, all its beginnings together. Raises `BadFileError`."""
    total: dict[str, float] = {}
    for row in rows_so_far(run.path / TIMINGS, "seconds"):
        if not isinstance(row.get("stage"), str):
            raise BadFileError(f"{run.path / TIMINGS}: 'stage' is {row.get('stage')!r:.40}; expected a stage's name")
        total[row["stage"]] = round(total.get(row["stage"], 0.0) + row["seconds"], 2)
    return total
