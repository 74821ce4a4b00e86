"""What the page is told of a task: sizes, keys, bounds, and C's actions. All that the room `web` reads of `Task` is here."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.base.errors import UserError
from worldmodels.base.types import Floats, Frame
from worldmodels.envs.task import Task
from worldmodels.models.controller import layer_sizes, num_parameters


def task_facts(agent: Agent) -> dict[str, Any]:
    """Returns what `worlds.json` says of an agent's task, V, M and C; the page's `WorldFacts` names the same fields.

    Raises:
        UserError: the page cannot play this task's actions.
    """
    task, sizes = agent.task, agent.rnn.sizes
    if sizes.hits != sizes.drawn:
        raise UserError(f"{task.name}: the page draws hits and compares deaths, and this M's dream does neither")
    if sizes.layer_norm:
        raise UserError(f"{task.name}: the page has no layer normalisation, and this M has; train one without --layer-norm")
    low, high = _action_bounds(task)
    return {
        "task": task.name,
        "summary": task.summary,
        "latent": sizes.latent_size,
        "hidden": sizes.hidden_size,
        "action": sizes.action_size,
        "mixtures": sizes.num_mixtures,
        "restart_input": sizes.restart_input,
        "done_head": sizes.done_head,
        "reward_head": sizes.reward_head,
        "hit_damages": list(task.hit_damages) if sizes.hits else [],
        "dream_reward": task.dream_reward,
        "max_steps": task.max_episode_steps,
        "fps": task.play.render_fps,
        "keys": {key: list(push) for key, push in task.play.keys.items()},
        "key_ramp": task.play.key_ramp,
        "low": low,
        "high": high,
        "squash": [] if task.choices else _squash_table(task),
        "choices": list(task.choices),
        "inputs": agent.inputs,
        "layers": layer_sizes(sizes, agent.inputs),
        "bias": task.controller_bias,
        "temperature": agent.temperature,
    }


def solution_size(agent: Agent) -> int:
    """Returns how many numbers a C of this agent has."""
    return num_parameters(agent.rnn.sizes, agent.inputs, agent.task.controller_bias)


def make_env(agent: Agent) -> gym.Env[Frame, Floats]:
    """Makes the task's game."""
    return agent.task.make_env()


def real_steps(agent: Agent, seconds: float) -> int:
    """Returns how many steps of the game take so long."""
    return round(seconds * agent.task.play.render_fps)


def _action_bounds(task: Task) -> tuple[list[float], list[float]]:
    """Returns the least and the largest action, component by component."""
    env = task.make_env()
    space = env.action_space
    env.close()
    assert isinstance(space, gym.spaces.Box)
    return [float(x) for x in space.low], [float(x) for x in space.high]


def _squash_table(task: Task) -> list[list[float]]:
    """Returns what C's outputs -1, 0 and 1 become as actions, for each component.

    Raises:
        UserError: the task's squashing is not linear between these, or mixes components.
    """
    points = np.stack([np.full(task.action_size, x, np.float32) for x in (-1, 0, 1)])
    table = task.squash(points)  # [3, A]
    tried = np.random.default_rng(0).uniform(-1, 1, (64, task.action_size)).astype(np.float32)
    below, above = table[1] + tried * (table[1] - table[0]), table[1] + tried * (table[2] - table[1])
    if not np.allclose(task.squash(tried), np.where(tried < 0, below, above), atol=1e-6):
        raise UserError(f"{task.name}: the page knows only actions that are linear in C's outputs on each side of 0")
    return [[float(value) for value in column] for column in table.T]
