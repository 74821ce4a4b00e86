"""Worker processes on this machine: quiet on Ctrl-C, gone when their parent is, replaced when they die.

They are forked from a server of Python's own that has done nothing but import (``forkserver``): the seconds that importing
torch takes are spent once, in place of once a worker, and its memory is shared.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.runtime import interrupt, streams
from worldmodels.runtime.memory import keep_freed_memory

#: Workers that die this many times over without finishing anything are not bad luck.
MAX_FAILURES = 3
#: Tasks that each worker is given ahead, so that none waits for the next.
TASKS_AHEAD = 4
#: What the server imports; none of them starts a thread by being imported.
_IMPORTED_ONCE = ["gymnasium", "numba", "torch"]
#: What a terminal sends to everybody in it.
_TERMINAL_SIGNALS = {signal.SIGINT, signal.SIGHUP}

#: Why this worker cannot play, where it said so as it was prepared.
_refused: UserError | None = None

#: Called once in each worker: with a folder of files that it needs, or None, and with small arguments.
Prepare = Callable[..., None]


def _start_worker(prepare: Prepare, folder: Path | None, arguments: tuple[Any, ...]) -> None:
    """Prepares a worker process: Ctrl-C is the parent's business, and the worker ends when the parent does."""
    keep_freed_memory()
    streams.prepare()
    for kind in _TERMINAL_SIGNALS:
        signal.signal(kind, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    global _refused
    try:
        prepare(folder, *arguments)
    except UserError as error:  # a process that ended of it would be started again, and could not say why
        _refused = error


def _call(function: Callable[..., Any], *task: Any) -> Any:
    """Does a worker's task. Raises what the worker was refused for as it was prepared."""
    if _refused is not None:
        raise _refused
    return function(*task)


@contextlib.contextmanager
def _held_back_signals() -> Iterator[None]:
    """Holds the terminal's signals back, for us for a moment and for the processes that are started inside for good.

    A worker that Ctrl-C reaches while it is still importing would say so at length.
    """
    with interrupt.held_back({signal.SIGHUP}):
        # Python's own helper, which looks after SIGINT itself, and in doing so lets it through again.
        multiprocessing.resource_tracker.ensure_running()
        with interrupt.held_back(_TERMINAL_SIGNALS):
            yield


class LocalWorkers:
    """A pool of processes; see `Workers` and `make_workers` for what it promises and takes.

    Large data goes through files, not through the workers' pipes: a parent that writes more than a pipe holds to a child that
    has died waits for ever.
    """

    def __init__(self, num_workers: int, prepare: Prepare, folder: Path | None, arguments: tuple[Any, ...]) -> None:
        self._num_workers = num_workers
        self._start = (prepare, folder, arguments)
        self._pool: ProcessPoolExecutor | None = None
        self.alone = num_workers == 1
        self.num_failures = 0

    def _ensure_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(_IMPORTED_ONCE)
            self._pool = ProcessPoolExecutor(
                self._num_workers,
                mp_context=context,
                initializer=_start_worker,
                initargs=self._start,
            )
        return self._pool

    def _submit(self, function: Callable[..., Any], task: tuple[Any, ...]) -> Future[Any]:
        """Hands a task to the pool. Raises `BrokenProcessPool` if a worker has died."""
        try:
            with _held_back_signals():
                return self._ensure_pool().submit(_call, function, *task)
        except OSError as error:
            # A pool that finds a dead worker closes its pipes, also while `submit` is starting another worker with them.
            raise BrokenProcessPool(f"a worker could not be started ({error})") from error

    def _play(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], indices: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Hands the tasks ``indices`` to the pool, a few ahead, and yields them as they are done. Raises `BrokenProcessPool`.

        Ctrl-C that came between a future's lock and its release would leave the pool waiting for ever: it is held back there,
        and `concurrent.futures.wait`, which takes the locks of all futures, is not used.
        """
        done: queue.SimpleQueue[tuple[int, Future[Any]]] = queue.SimpleQueue()
        waiting = deque(indices)

        def hand_out() -> None:
            with interrupt.deferred():
                index = waiting.popleft()
                self._submit(function, tasks[index]).add_done_callback(lambda future: done.put((index, future)))

        for _ in range(min(len(waiting), TASKS_AHEAD * self._num_workers)):
            hand_out()
        for _ in indices:
            index, future = self._next(done)
            with interrupt.deferred():
                result = future.result()
            if waiting:
                hand_out()
            yield index, result

    def _next(self, done: queue.SimpleQueue[tuple[int, Future[Any]]]) -> tuple[int, Future[Any]]:
        """Waits for a future that is done. Raises `BrokenProcessPool` for one that never will be.

        A worker's death between a `submit`'s look at the pool and its entry in the pool's books leaves a future that nobody
        knows of (Python 3.11).
        """
        while True:
            try:
                return done.get(timeout=1)
            except queue.Empty:
                if self._ensure_pool()._broken:
                    raise BrokenProcessPool("a task was lost with a worker") from None

    def _kill(self) -> None:
        """Kills the processes. (Python 3.14 has `kill_workers`.)"""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()

    def map_unordered(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yields (index of the task, ``function(*task)``) as the tasks are done."""
        left = set(range(len(tasks)))
        failures_in_a_row = 0
        try:
            while left:
                try:
                    for index, result in self._play(function, tasks, sorted(left)):
                        left.remove(index)
                        failures_in_a_row = 0
                        yield index, result
                except BrokenProcessPool as error:
                    self.num_failures += 1
                    failures_in_a_row += 1
                    # The pool ends those that it knew of when it found out, and then waits for all; one may have come since.
                    self._kill()
                    self.close()
                    print(
                        f"a worker process died; {len(left)} of {len(tasks)} tasks are done again, "
                        f"failure {self.num_failures} here",
                        file=sys.stderr,
                        flush=True,
                    )
                    if failures_in_a_row == MAX_FAILURES:
                        raise EnvironmentFailure(
                            f"worker processes died {MAX_FAILURES} times in a row; the same command goes on where it stopped"
                        ) from error
        finally:
            if left:
                # Interrupted, or given up: nobody waits for what the workers are at.
                self._kill()

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
