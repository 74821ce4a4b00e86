"""World models that anyone can train, measure, watch and play: ``import worldmodels as wm``.

``wm.load``, ``wm.evaluate``, ``wm.collect``, ``wm.import_episodes``, ``wm.reproduce``, ``wm.register``, ``wm.tasks``, `Agent`
and `Task`: docs/api.md has a page of them. Each is imported when it is first used; ``import worldmodels`` imports no torch, no
game and no compiler.

It also tells Gymnasium the environments' names: ``worldmodels/TakeCover-v1``, ``worldmodels/CarRacing-v3``, both as C sees them
(``worldmodels/TakeCoverLatent-v1``, ``worldmodels/CarRacingLatent-v3``) and both dreams (``worldmodels/TakeCoverDream-v0``,
``worldmodels/CarRacingDream-v0``).
"""

import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if _sys.argv[:1] == ["-m"] and _sys.orig_argv[-len(_sys.argv)] in ("worldmodels", "-mworldmodels"):
    # `python -m worldmodels` imports the package before its `__main__`.
    from worldmodels_program import end_without_a_word as _end_without_a_word

    _end_without_a_word()

from worldmodels import envs as _envs

if TYPE_CHECKING:
    from worldmodels.agent.agent import Agent
    from worldmodels.agent.load import load
    from worldmodels.api import collect, evaluate, import_episodes, reproduce
    from worldmodels.envs.registry import register, tasks
    from worldmodels.envs.task import Task

__all__ = ["Agent", "Task", "collect", "evaluate", "import_episodes", "load", "register", "reproduce", "tasks"]
del _envs


_HOME = {
    **{"Agent": "agent.agent", "load": "agent.load"},
    **dict.fromkeys(("collect", "evaluate", "import_episodes", "reproduce"), "api"),
    "Task": "envs.task",
    **dict.fromkeys(("register", "tasks"), "envs.registry"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from worldmodels.base.versions import own_version

        return own_version()
    if name not in _HOME:
        raise AttributeError(f"module 'worldmodels' has no attribute '{name}'")
    found = getattr(_import_module(f"worldmodels.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
