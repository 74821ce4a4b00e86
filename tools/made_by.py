"""What made every picture, notebook and measured file here, and whether it is still true: ``python -m tools.made_by``.

results/made_by.json has a row a file, or a pattern of files that one command makes:

  command   what makes it, from the repository's root
  needs     (some) the run's folder that the command reads; where that is no longer here, the file is kept as it is
  inputs    (some) the files that it shows, patterns allowed when written by hand, each with its SHA-256 when it was made
  sha256    (pictures and notebooks) its own

A file is stale once an input, or the file itself, is another than was recorded. Without flags this makes what is stale of the
pictures and notebooks anew; ``--check`` only names it, and every file without a row, and returns 1 if there is any.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worldmodels.base import files

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "results/made_by.json"
PICTURES = (".png", ".svg", ".gif", ".mp4", ".jpg", ".webp", ".ipynb")
#: Written by hand and kept without outputs: not made by anything.
BY_HAND = ("notebooks/colab.ipynb",)
MEASURED = (".json", ".jsonl", ".md")


def read() -> dict[str, dict[str, Any]]:
    """Reads the rows by file or pattern."""
    return dict(files.read_json(ROOT / MANIFEST))


def kept(suffixes: tuple[str, ...], *folders: str) -> list[str]:
    """Returns the files that end so, relative to the root, sorted."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    names = (path.relative_to(ROOT).as_posix() for path in found)
    return sorted(name for name in names if ".ipynb_checkpoints" not in name and name not in (MANIFEST, *BY_HAND))


def hashes(inputs: Iterable[str]) -> dict[str, str]:
    """Returns the SHA-256 of every file that the names or patterns mean. Raises `FileNotFoundError` for one that means none."""
    found: dict[str, str] = {}
    for pattern in inputs:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise FileNotFoundError(f"{pattern}: no such file; {MANIFEST} names it as an input")
        found |= {path.relative_to(ROOT).as_posix(): files.sha256_of(path) for path in paths}
    return found


def what_is_stale(name: str, row: dict[str, Any]) -> str:
    """Returns what of a row's is another than when its file was made: a file's name, or nothing."""
    path: str
    for path, digest in row.get("inputs", {}).items():
        if not (ROOT / path).exists() or files.sha256_of(ROOT / path) != digest:
            return path
    if name.endswith(PICTURES) and files.sha256_of(ROOT / name) != row.get("sha256"):
        return name
    return ""


def faults(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Returns a line for every file without a row, every row without a file, and every file that is stale."""
    pictures = kept(PICTURES, "results", "docs", "notebooks")
    measured = [*kept(MEASURED, "results"), *kept((".json",), "src/worldmodels/shipped")]
    lines = [f"{name}: has no row in {MANIFEST}; add one with its command and inputs" for name in pictures if name not in rows]
    covered = {path.relative_to(ROOT).as_posix() for pattern in rows for path in ROOT.glob(pattern)}
    lines += [f"{name}: has no row in {MANIFEST}; add one with its command" for name in measured if name not in covered]
    for name, row in rows.items():
        if not any(ROOT.glob(name)):
            lines.append(f"{name}: is in {MANIFEST} and no longer here; take its row out")
        elif stale := what_is_stale(name, row):
            lines.append(f"{name}: is stale, for {stale} has changed since it was made by: {row['command']}")
    return lines


def record(names: Iterable[str]) -> None:
    """Writes down that these files have just been made from what their rows name."""
    rows = read()
    for name in names:
        if name not in rows:
            print(f"{name}: has no row in {MANIFEST}; add one with its command and inputs")
            continue
        row = rows[name]
        if "inputs" in row:
            row["inputs"] = hashes(row["inputs"])
        if name.endswith(PICTURES):
            row["sha256"] = files.sha256_of(ROOT / name)
    files.write_json(ROOT / MANIFEST, rows)


def remake() -> int:
    """Runs the commands of the stale pictures and notebooks, each once; returns 1 if anything is left to be done by hand."""
    rows = read()
    stale = {name: row for name, row in rows.items() if name.endswith(PICTURES) and what_is_stale(name, row)}
    possible = {name: row for name, row in stale.items() if (ROOT / row.get("needs", "")).exists()}
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for command in dict.fromkeys(row["command"] for row in possible.values()):
        print(command, flush=True)
        if subprocess.run(command, shell=True, cwd=ROOT, env=os.environ | {"PATH": programs}, check=False).returncode:
            continue  # it has said why, and what it should have made stays stale
        record(name for name, row in possible.items() if row["command"] == command)
    left = faults(read())
    print("\n".join(left) or "every picture and notebook shows what is here")
    return int(bool(left))


def check() -> int:
    """Prints what is wrong; returns 1 if anything is."""
    found = faults(read())
    print("\n".join(found) or "every picture and notebook shows what is here")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv[1:] else remake())
