"""Executes notebooks and keeps their outputs: ``python -m tools.notebooks NOTEBOOK…``; ``make figures`` does the stale ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from worldmodels.base.files import write_bytes

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> NotebookNode:
    """Returns a notebook as a clean run from top to bottom leaves it, without anything that differs from run to run."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = []
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=place, record_timing=False).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the tests; on a busy machine threads wait for each other
    for argument in map(Path, sys.argv[1:]):
        write_bytes(argument, (nbformat.writes(executed(argument)) + "\n").encode())
