"""Who works in a folder, such as a run's: one command at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from worldmodels.base import files
from worldmodels.base.errors import EnvironmentFailure, UserError


class RunLock:
    """Holds a folder for one process, and makes it where there is none. The kernel releases it whenever the process ends,
    so it is never stale. At the end the lock's file is removed, and so is a folder that was made for it and holds nothing."""

    def __init__(self, path: Path, name: str = ".lock", otherwise: str = "use another --run") -> None:
        """``name`` is the lock's file in the folder; ``otherwise`` says what to do but wait where the folder is held."""
        self.path = path / name
        self._otherwise = otherwise
        self._made: list[Path] = []

    @staticmethod
    def owner(path: Path, name: str = ".lock") -> str | None:
        """Returns who holds a folder, such as ``process 12 on a-machine``; None where nobody does."""
        with contextlib.suppress(OSError), (path / name).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another process"
        return None

    def __enter__(self) -> RunLock:
        files.check_folder(self.path.parent)
        try:
            while not self._take():
                pass
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
            self._file.flush()
        except OSError as error:
            raise EnvironmentFailure(f"{self.path.parent}: cannot be written ({error.strerror})") from error
        return self

    def _take(self) -> bool:
        """Tries to get the lock; False: its last holder has just removed its file. Raises `UserError` where it is held."""
        folder = self.path.parent
        self._made += [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._file = self.path.open("a+")
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise UserError(f"{folder}: in use by {owner}; wait for it, or {self._otherwise}") from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                return True
        self._file.close()
        return False

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._file.close()
        with contextlib.suppress(OSError):  # the first one that is not empty ends it
            for folder in self._made:
                folder.rmdir()
