"""What was done in a video, a row a frame: a CSV file, or an .npy array of actions.

A CSV file may begin with a line of names. The columns ``reward``, ``terminated`` (the episode ends with this step),
``truncated`` (it is cut after this step) and ``damage`` are what they say; all others are the action's components.
"""

from __future__ import annotations

import csv
import difflib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodels.base.errors import BadFileError
from worldmodels.base.types import Floats, Mask
from worldmodels.data.recordings.arrays import read_npy
from worldmodels.data.recordings.checked import as_numbers

ENDS = ("terminated", "truncated")
NAMED = ("reward", *ENDS, "damage")
#: What others call the end of an episode.
OTHER_ENDS = ("done", "dones", "terminal", "terminals")
#: How tables write truth.
TRUTH = {"true": "1", "false": "0"}
#: No table of ours comes near this.
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class ActionTable:
    """A row a frame: actions float32 [T, A]; rewards and damage float32 [T], None where they were not recorded; terminated and
    truncated bool [T]."""

    actions: Floats
    rewards: Floats | None
    terminated: Mask
    truncated: Mask
    damage: Floats | None


def read_table(path: Path) -> ActionTable:
    """Reads a .csv or .npy file. Raises `BadFileError` naming the line or the step, and the column."""
    if path.suffix == ".npy":
        actions = as_numbers(str(path), read_npy(path), 2)
        none = np.zeros(len(actions), np.bool_)
        return ActionTable(actions, None, none, none, None)
    names, rows = _csv(path)
    columns = {name: np.array([row[i] for row in rows], np.float32) for i, name in enumerate(names)}
    components = [column for name, column in columns.items() if name not in NAMED]
    if not components:
        raise BadFileError(f"{path}: has no column of actions, only {', '.join(names)}")
    none = np.zeros(len(rows), np.float32)
    ends = {name: columns.get(name, none) == 1 for name in ENDS}
    return ActionTable(np.stack(components, 1), columns.get("reward"), damage=columns.get("damage"), **ends)


def _csv(path: Path) -> tuple[list[str], list[list[float]]]:
    """Returns the columns' names and the numbers of each row."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, ValueError, csv.Error) as error:
        raise BadFileError(f"{path}: not readable as CSV ({error})") from error
    names: list[str] = []
    if lines and not any(_is_number(cell) for cell in lines[0][1]):
        names = [name.lower() if name.lower() in NAMED else name for name in lines.pop(0)[1]]
        for name in names:
            if meant := _meant(name):
                raise BadFileError(f"{path}, line 1: '{name}' would be an action; call it '{meant}', or leave the column out")
        if len(set(names)) < len(names) or "" in names:
            raise BadFileError(f"{path}, line 1: each column needs a name of its own; found {', '.join(map(repr, names))}")
    if not lines:
        raise BadFileError(f"{path}: has no rows")
    names = names or [f"column {i + 1}" for i in range(len(lines[0][1]))]
    return names, [_row(f"{path}, line {number}", names, cells) for number, cells in lines]


def _meant(name: str) -> str:
    """Returns what a column's name nearly is; empty where it may well be an action's."""
    word = name.lower()
    if word in NAMED:
        return ""
    near = difflib.get_close_matches(word, NAMED, n=1, cutoff=0.85)
    return near[0] if near else "terminated" if word in OTHER_ENDS else ""


def _row(where: str, names: list[str], cells: list[str]) -> list[float]:
    if len(cells) != len(names):
        raise BadFileError(f"{where}: has {len(cells)} cells; expected {len(names)}")
    numbers = []
    for name, cell in zip(names, cells, strict=True):
        if not _is_number(cell) and not (name in ENDS and cell.lower() in TRUTH):
            raise BadFileError(f"{where}, '{name}': {cell!r} is no number")
        number = float(TRUTH.get(cell.lower(), cell))
        if not math.isfinite(number) or abs(number) > np.finfo(np.float32).max:
            raise BadFileError(f"{where}, '{name}': is {cell}; every number must be finite and fit float32")
        if name in ENDS and number not in (0, 1):
            raise BadFileError(f"{where}, '{name}': is {cell}; expected 1 (the end) or 0")
        numbers.append(number)
    return numbers


def _is_number(cell: str) -> bool:
    if "_" in cell:  # a number in Python alone
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
