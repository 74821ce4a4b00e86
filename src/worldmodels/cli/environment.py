"""``--env ID``: any Gymnasium environment in the place of a task's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tyro

from worldmodels.base.errors import UserError
from worldmodels.cli.flags import FLAGS
from worldmodels.config import ReadConfig
from worldmodels.runtime.interrupt import loading


@dataclass(frozen=True)
class EnvArgs:
    """Any Gymnasium environment, and how it is read (docs/your_own_environment.md)."""

    env: str = ""
    """The Gymnasium id of an environment, such as CartPole-v1, in the place of a task's name."""
    env_kwargs: str = "{}"
    """Its arguments of gymnasium.make, as a JSON object."""
    read: ReadConfig = ReadConfig()  # noqa: RUF009 (frozen)
    """How it is read."""


def env_task(given: EnvArgs) -> str | None:
    """Returns the name of the task that ``--env`` makes; None without it.

    Raises:
        UserError: the environment cannot be used, or the other flags are given without it.
    """
    if not given.env:
        if given != EnvArgs():
            raise UserError("env_kwargs, observation, crop, frame_skip and reward_clip belong to --env ID, which is missing")
        return None
    with loading():
        from worldmodels.envs.from_id import describe

    return describe(given.env, given.env_kwargs, given.read).name


def chosen_task(task: str, given: EnvArgs) -> str:
    """Returns the name of the task that is meant, by its name or by ``--env``. Raises `UserError` unless it is just one."""
    if bool(task) == bool(given.env):
        both = f"'{task}' and --env {given.env} are two" if task else "none is named"
        raise UserError(f"give one task, by its name or as --env ID: {both}; 'worldmodels tasks' lists the names")
    return env_task(given) or task


def env_args(args: Sequence[str]) -> EnvArgs:
    """Returns the environment that a command line names before the rest of it can be parsed. Raises `UserError` for an
    empty id, such as an unset variable's."""
    plain = [arg for arg in args if arg not in ("-h", "--help")]
    config: Any = (tyro.conf.OmitArgPrefixes,)
    found, _ = tyro.cli(EnvArgs, args=plain, config=config, registry=FLAGS, return_unknown_args=True)
    if not found.env and any(arg == "--env" or arg.startswith("--env=") for arg in plain):
        raise UserError("env is empty; name a Gymnasium id, such as CartPole-v1, or leave out --env")
    return found
