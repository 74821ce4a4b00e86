"""Files that are made once, and again only where they are gone, changed, or made from something else: ``made.json`` beside them
says from what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import BadFileError

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


def read_table(path: Path) -> dict[str, Any]:
    """Returns what an earlier call noted in a JSON file; nothing where there is none, or a damaged one: it is made again."""
    try:
        found = files.read_json(path)
    except BadFileError:
        return {}
    return dict(found) if isinstance(found, dict) else {}
