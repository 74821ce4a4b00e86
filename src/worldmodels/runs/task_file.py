"""The tasks that no package announces: of recordings alone, or made of a Gymnasium id. What is known of them lies in a file
``task.json`` in their runs' and models' folders, and they are found by their names once such a folder was opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.runs.env_task import EnvTask
from worldmodels.runs.layout import TASK
from worldmodels.runs.recorded import RecordedTask

Facts = RecordedTask | EnvTask

#: By name, those that this process knows.
known: dict[str, Facts] = {}


def note(task: Facts) -> Facts:
    """Lets a task be found by its name. Raises `UserError` where the name is another task's."""
    if known.setdefault(task.name, task) != task:
        ids = [found.env_id if isinstance(found, EnvTask) else "recordings" for found in (known[task.name], task)]
        what = " and ".join(ids) if ids[0] != ids[1] else f"{ids[0]}, with other settings or in other versions"
        raise UserError(f"two tasks are called {task.name} ({what}); use another --run, or one of them in a process")
    return task


def reference(name: str) -> str | Facts:
    """Returns what another process needs to find a task: its name, or what is known of it."""
    return known.get(name, name)


def write(name: str, folder: Path) -> None:
    """Leaves what is known of a task in a run's or a model's folder, if no package announces it."""
    if name in known:
        files.write_json(folder / TASK, known[name].to_json())


def note_folder(folder: Path) -> None:
    """Lets the task of a run's or a model's folder be found by its name, if it is described there. Raises `BadFileError`."""
    path = folder / TASK
    if path.exists():
        found: Any = files.read_json(path)
        kind = EnvTask if isinstance(found, dict) and "env_id" in found else RecordedTask
        note(kind.from_json(found, path))
