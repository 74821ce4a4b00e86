"""Child processes that must not outlive us, however we die.

ViZDoom's game is a process of its own, and it goes on for ever when its parent is killed. One tiny guardian process
reads the children's process ids from a pipe; the kernel closes the pipe when we die, and the guardian kills what is
left. It works wherever pipes and signals do, needs no rights, and costs nothing while we live.

A child that hangs, or was stopped, would keep us waiting for ever: `deadline` has it killed, which ends the waiting.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

_GUARDIAN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
pids = set()
for line in sys.stdin:
    sign, pid = line[0], int(line[1:])
    pids.add(pid) if sign == "+" else pids.discard(pid)
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""

#: A child may keep us waiting this long; a step takes a millisecond, the start of an episode some tens.
DEADLINE_SECONDS = 10

_lock = threading.Lock()
_guardian: subprocess.Popen[str] | None = None
_guardian_parent = 0


def _tell(message: str) -> None:
    global _guardian, _guardian_parent
    with _lock:
        # A forked copy of us must not share its parent's guardian: the pipe would stay open after the parent's death.
        if _guardian is None or _guardian_parent != os.getpid() or _guardian.poll() is not None:
            _guardian = subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", _GUARDIAN],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            _guardian_parent = os.getpid()
        assert _guardian.stdin is not None
        _guardian.stdin.write(message)
        _guardian.stdin.flush()


def guard(pid: int) -> None:
    """Has the child ``pid`` killed when this process ends, even by SIGKILL."""
    _tell(f"+{pid}\n")


def release(pid: int) -> None:
    """Takes back `guard`, after the child has ended."""
    with contextlib.suppress(BrokenPipeError):
        _tell(f"-{pid}\n")


#: Who is being waited for: the child's process id and the number of the waiting.
_waiting: dict[int, int] = {}
_serial = itertools.count()
_watch: threading.Thread | None = None


def _kill_the_late() -> None:
    """Looks around once a second. It counts its own looks, not the clock: while we are stopped ourselves nobody is late."""
    looks: dict[tuple[int, int], int] = {}
    while True:
        time.sleep(1)
        looks = {call: looks.get(call, 0) + 1 for call in list(_waiting.items())}
        for (pid, serial), seconds in looks.items():
            if seconds > DEADLINE_SECONDS and _waiting.get(pid) == serial:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def deadline(pid: int | None) -> Iterator[None]:
    """Has the child ``pid`` killed if what is inside takes longer than `DEADLINE_SECONDS`."""
    global _watch
    if pid is None:
        yield
        return
    if _watch is None or not _watch.is_alive():
        _watch = threading.Thread(target=_kill_the_late, daemon=True)
        _watch.start()
    _waiting[pid] = next(_serial)
    try:
        yield
    finally:
        _waiting.pop(pid, None)
