"""The tasks by name: ours, those that packages announce, those of a run's or a model's folder, and variants. No torch here."""

from __future__ import annotations

import multiprocessing
import re
import sys
from dataclasses import replace

import gymnasium as gym

from worldmodels.base.errors import UserError, did_you_mean, nearest
from worldmodels.envs import plugins
from worldmodels.envs.described import described_task
from worldmodels.envs.task import Published, Task, completed
from worldmodels.runs import task_file

#: What is behind the Gymnasium ids of a task's dream, and of its real game as C sees it.
ENTRY_POINTS = {"Dream": "worldmodels.agent.gym_envs:SingleDreamEnv", "Latent": "worldmodels.agent.gym_envs:SingleLatentEnv"}

_registry: dict[str, Task] = {}
#: Of registered tasks that leave something open: with what their environments say.
_completed: dict[str, Task] = {}
#: Which module has registered a task.
_modules: dict[str, str] = {}


def register(task: Task) -> None:
    """Adds a task; and to Gymnasium's ids its dream, and its real game as C sees it, if they are not there.

    Raises:
        UserError: the name is taken by another task, or would not do in a path.

    Example:
        >>> import dataclasses, worldmodels as wm
        >>> short = dataclasses.replace(wm.tasks()["car-racing"], name="car-racing-short", max_episode_steps=100)
        >>> wm.register(short)
        >>> "car-racing-short" in wm.tasks()
        True
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", task.name):
        raise UserError(f"a task's name is {task.name!r}; use letters, digits, '-', '_' and '.'")
    caller = str(sys._getframe(1).f_globals.get("__name__"))
    if _registry.get(task.name, task) != task:
        both = " and by ".join(f"'{plugins.package_of(module)}'" for module in (_modules[task.name], caller))
        raise UserError(f"the task '{task.name}' is registered twice, by {both}; rename one of them")
    for kind in ("Dream", "Latent"):
        if (gym_id := task.gym_id(kind)) not in gym.registry:
            gym.register(gym_id, entry_point=ENTRY_POINTS[kind], kwargs={"task": task.name})
    _registry[task.name] = task
    _modules.setdefault(task.name, caller)


def tasks() -> dict[str, Task]:
    """Returns all tasks by name: ours, and those that installed packages announce. Broken packages are named and left out.

    Example:
        >>> import worldmodels as wm
        >>> {"car-racing", "take-cover"} <= set(wm.tasks())
        True
    """
    plugins.load()
    return dict(sorted(_registry.items()))


def get_task(named: str | task_file.Facts) -> Task:
    """Returns a task by its name, or by what is known of it, with nothing left open (`completed`).

    A variant of a task is one by itself: ``car-racing.bars``.

    Raises:
        UserError: with the nearest match, or with what is wrong with the task's package or its environment.
    """
    name = named if isinstance(named, str) else task_file.note(named).name
    if name in task_file.known:
        register(described_task(task_file.known[name]))
    if name not in _registry:
        # What announces this very name is imported alone; others' games cost time, and may be broken.
        plugins.load(name)
    if name not in _registry and not _register_variant(name) and name not in tasks():
        base, _, variant = name.rpartition(".")
        if base in _registry and _registry[base].variants:
            _registry[base].varied(variant)  # which says what it has
        why = plugins.why_missing(name)
        if not why and multiprocessing.parent_process() is not None:  # a worker, whose parent may know it
            mend = "register tasks at its top, not below 'if __name__ == \"__main__\"'"
            why = f"there is no task '{name}' in a worker process; it imports your program anew: {mend}"
        raise UserError(why or f"there is no task '{name}'{_mend(name)}")
    if name not in _completed:
        _completed[name] = completed(_registry[name])
    return _completed[name]


def _mend(name: str) -> str:
    """Returns what helps who named a task that there is not."""
    if name in gym.registry:
        return f"; the environment of that id is a task with --env {name}"
    alone = "" if did_you_mean(name, _registry) else "; one that a program registers is known in that program alone"
    return nearest(name, _registry) + alone


def is_task(name: str) -> bool:
    """Returns whether there is a task of this name, a variant of one included."""
    return name in tasks() or _register_variant(name)


def _register_variant(name: str) -> bool:
    """Registers a variant of a task as a task by itself, where a name is ``TASK.VARIANT``, such as ``car-racing.bars``: it is
    learned, and played, with that look alone. Returns whether it is one."""
    base, dot, variant = name.rpartition(".")
    if dot and base not in _registry:
        plugins.load(base)
    task = _registry.get(base)
    if task is None or task.variant or variant not in task.variants:
        return False
    look = task.variants[variant]
    register(
        replace(
            task.varied(variant),
            name=name,
            summary=f"{task.name}: {look.summary}",
            published=Published(task.published.solved_at),
            dream_id=_of_variant(task.gym_id("Dream"), variant),
            latent_id=_of_variant(task.gym_id("Latent"), variant),
        )
    )
    return True


def _of_variant(gym_id: str, variant: str) -> str:
    """Returns an id with a variant's name before its version: ``worldmodels/CarRacingDream-Bars-v0``."""
    stem, version, number = gym_id.rpartition("-v")
    word = variant[:1].upper() + variant[1:]
    return f"{stem}-{word}{version}{number}" if version else f"{gym_id}-{word}"
