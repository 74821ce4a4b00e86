"""From what a person holds to the environment's action, and what that is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.base.errors import UserError
from worldmodels.base.types import Floats
from worldmodels.envs.choices import Choose
from worldmodels.envs.task import Task


def act(task: Task, held: Mapping[str, float], before: Floats, env: gym.Env[Any, Any] | None) -> Floats:
    """Returns a person's action, float32 [A].

    Args:
        held: how far each of the task's keys is down, 0 to 1; of an axis of a gamepad anything between.
        before: the action of the step before, float32 [A].
        env: the game; None in the dream.
    """
    wanted = np.zeros(task.action_size)
    for name in held.keys() & task.play.keys.keys():
        strength = held[name] if not task.choices else float(held[name] >= 0.5)
        wanted += strength * np.asarray(task.play.keys[name])
    if task.choices:
        return Choose(task.choices)(wanted.astype(np.float32))
    if task.play.ease is not None:
        return task.play.ease(before, wanted.astype(np.float32), env)
    ramp = task.play.key_ramp
    moved: Floats = (before + np.clip(wanted - before, -ramp, ramp)).astype(np.float32)
    return moved


def action_names(task: Task) -> tuple[str, ...]:
    """Returns what the action's components are called, A of them. Raises `UserError` for a task that names more or fewer."""
    names = task.play.names or tuple(f"{'option' if task.choices else 'action'} {i + 1}" for i in range(task.action_size))
    if len(names) != task.action_size:
        raise UserError(f"{task.name}: play.names has {len(names)} names; an action has {task.action_size} components")
    return names


def what_keys_do(task: Task) -> list[tuple[str, str]]:
    """Returns the task's keys, those of one meaning together, and what they are for: ("left, right", "steering")."""
    names = action_names(task)
    found: dict[str, list[str]] = {}
    for key, adds in task.play.keys.items():
        found.setdefault(", ".join(names[i] for i, value in enumerate(adds) if value) or "nothing", []).append(key)
    return [(", ".join(keys), meaning) for meaning, keys in found.items()]
