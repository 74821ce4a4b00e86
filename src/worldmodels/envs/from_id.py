"""A task made of a Gymnasium id alone."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from typing import Any

from worldmodels.base.errors import UserError
from worldmodels.config import ReadConfig
from worldmodels.envs.any_env import read_defaults
from worldmodels.envs.plugins import GROUP
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Task
from worldmodels.runs.env_task import EnvTask, digest, task_name

#: What we say to ``gymnasium.make`` ourselves.
OURS = {"id", "render_mode", "disable_env_checker"}


def describe(env_id: str, env_kwargs: str = "{}", read: ReadConfig | None = None) -> Task:
    """Looks at an environment and returns its task, which can be found by its name from now on.

    Args:
        env_id: the Gymnasium id.
        env_kwargs: arguments of ``gymnasium.make``, as JSON.
        read: how it is read; None: as the environment suggests.

    Raises:
        UserError: what is asked for means nothing, or V cannot see the environment or C not act in it.
    """
    read, kwargs = read or ReadConfig(), _kwargs(env_kwargs)
    found = read_defaults(env_id, kwargs, read)
    env_kwargs, name = json.dumps(kwargs, sort_keys=True), task_name(env_id)
    if kwargs or read != ReadConfig() or entry_points(group=GROUP, name=name):
        name = f"{name}-{digest(env_id, env_kwargs, read)}"
    facts = EnvTask(
        name,
        env_id,
        env_kwargs,
        read,
        found.observation,
        found.choices,
        found.lows,
        found.highs,
        found.max_episode_steps,
        found.render_fps,
        found.solved_at,
    )
    return get_task(facts)


def _kwargs(text: str) -> dict[str, Any]:
    """Reads the arguments of ``gymnasium.make``. Raises `UserError`."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"env_kwargs is not JSON ({error}): {text}") from error
    if not isinstance(found, dict):
        raise UserError(f"env_kwargs is {text}; it must be a JSON object, such as '{{\"gravity\": 5}}'")
    if taken := OURS.intersection(found):
        raise UserError(f"env_kwargs has {', '.join(sorted(taken))}, which is not yours to set; leave it out")
    return found
