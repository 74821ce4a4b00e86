"""How many of torch's threads a world takes while it works; whoever calls has theirs back afterwards."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import torch


class _HasSlots(Protocol):
    num_envs: int


World = TypeVar("World", bound=_HasSlots)
P = ParamSpec("P")
Result = TypeVar("Result")

#: The process that torch's threads belong to. A forked copy of it has none of them and would wait for them for ever.
_HOME = os.getpid()


def _too_many(num_slots: int) -> int:
    """Returns torch's number of threads where it should be one, else 0."""
    found = torch.get_num_threads()
    return 0 if found == 1 or (num_slots > 1 and os.getpid() == _HOME) else found


@contextlib.contextmanager
def threads_for(num_slots: int) -> Iterator[None]:
    """Inside, torch has one thread for a single slot, whose work is too small to share, and one in a forked process."""
    before = _too_many(num_slots)
    if before:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before:
            torch.set_num_threads(before)


def with_its_threads(method: Callable[Concatenate[World, P], Result]) -> Callable[Concatenate[World, P], Result]:
    """Gives a world's method the threads for as many slots as it has (`threads_for`)."""

    @functools.wraps(method)
    def wrapped(self: World, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        # Called at every step: a context costs more than the question.
        if not _too_many(self.num_envs):
            return method(self, *args, **kwargs)
        with threads_for(self.num_envs):
            return method(self, *args, **kwargs)

    return wrapped
