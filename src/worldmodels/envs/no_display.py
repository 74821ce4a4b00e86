"""Rendering to an array needs no display: SDL, which many environments draw with, is kept from looking for one in vain."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

#: Where a display of Linux is named, and where SDL is told what to open.
NAMED, DRIVER = ("DISPLAY", "WAYLAND_DISPLAY"), "SDL_VIDEODRIVER"


@contextlib.contextmanager
def no_display() -> Iterator[None]:
    """Inside, on Linux and without a display, SDL takes its driver without one: it would take that in the end, but complain of
    Wayland's folder first. A user's own ``SDL_VIDEODRIVER`` is kept."""
    if sys.platform != "linux" or any(os.environ.get(name) for name in (*NAMED, DRIVER)):
        yield
        return
    os.environ[DRIVER] = "dummy"
    try:
        yield
    finally:
        os.environ.pop(DRIVER, None)
