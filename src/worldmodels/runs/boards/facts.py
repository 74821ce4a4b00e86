"""What a board is told of a run beside its curves: its facts, and a name that it keeps."""

from __future__ import annotations

import uuid
from pathlib import Path

from worldmodels.base import files
from worldmodels.config import Config
from worldmodels.runs.run import Run


def kept_id(folder: Path, stage: str) -> str:
    """Returns what a stage's curves are called elsewhere, the same whenever the stage goes on: kept in a file of the run."""
    path = folder / f"{stage}.id"
    if not path.exists():
        files.write_bytes(path, uuid.uuid4().hex[:12].encode())
    return path.read_text(encoding="ascii").strip()


def facts(run: Run, settings: Config) -> dict[str, object]:
    """Returns what a board says of a run: its task, scale, recipe and seed, and the stage's settings."""
    return {"task": run.task, "scale": run.scale, "recipe": run.recipe, "seed": run.seed, **settings.to_dict()}
