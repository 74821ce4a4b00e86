"""Compiled loops, kept on disk between processes where that is possible, and compiled anew where it is not.

Numba itself refuses to work where it finds no folder to write to (a package of root's, a user without a home), and stops at a
full disk or a damaged file of its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

Function = TypeVar("Function", bound=Callable[..., Any])


class _ForgivingCache(FunctionCache):
    """Numba's own, but what it cannot read is compiled, and what it cannot write is not kept."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # damaged files raise whatever they like
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Returns a decorator: ``numba.njit`` with its options, and with a cache wherever there can be one."""

    def decorate(function: Function) -> Function:
        found: Any = numba.njit(**options)(function)
        if not isinstance(found, Dispatcher):  # NUMBA_DISABLE_JIT
            return function
        dispatcher: Any = found
        try:
            dispatcher._cache = _ForgivingCache(dispatcher.py_func)  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError):
            with contextlib.suppress(RuntimeError, OSError):
                dispatcher._cache = _temporary_cache(dispatcher.py_func)
        compiling: Function = dispatcher
        return compiling

    return decorate


def _temporary_cache(function: Callable[..., Any]) -> _ForgivingCache:
    """Returns a cache in this user's own temporary folder. Raises `OSError` if there is none that others cannot write to."""
    folder = Path(tempfile.gettempdir()) / f"worldmodels-numba-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    # A cache is unpickled: in a folder of somebody else's it could hold anything.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone")
    settings: Any = numba.config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder)
    try:
        return _ForgivingCache(function)  # type: ignore[no-untyped-call]
    finally:
        settings.CACHE_DIR = before
