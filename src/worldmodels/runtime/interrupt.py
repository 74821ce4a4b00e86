"""Ctrl-C, SIGTERM and a closed terminal: asked once, work stops where it can be gone on from; asked twice, at once.

What comes within `SAME_REQUEST_SECONDS` of the first signal is the same request. One Ctrl-C reaches the whole group, and uv
passes it on; `timeout 300 make` ends in three SIGTERMs: timeout's to make, its to the group, and make's to what it has started.

Most work may be cut off anywhere: what is on disk is always whole. Where a checkpoint is minutes old, work is done inside
`deferred`, which holds the first signal back until the work has looked at `requested` and saved its state. While libraries are
imported (`loading`) nothing has begun: the program ends at once.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from worldmodels.base.errors import on_one_line

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: 128 + SIGINT, what a shell expects of an interrupted program.
INTERRUPTED = 130
#: Longer than a signal takes through the programs that pass it on, shorter than a person who has read the line and asks again.
SAME_REQUEST_SECONDS = 2.0

_loading = False
_deferring = False
_requested = False
_raised = False
#: When the first signal came, in `time.monotonic`'s seconds.
_first: float | None = None


#: Commands that keep what they have done when they are interrupted, and go on there when they are called again.
KEEPS_ITS_WORK = {"reproduce", "import", "collect", "train-vae", "encode", "train-rnn", "train-controller", "iterate", "table"}


def advice(command: Sequence[str]) -> str:
    """Returns what an interrupted command, a verb with its arguments, says: has it kept what it had done?"""
    again, verb = on_one_line(shlex.join(["worldmodels", *command])), command[0] if command else ""
    names_json = any(arg.partition("=")[0] == "--json" for arg in command)
    if verb in KEEPS_ITS_WORK or (verb == "evaluate" and names_json):
        return f"\nworldmodels: interrupted; to go on: {again}"
    if verb == "clean":
        return f"\nworldmodels: interrupted; what is not yet taken out is still there; to go on: {again}"
    mend = "; with --json FILE what was played is kept, and a second call goes on" if verb == "evaluate" else ""
    return f"\nworldmodels: interrupted; nothing was kept; to begin anew: {again}{mend}"


def _on_signal(signum: int, frame: object) -> None:
    global _requested, _raised, _first
    if signum == signal.SIGHUP:
        _forget_terminal()
    if _loading:
        _say(advice(sys.argv[1:]) + "\n")
        os._exit(INTERRUPTED)
    now = time.monotonic()
    if _first is None:
        _first = now
    elif now - _first < SAME_REQUEST_SECONDS:
        return
    if not _deferring or _requested:
        _raised = True
        raise KeyboardInterrupt
    _requested = True
    _say("\nstopping after this step; once more: at once\n")


def _say(text: str) -> None:
    """Writes to standard error, if there is one. Not `print`: the signal may have come in the middle of one."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="surrogateescape"))


def _forget_terminal() -> None:
    """Sends what is still said to a terminal nowhere: it is gone, and a line of progress to it would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        # A terminal that has hung up is none any more to `isatty`.
        if stat.S_ISCHR(os.fstat(stream).st_mode):
            os.dup2(nowhere, stream)
    os.close(nowhere)


def listen() -> None:
    """Takes the signals over. One that is ignored already (``nohup``, a background job) stays so."""
    global _requested, _raised, _first
    _requested, _raised, _first = False, False, None
    if threading.current_thread() is not threading.main_thread():
        return
    for kind in SIGNALS:
        if signal.getsignal(kind) is not signal.SIG_IGN:
            signal.signal(kind, _on_signal)


def ignore() -> None:
    """Ignores the signals from now on: the program is on its way out."""
    with held_back():  # Python would report one that comes while its handler changes
        for kind in SIGNALS:
            signal.signal(kind, signal.SIG_IGN)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Inside, where libraries are imported and nothing else is done, a signal ends the program at once with the line that a
    command's interruption ends with. A library's import may make another error of a KeyboardInterrupt, or swallow it."""
    global _loading
    before, _loading = _loading, True
    try:
        yield
    finally:
        _loading = before


@contextlib.contextmanager
def held_back(kinds: Iterable[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Inside, signals of these kinds wait for this thread; processes that are started inside never hear them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, kinds)  # one that came just before is raised in here, when they are blocked
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, the first signal only makes `requested` true, for whoever works here to look at; it is raised at the end."""
    global _deferring
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
    if _requested:
        raise KeyboardInterrupt


def requested() -> bool:
    """Returns whether a signal came that was held back."""
    return _requested


def raised() -> bool:
    """Returns whether a signal has been raised: an error that comes after it may be what others have made of it."""
    return _raised
