"""Standard output and error as they are found: closed, without a reader, or with an encoding that lacks our characters.

What is said to people must not end the work: what cannot be written is left out. `finish` says at the end what a full disk has
swallowed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

#: Of a program that ends because nobody reads what it writes: 128 + SIGPIPE.
NO_READER = 141
#: What is written where the encoding does not have a character that we use.
PLAIN = {
    "τ": "tau", "σ": "sigma", "±": "+-", "×": "x", "→": "->", "…": "...", "–": "-", "—": "-", "’": "'",
    "│": "|", "┃": "|", "─": "-", "━": "-", **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼┏┓┗┛┡┩╇", "+"),
}  # fmt: skip

_failures: dict[int, OSError] = {}


class _Raw(io.RawIOBase):
    """Writes to an open file by its number. Never raises: once nobody can be told anything there, silence follows."""

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # another program made the terminal or the pipe so
                select.select([], [self._number], [])
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):  # no reader any more, a terminal that has been closed
                    _failures[self._number] = error
                silence(self._number)
                return len(data)


def silence(number: int) -> None:
    """Sends what is still written to an open file, by whomever, nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    os.set_inheritable(number, True)


def prepare() -> None:
    """Makes the standard streams of this process safe to print to."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Closed. The next file to be opened would get the number, and what a library says would be written into it.
            silence(number)
    codecs.register_error("worldmodels.plain", _plain)
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)


def _stream(number: int, found: TextIO | None) -> io.TextIOWrapper:
    """Returns a stream like the one that Python has made, if it has, over an open file."""
    if found is not None:
        found.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Raw(number)),  # type: ignore[type-var]  # typeshed wants `mode` and `name`
        encoding=(found and found.encoding) or "utf-8",
        errors="worldmodels.plain",
        line_buffering=number == 2 or os.isatty(number),
        write_through=bool(getattr(found, "write_through", False)),
    )


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes what comes nearest to a character that the encoding lacks; a byte of a file's name stays what it is."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return PLAIN.get(character, "?"), error.start + 1


def finish(code: int) -> int:
    """Writes what is still to be written and returns the exit code: 4 in place of 0 where output was lost to a full disk."""
    sys.stdout.flush()
    if code == 0 and 1 in _failures:
        print(f"worldmodels: standard output cannot be written ({_failures[1].strerror})", file=sys.stderr)
        return 4
    return code


@contextlib.contextmanager
def kept_for_results() -> Iterator[Path]:
    """Yields a path that leads to standard output; inside, what anybody prints, child processes included, goes to standard
    error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield Path(f"/dev/fd/{kept}")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
