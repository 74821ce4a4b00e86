"""Pages that are made from the code: written, or with ``--check`` compared to what they should be."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from worldmodels.base import files


def write_or_check(pages: Mapping[Path, str], module: str, doc: str | None) -> int:
    """Writes the pages; with ``--check`` on the command line it only names those that are not what the code says, and returns 1
    if there are any.

    Args:
        module: what makes them, as ``python -m`` runs it; ``doc`` is its docstring.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--check", action="store_true")
    check, stale = parser.parse_args().check, 0
    for path, text in pages.items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            files.write_bytes(path, text.encode())
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path}: is not what the code says; run 'python -m {module}'")
            stale = 1
    return stale
