"""The errors a user meets: each is one line that names the thing and the mend, and carries the exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorldModelsError(Exception):
    """Base of every documented error; the command line prints its text and exits with ``exit_code``."""

    exit_code = 1


class UserError(WorldModelsError):
    """The request cannot be met as asked: a misspelt name, a value out of range, two parts that do not match."""

    exit_code = 2


class BadFileError(WorldModelsError):
    """A file is truncated, corrupted or not of the kind that its name promises."""

    exit_code = 3


class EnvironmentFailure(WorldModelsError):
    """The simulator or the disk failed: a game that died, no space, no rights."""

    exit_code = 4


def on_one_line(text: str) -> str:
    """Returns a text whose line breaks, and whatever else a terminal would obey or not show, are written out (``\\n``,
    ``\\x1b``): it may quote a stranger's file or an argument. So are bytes of a file's name that are no text (``\\xff``)."""
    return "".join(c if c.isprintable() else _written_out(c) for c in text)


def _written_out(character: str) -> str:
    byte = ord(character) - 0xDC00  # as Python keeps bytes that are no text
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode("ascii")


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the closest known word, or the list of known words."""
    known = sorted(known)
    return did_you_mean(word, known) or f"; known: {', '.join(known)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the closest known word, or nothing where none is close."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else ""
