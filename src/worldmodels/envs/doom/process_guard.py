"""Games that must not outlive us, however we die, nor leave anything behind.

ViZDoom's game is a process of its own, and it goes on for ever when its parent is killed. One tiny guardian process
reads the games' folders and identities from a pipe; the kernel closes the pipe when we die, and the guardian kills the games
that were started with these folders and removes what they had: their shared memory and the folders. A folder is told before
its game is started, so there is no instant at which a game is nobody's. It needs no rights, and costs nothing while we live.

A game that hangs, or was stopped, would keep us waiting for ever: `deadline` has it killed, which ends the waiting.
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

_GUARDIAN = """
import os, shutil, signal, sys, time
from pathlib import Path
for kind in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(kind, signal.SIG_IGN)
begun = float(sys.argv[1])
names = set()
for line in sys.stdin:
    (names.add if line[0] == "+" else names.discard)(line[1:-1])
folders = {name for name in names if "/" in name}
games = names - folders
died = time.time()
while names and time.time() < died + 1.5:
    # More than once: a game may have been on its way when its parent died.
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\\0")
            if any(folder in word for word in words for folder in folders):
                os.kill(int(process.name), signal.SIGKILL)
                games.add(words[words.index("+viz_instance_id") + 1])
        except (OSError, ValueError, IndexError):
            pass
    for game in games:
        for file in Path("/dev/shm").glob(f"ViZDoom*{game}"):
            file.unlink(missing_ok=True)
    time.sleep(0.1)
if folders:
    # A game that died on its way, together with its parent, had told nobody its name: what is left of it was made in our time
    # and belongs to no process any more.
    held = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            held.update(line.rsplit("/", 1)[-1] for line in maps.read_text().splitlines() if "/dev/shm/ViZDoom" in line)
        except OSError:
            pass
    for file in Path("/dev/shm").glob("ViZDoom*"):
        try:
            made = file.stat()
            if made.st_uid == os.getuid() and begun <= made.st_mtime < time.time() - 1 and file.name not in held:
                file.unlink()
        except OSError:
            pass
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
"""

#: A child may keep us waiting this long; a step takes a millisecond, the start of an episode some tens.
DEADLINE_SECONDS = 10

_lock = threading.Lock()
_guardian: subprocess.Popen[str] | None = None


def _tell(message: str) -> None:
    global _guardian
    with _lock:
        if _guardian is None or _guardian.poll() is not None:
            _guardian = subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", _GUARDIAN, str(time.time())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert _guardian.stdin is not None
        _guardian.stdin.write(message)
        _guardian.stdin.flush()


def guard(name: str) -> None:
    """Has a game ended when this process ends, even by SIGKILL, and what it has in shared memory removed.

    ``name`` is the folder that its command line names, or the identity in the names of its shared memory: without that, what
    a game leaves that died together with this process could not be told from others'.
    """
    _tell(f"+{name}\n")


def release(name: str) -> None:
    """Takes back `guard`, after the game has ended."""
    with contextlib.suppress(BrokenPipeError):
        _tell(f"-{name}\n")


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


class deadline:
    """Has the child ``pid``, if there is one, killed if what is inside ``with`` takes longer than `DEADLINE_SECONDS`."""

    __slots__ = ("_pid",)

    def __init__(self, pid: int | None) -> None:
        self._pid = pid

    def __enter__(self) -> None:
        global _watch
        if self._pid is None:
            return
        if _watch is None or not _watch.is_alive():
            _watch = threading.Thread(target=_kill_the_late, daemon=True)
            _watch.start()
        _waiting[self._pid] = next(_serial)

    def __exit__(self, *exc_info: object) -> None:
        if self._pid is not None:
            _waiting.pop(self._pid, None)


def _forget() -> None:
    """A forked copy of us has no guardian and waits for nobody: the games are its parent's.

    The guardian's pipe, left open here, would hide the parent's death from it.
    """
    global _guardian
    _lock.release()
    if _guardian is not None and _guardian.stdin is not None:
        _guardian.stdin.close()
    _guardian = None
    _waiting.clear()


# Held while we are copied, so that the copy finds nothing half done.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget)
