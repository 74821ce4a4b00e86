"""The packages that announce tasks, through the entry points ``worldmodels.tasks``. A broken one stops no other's task."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from worldmodels.envs.guard import said

GROUP = "worldmodels.tasks"
OURS = "worldmodels.envs."

#: Why a package's task is not there, by the name that it announces.
_broken: dict[str, str] = {}
_loaded: set[EntryPoint] = set()


def package_of(module: str) -> str:
    """Returns the name of the package that announces a module's tasks, or the module's own name."""
    root = module.split(".")[0]
    return next((_package(e) for e in entry_points(group=GROUP) if e.value.split(".")[0] == root), module)


def why_missing(name: str) -> str:
    """Returns why a task is not there although a package, which has been loaded, announces it; empty where none does."""
    for entry_point in entry_points(group=GROUP, name=name):
        package, module = _package(entry_point), entry_point.value
        nothing = f"the package '{package}' announces the task '{name}', but {module} registers none of this name"
        return _broken.get(name, nothing)
    return ""


def missing() -> dict[str, str]:
    """Returns why tasks are not there that packages, which have been loaded, announce: by their names."""
    return dict(sorted(_broken.items()))


def absent(names: Iterable[str], why: str) -> None:
    """Notes why tasks of ours are not there: what they need is not installed. Only who asks for one by name is told."""
    for name in names:
        _broken[name] = f"the task '{name}' is not there: {why}"


def load(name: str = "") -> None:
    """Imports the packages that announce the task ``name``, or any task, ours first.

    A package that cannot be imported is named on standard error, once, with what is wrong with it.
    """
    found = entry_points(group=GROUP)
    for entry_point in sorted(
        found.select(name=name) if name else found, key=lambda e: (not e.value.startswith(OURS), _package(e), e.name)
    ):
        if entry_point not in _loaded:
            _loaded.add(entry_point)
            _import(entry_point)


def _import(entry_point: EntryPoint) -> None:
    try:
        entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # `SystemExit`, what a test's framework skips with
        _broken[entry_point.name] = (
            f"the package '{_package(entry_point)}' announces the task '{entry_point.name}', but {entry_point.value} cannot be "
            f"imported: {said(error)}"
        )
        # A worker's parent has said so already.
        if multiprocessing.parent_process() is None:
            print(f"worldmodels: {_broken[entry_point.name]}; the other tasks are there", file=sys.stderr, flush=True)


def _package(entry_point: EntryPoint) -> str:
    # A package without a name is broken, too.
    return (entry_point.dist and entry_point.dist.name) or entry_point.value
