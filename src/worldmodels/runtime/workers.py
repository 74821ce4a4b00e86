"""Who plays the environments: worker processes of this machine, or of a Ray cluster. Nothing above this file knows which.

Tasks must be pure functions of their arguments: one that was lost with its worker is simply done again elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from worldmodels.config import Backend
from worldmodels.runtime.local_workers import LocalWorkers


class Workers(Protocol):
    """A pool of processes that have been prepared."""

    alone: bool
    """Whether there is one worker only, on this machine: whoever asks may as well do the work."""
    num_failures: int
    """How many times workers had died and were replaced."""

    def map_unordered(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yields (index of the task, ``function(*task)``) as the tasks are done. Tasks of dead workers are done again.

        Raises:
            EnvironmentFailure: workers keep dying, or there are none.
        """

    def close(self) -> None:
        """Ends the processes."""


def available_cores() -> int:
    """Returns how many CPU cores this process may use: fewer than the machine has under Slurm, ``taskset`` or a cpuset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_workers(
    backend: Backend,
    address: str,
    num_workers: int,
    prepare: Callable[..., None],
    folder: Path | None,
    *arguments: Any,
    per_core: int = 1,
) -> Workers:
    """Makes a pool. Its processes start with the first tasks, and no more of them than there are tasks.

    Args:
        address: of the Ray cluster; empty is the one that this machine belongs to, or else one of this command's own.
        num_workers: how many; 0 is ``per_core`` on each of the `available_cores`.
        prepare: called once in each worker with ``folder`` and ``arguments``; it keeps nothing open in the folder.
        folder: files that the workers need. On another machine it is a copy, and gone after ``prepare``.

    Raises:
        UserError: Ray is asked for and not installed.
        EnvironmentFailure: there is no cluster at ``address``.
    """
    if backend == "ray":
        # Ray is an extra, and takes seconds to import.
        from worldmodels.runtime.ray_workers import RayWorkers

        return RayWorkers(address, num_workers, prepare, folder, arguments, per_core)
    return LocalWorkers(num_workers or per_core * available_cores(), prepare, folder, arguments)
