"""Files that are made once, and again only where they are gone, changed, or made from something else: ``made.json`` beside them
says from what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import BadFileError
from worldmodels.runs.layout import TABLE, TABLE_PICTURE, TABLE_TEXT

RECORD = "made.json"


def make_once(path: Path, inputs: Mapping[str, Any], make: Callable[[Path], object]) -> None:
    """Calls ``make(path)`` unless an earlier call with the same inputs has left the file as it is.

    Args:
        inputs: JSON values that decide what the file shows.
    """
    record, asked = path.parent / RECORD, files.fingerprint(inputs)
    made = read_table(record)
    if path.is_file() and made.get(path.name) == {"inputs": asked, "sha256": files.sha256_of(path)}:
        return
    make(path)
    files.write_json(record, {**made, path.name: {"inputs": asked, "sha256": files.sha256_of(path)}})


def write_table(folder: Path, table: Mapping[str, Any], text: str, draw: Callable[[Path], object]) -> None:
    """Writes what `worldmodels table` leaves, each file once: the table as JSON, as text, and as ``draw(path)`` draws it."""
    make_once(folder / TABLE, table, lambda path: files.write_json(path, table))
    make_once(folder / TABLE_TEXT, table, lambda path: files.write_bytes(path, text.encode()))
    make_once(folder / TABLE_PICTURE, table, draw)


def read_table(path: Path) -> dict[str, Any]:
    """Returns what an earlier call noted in a JSON file; nothing where there is none, or a damaged one: it is made again."""
    try:
        found = files.read_json(path)
    except BadFileError:
        return {}
    return dict(found) if isinstance(found, dict) else {}
