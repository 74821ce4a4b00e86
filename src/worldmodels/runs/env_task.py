"""What is known of a task that was made of a Gymnasium id: a file ``task.json`` in its runs' and models' folders."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.types import MAX_TASK_NUMBER
from worldmodels.config import ReadConfig

#: A step between a word and the next one in CamelCase.
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def task_name(env_id: str) -> str:
    """Returns what a task is called whose environment has this Gymnasium id: ``CartPole-v1`` → ``cart-pole``. Where letters are
    left out that are not Latin, a number tells it from others."""
    plain = re.sub(r"-v\d+$", "", env_id.split(":")[-1])
    name = re.sub(r"[^a-z0-9._]+", "-", _WORDS.sub("-", plain).lower()).strip("-._") or "env"
    return name if plain.isascii() else f"{name}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class EnvTask:
    """A task made of a Gymnasium id: what was asked for, and what the environment said when the task was made."""

    name: str
    env_id: str
    env_kwargs: str
    """The arguments of ``gymnasium.make``, as JSON."""
    read: ReadConfig
    """As it was asked for."""
    observation: str
    """What is seen of the environment, found out; empty: its frames and actions are V's and C's as they are."""
    choices: tuple[int, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    max_episode_steps: int
    render_fps: int
    solved_at: float | None

    def to_json(self) -> dict[str, Any]:
        """Returns what the file holds."""
        return {**dataclasses.asdict(self), "env_kwargs": json.loads(self.env_kwargs), "read": self.read.to_dict()}

    @classmethod
    def from_json(cls, found: dict[str, Any], path: Path) -> EnvTask:
        """Returns what a file says. Raises `BadFileError`."""
        try:
            read = ReadConfig.from_dict(found["read"], str(path))
            lists = {name: tuple(found[name]) for name in ("choices", "lows", "highs")}
            task = cls(**{**found, **lists, "read": read, "env_kwargs": json.dumps(found["env_kwargs"], sort_keys=True)})
            good = (
                all(isinstance(value, str) for value in (task.name, task.env_id, task.observation))
                and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", task.name)
                and isinstance(found["env_kwargs"], dict)
                and 0 < len(task.lows) == len(task.highs)
                and all(type(n) is int and n >= 2 for n in task.choices)
                and sum(task.choices) in (0, len(task.lows))
                and all(math.isfinite(low) and low <= high < math.inf for low, high in zip(task.lows, task.highs, strict=True))
                and all(
                    type(n) is int and low <= n <= MAX_TASK_NUMBER
                    for n, low in ((task.max_episode_steps, 2), (task.render_fps, 1))
                )
                and (task.solved_at is None or math.isfinite(task.solved_at))
            )
        except (KeyError, TypeError, ValueError, OverflowError, UserError):
            good = False
        if not good:
            raise BadFileError(f"{path}: not a task made of an environment; put the run's own file back")
        return task


def digest(env_id: str, env_kwargs: str, read: ReadConfig) -> str:
    """Returns a short hash of what a task was asked for."""
    text = json.dumps([env_id, json.loads(env_kwargs), read.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:6]
