"""Workers as actors of a Ray cluster: the only file that knows Ray, and it is imported when a cluster is asked for.

An actor is one process with one of the cluster's CPUs. What the workers need (V and M) is put into Ray's object store once and
fetched from there once a node. Ray restarts and retries nothing here: an actor that dies, alone or with its node, is replaced
by a new one wherever there is room, and the task that it was at goes back into the queue.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.extras import how_to_install
from worldmodels.base.versions import versions
from worldmodels.runtime.local_workers import MAX_FAILURES, Prepare
from worldmodels.runtime.memory import keep_freed_memory

# In place before Ray is imported: it tells nobody that it is used, and a Ray of our own does not make its workers give way to
# everything else on the machine (they would run at nice 15).
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_worker_niceness", "0")
try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise UserError(f"the backend ray needs Ray ({error}): {how_to_install('ray')}") from None

#: Timeout for connecting to a cluster, in seconds.
CONNECT_SECONDS = 20.0
#: Timeout without a live worker, in seconds; a cluster that grows on demand takes minutes to bring up a node.
WAIT_SECONDS = 300.0
#: The user is told of a wait after so many seconds.
TELL_SECONDS = 15.0


def _machine() -> dict[str, str]:
    """Returns what a result depends on besides its seed: libraries, and the processor's instructions that torch uses."""
    bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    processor = torch.backends.cpu.get_cpu_capability() + (" with bfloat16" if bf16 else "")
    return {**versions(), "processor": processor}


class _Actor:
    """One worker, in a process of its own somewhere in the cluster."""

    def start(self, prepare: Prepare, files: dict[str, bytes] | None, arguments: tuple[Any, ...]) -> dict[str, str]:
        """Prepares the worker; returns what its machine is like."""
        keep_freed_memory()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with tempfile.TemporaryDirectory(prefix="worldmodels-worker-") as name:
            for file, content in (files or {}).items():
                (Path(name) / file).write_bytes(content)
            prepare(None if files is None else Path(name), *arguments)
        return self.machine()

    def machine(self) -> dict[str, str]:
        """Shows that the worker is alive; returns what its machine is like."""
        return _machine()

    def call(self, function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
        """Does a task."""
        return function(*task)


def _connect(address: str) -> None:
    """Joins the cluster at ``address``, once a process; Ray leaves it, or ends its own, when the process ends.

    Raises:
        EnvironmentFailure: no cluster answers, or it is another version's.
    """
    if ray.is_initialized():
        return
    # Ray sets a handler of its own; the program has one already.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdigit():
            # Ray itself asks an address where nobody is for minutes.
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address or None, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, OSError, RuntimeError, ValueError, AssertionError) as error:
        where = f"at {address}" if address else "of this machine"
        raise EnvironmentFailure(f"the Ray cluster {where} cannot be joined: {_first_line(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


class RayWorkers:
    """A pool of actors; see `Workers` and `make_workers` for what it promises and takes."""

    alone = False

    def __init__(
        self,
        address: str,
        num_workers: int,
        prepare: Prepare,
        folder: Path | None,
        arguments: tuple[Any, ...],
        per_core: int,
    ) -> None:
        _connect(address)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self._num_workers = num_workers or per_core * max(1, int(resources.get("CPU", 1)))
        files = None if folder is None else {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self._start = (prepare, ray.put(files), arguments)
        self._make = ray.remote(num_cpus=1 / per_core, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(_Actor)
        #: What is awaited: an actor's start (None), or its task's index.
        self._awaited: dict[Any, tuple[Any, int | None]] = {}
        self._idle: list[Any] = []
        self._machine = _machine()
        self._warned: set[str] = set()
        self._told = False
        self.num_failures = 0

    def map_unordered(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yields (index of the task, ``function(*task)``) as the tasks are done."""
        queue = deque(range(len(tasks)))
        deaths = [0] * len(tasks)
        num_left, num_stillborn = len(tasks), 0

        def hand_out() -> None:
            while len(self._awaited) + len(self._idle) < min(self._num_workers, num_left):
                actor: Any = self._make.remote()
                self._awaited[actor.start.remote(*self._start)] = (actor, None)
            while queue and self._idle:
                actor, index = self._idle.pop(), queue.popleft()
                self._awaited[actor.call.remote(function, tasks[index])] = (actor, index)

        try:
            self._check_idle()
            while num_left:
                hand_out()
                awaited = self._wait()
                actor, index = self._awaited.pop(awaited)
                try:
                    result = ray.get(awaited)
                except RayTaskError as error:
                    self._kill(actor)
                    raise error.cause from None
                except RayError as error:
                    # The actor has died, or its node, or the node that held its answer.
                    self.num_failures += 1
                    self._kill(actor)
                    self._check_idle()
                    print(f"a worker of the Ray cluster died, failure {self.num_failures} here", file=sys.stderr, flush=True)
                    if index is None:
                        num_stillborn += 1
                    else:
                        deaths[index] += 1
                        queue.appendleft(index)
                    if max(deaths) == MAX_FAILURES or num_stillborn == MAX_FAILURES * self._num_workers:
                        raise EnvironmentFailure(
                            f"workers of the Ray cluster died {MAX_FAILURES} times in a row ({_first_line(error)}); "
                            f"the same command goes on where it stopped"
                        ) from error
                    continue
                num_stillborn = 0
                self._idle.append(actor)
                if index is None:
                    self._compare(result)
                else:
                    num_left -= 1
                    hand_out()  # nobody waits for whoever takes the result
                    yield index, result
        finally:
            if num_left:
                # Interrupted, or given up: nobody waits for what the actors are at.
                self.close()

    def _check_idle(self) -> None:
        """Has the idle actors show that they are alive, before they are given something to do."""
        for actor in self._idle:
            self._awaited[actor.machine.remote()] = (actor, None)
        self._idle = []

    def _wait(self) -> Any:
        """Returns the next of what is awaited. Raises `EnvironmentFailure` if nobody works and nobody comes."""
        start = time.monotonic()
        while True:
            done, _ = ray.wait(list(self._awaited), num_returns=1, timeout=1)
            if done:
                return done[0]
            if any(index is not None for _, index in self._awaited.values()):
                continue
            waited = time.monotonic() - start
            if waited > WAIT_SECONDS:
                raise EnvironmentFailure(
                    f"no worker of the Ray cluster came up for {WAIT_SECONDS:.0f} s; the same command goes on where it stopped"
                )
            if waited > TELL_SECONDS and not self._told:
                self._told = True
                print("waiting for a worker of the Ray cluster to come up", file=sys.stderr, flush=True)

    def _compare(self, machine: dict[str, str]) -> None:
        """Warns, once a difference, of a worker whose machine may compute other bits than this one."""
        for name, found in machine.items():
            if found != self._machine[name]:
                line = f"a worker has {name} {found}, this machine {self._machine[name]}: results may differ from a local run's"
                if line not in self._warned:
                    print(f"warning: {line}", file=sys.stderr, flush=True)
                self._warned.add(line)

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(RayError, ValueError):
            ray.kill(actor)

    def close(self) -> None:
        """Ends the actors; the cluster stays."""
        for actor in [*self._idle, *(actor for actor, _ in self._awaited.values())]:
            self._kill(actor)
        self._idle, self._awaited = [], {}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
