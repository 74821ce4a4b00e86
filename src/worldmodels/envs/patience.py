"""A foreign environment that hangs: what waits for it ends in an error, where Python is asked to look up from its work."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from worldmodels.base.errors import EnvironmentFailure

#: The longest that a call may take. Environments start games and build levels: minutes are for what will never end.
PATIENCE_SECONDS = 120


@contextlib.contextmanager
def patience(what: str) -> Iterator[None]:
    """Raises `EnvironmentFailure` inside where that takes longer than `PATIENCE_SECONDS`; ``what`` names it.

    The seconds are counted as they come, not by the clock: while the process is stopped nobody is late. Only the main thread
    can be called back, and only from Python's code and the system's waiting: an endless loop of a C library goes on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    looks = 0

    def look(*_: Any) -> None:
        nonlocal looks
        looks += 1
        if looks >= PATIENCE_SECONDS:
            raise EnvironmentFailure(f"{what} has not come back for {PATIENCE_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
