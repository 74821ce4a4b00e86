"""Xlib's errors: by itself it ends the whole program, by ``exit``, when a window is destroyed or the X server goes away.

Nothing would be tidied up. Here the program is told instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_ERROR = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_IO_ERROR = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
#: What Xlib calls, kept for as long as it may.
_handlers: list[object] = []


def tell(on_error: Callable[[], None], on_loss: Callable[[], None]) -> None:
    """Takes Xlib's errors over, where there is an Xlib.

    Args:
        on_error: called when the server refuses something, as it does once the window is gone. The program goes on.
        on_loss: called when there is no server any more. Xlib ends the program when it returns.
    """
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return

    def refused(display: object, event: object) -> int:
        on_error()
        return 0

    def lost(display: object) -> int:
        on_loss()
        return 0

    handlers = _ERROR(refused), _IO_ERROR(lost)
    _handlers.extend(handlers)
    xlib.XSetErrorHandler(handlers[0])
    xlib.XSetIOErrorHandler(handlers[1])
