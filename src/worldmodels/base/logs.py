"""Rows of JSON, one a line: written as work goes on, read back however long, torn lines passed over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import BadFileError

#: No row of a log of ours comes near this; the longest are histories', with a fitness for each of up to 65,536 candidates.
MAX_ROW_BYTES = 8 * 2**20


class MetricsLog:
    """A JSONL file of measurements that resumes: rows of steps past the last checkpoint are cut before it goes on."""

    def __init__(self, path: Path, key: str, resume_at: int) -> None:
        """Keeps the rows whose ``key`` is at most ``resume_at``; a torn last line is cut."""
        self.path = path
        with files.written_beside(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in each_row(path, key) if path.exists() else ():
                if row[key] <= resume_at:
                    file.write(json.dumps(row) + "\n")

    def write(self, **row: Any) -> None:
        """Appends one row, with the wall-clock time in seconds since the epoch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, "time": round(time.time(), 3)}) + "\n")


def each_row(path: Path, *numbers: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of a JSONL file of any length, one in memory at a time; a torn line is passed over.

    Raises:
        BadFileError: it is missing, a line is longer than any of ours, a row is no table, or one of the keys ``numbers`` holds
            no number in it.
    """
    if not path.exists():
        raise BadFileError(f"{path}: missing")
    number = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_ROW_BYTES):
            if len(line) == MAX_ROW_BYTES:
                raise BadFileError(f"{path}: a line of {MAX_ROW_BYTES:,} bytes or more is no row of ours")
            try:
                row = json.loads(line.decode(errors="replace"))
            except (ValueError, RecursionError):
                continue
            number += 1
            if not isinstance(row, dict):
                raise BadFileError(f"{path}: row {number} is no table")
            for name in numbers:
                if type(row.get(name)) not in (int, float):
                    raise BadFileError(f"{path}: '{name}' is {row.get(name)!r} in row {number}; expected a number")
            yield row


def read_jsonl(path: Path, *numbers: str) -> list[dict[str, Any]]:
    """Reads a JSONL file whole. Raises `BadFileError` as `each_row` does, and for a file that is larger than any to be held."""
    if path.exists() and (size := path.stat().st_size) > files.MAX_JSON_BYTES:
        raise BadFileError(f"{path}: {size:,} bytes is no log of ours")
    return list(each_row(path, *numbers))


def rows_so_far(path: Path, *numbers: str) -> list[dict[str, Any]]:
    """Reads a log that may not have begun: no rows then. Raises `BadFileError` as `read_jsonl` does."""
    return read_jsonl(path, *numbers) if path.exists() else []
