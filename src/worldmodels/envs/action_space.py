"""The space of a task's actions, asked of its environment once a process."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.envs.task import Task
from worldmodels.runs import task_file

_known: dict[tuple[str, str], gym.Space[Any]] = {}


def action_space_of(task: Task) -> gym.Space[Any]:
    """Returns a copy of the space, with a random generator of its own. The first call makes an environment and closes it
    without an episode; what only starts with `reset`, as TakeCover's game does, is not started. Of a task whose
    facts lie in its folder it is the range of the actions there."""
    facts = task_file.known.get(task.name)
    if facts is not None:
        return gym.spaces.Box(np.array(facts.lows, np.float32), np.array(facts.highs, np.float32))
    key = (task.env_id, repr(sorted(task.env_kwargs.items())))
    if key not in _known:
        env = task.make_env()
        _known[key] = env.action_space
        env.close()
    return copy.deepcopy(_known[key])
