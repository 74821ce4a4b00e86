"""Work that is shared out over threads, each of which computes alone: no thread waits for another after every operation.

Torch's own threads meet at the end of every operation. That takes a good part of a small one, and many times as long as the
operation where other programs keep the cores busy. NumPy, torch and our compiled loops all let go of the interpreter's lock
while they compute.
"""

from __future__ import annotations

import heapq
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Stopped(Exception):
    """Another thread failed, or the caller was interrupted."""


class _Job(NamedTuple):
    do: Callable[[], None]
    ended: threading.Event


#: Threads that have nothing to do, by their number, with the queue that each listens to. They stay: a new thread's memory
#: comes from the kernel, page by page, which takes a quarter of a short work's time.
_idle: list[tuple[int, SimpleQueue[_Job]]] = []
_numbers = count()
# A forked child has no threads but the one that forked.
os.register_at_fork(after_in_child=_idle.clear)


def _start(job: _Job) -> None:
    """Hands a job to the idle thread of the lowest number, or to a new one."""
    try:
        thread = heapq.heappop(_idle)
    except IndexError:
        thread = next(_numbers), SimpleQueue()
        threading.Thread(target=_listen, args=thread, daemon=True).start()
    thread[1].put(job)


def _listen(number: int, jobs: SimpleQueue[_Job]) -> None:
    while True:
        job = jobs.get()
        job.do()
        heapq.heappush(_idle, (number, jobs))
        job.ended.set()
        del job  # and all that it holds


def side_by_side(works: Sequence[Callable[[Callable[[], None]], Result]]) -> list[Result]:
    """Does each work in a thread of its own, and returns their results in order; torch's threads are shared out evenly.

    Args:
        works: each is given ``check``, to be called periodically: it ends the work when another has failed, or on an interrupt.

    Raises:
        The first error of a work, after all have ended.
    """
    threads_before = torch.get_num_threads()
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    stop = threading.Event()
    # Not `Thread.join`: an interrupt while it waits makes Python 3.11 believe that the thread has ended.
    ended = [threading.Event() for _ in works]

    def check() -> None:
        if stop.is_set():
            raise _Stopped

    def do(index: int) -> None:
        torch.set_num_threads(max(1, threads_before // len(works)))  # of this thread
        try:
            results[index] = works[index](check)
        except _Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            stop.set()

    started = []
    try:
        for index in range(len(works)):
            _start(_Job(partial(do, index), ended[index]))
            started.append(ended[index])
        for event in started:
            event.wait()
    finally:
        stop.set()
        for event in started:
            event.wait()
        torch.set_num_threads(threads_before)
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(works))]


def shared_out(
    items: Sequence[Item], num_threads: int, work: Callable[[Sequence[Item], Callable[[], None]], list[Result]]
) -> list[Result]:
    """Deals items out to threads, one after the other, and returns their results in the items' order.

    Args:
        work: does a thread's items, a result each; its second argument is that of `side_by_side`'s works.
    """
    found = side_by_side([partial(work, items[first::num_threads]) for first in range(num_threads)])
    return [found[index % num_threads][index // num_threads] for index in range(len(items))]
