"""What is known of a task that has no environment, only recordings: a file ``task.json`` in its runs' and models' folders."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldmodels.base.errors import BadFileError


@dataclass(frozen=True)
class RecordedTask:
    """What the recordings say of their task."""

    source: str
    """What the recordings are called: the first part of the task's name."""
    lows: tuple[float, ...]
    """The least value of each action component."""
    highs: tuple[float, ...]
    """The greatest."""
    is_choice: bool
    """Whether an action is a choice: 1 in the component that is chosen, 0 elsewhere."""
    max_episode_steps: int
    """Steps of the longest episode."""
    has_ends: bool
    """Whether an episode ended by itself; if none did, nothing can be learned of ends."""

    @property
    def name(self) -> str:
        """The task's name: tasks that differ in anything have different ones."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return f"{self.source}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    def to_json(self) -> dict[str, Any]:
        """Returns what the file holds."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, found: Any, path: Path) -> RecordedTask:
        """Returns what a file says. Raises `BadFileError`."""
        try:
            lows, highs = ([float(value) for value in found[name]] for name in ("lows", "highs"))
            task = cls(
                found["source"], tuple(lows), tuple(highs), found["is_choice"], found["max_episode_steps"], found["has_ends"]
            )
            good = (
                set(found) == {f.name for f in dataclasses.fields(cls)}
                and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", task.source)
                and 0 < len(lows) == len(highs)
                and all(math.isfinite(low) and low <= high < math.inf for low, high in zip(lows, highs, strict=True))
                and type(task.is_choice) is type(task.has_ends) is bool
                and type(task.max_episode_steps) is int
                and 2 <= task.max_episode_steps <= 1_000_000
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            good = False
        if not good:
            raise BadFileError(f"{path}: not a task of recordings; call 'worldmodels import' again to write it anew")
        return task
