"""What of a finished run nothing but training needs, and taking it out: models, scores, logs and pictures stay."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from worldmodels.base.errors import UserError
from worldmodels.runs.layout import DONE, PPO_STATE, STARTED, TRAINING_STATE
from worldmodels.runs.run import Run

#: Of each stage: its whole folder, or what in it only a killed stage would go on from.
_PARTS = {
    "collect": "",
    "encode": "",
    "vae": Path(TRAINING_STATE).parts[0],
    "rnn": Path(TRAINING_STATE).parts[0],
    "controller": PPO_STATE,
}


def not_needed(run: Run) -> list[Path]:
    """Returns the files, folders and links that only training needs.

    Raises:
        UserError: there is something left to train, or the folder that one of them is in is a link out of the run.
    """
    if run.done("controller") is None:
        raise UserError(
            f"{run.path}: not finished, and needs its episodes and latents; 'worldmodels inspect {run.path}' says what is next"
        )
    places = [run.stage_path(stage) / part for stage, part in _PARTS.items()]
    found = [place for place in places if place.exists() or place.is_symlink()]
    for place in found:
        if place.parent.resolve() != run.path.resolve() / place.parent.relative_to(run.path):
            raise UserError(
                f"{place}: lies in {place.parent.resolve()}, which {place.parent} is a link to; what is outside the run is "
                f"not taken out: put the folder itself in the link's place, or clean by hand"
            )
    return found


def bytes_freed(places: Iterable[Path]) -> int:
    """Returns how many bytes their removal frees: what another run has hard links to stays on the disk."""
    found: dict[tuple[int, int], list[int]] = {}
    for place in places:
        if place.is_symlink():
            continue
        for file in place.rglob("*") if place.is_dir() else (place,):
            if file.is_file() and not file.is_symlink():
                stat = file.stat()
                found.setdefault((stat.st_dev, stat.st_ino), [stat.st_size, stat.st_nlink]).append(1)
    return sum(size for size, links, *seen in found.values() if len(seen) == links)


def is_cleaned(run: Run, stage: str) -> bool:
    """Returns whether a finished run's stage has been taken out."""
    return run.done("controller") is not None and not (run.stage_path(stage) / STARTED).exists()


def remove(places: Iterable[Path]) -> None:
    """Removes them, of a link the link alone; killed half-way, a second call removes the rest."""
    for place in places:
        if place.is_symlink() or not place.is_dir():
            place.unlink(missing_ok=True)
            continue
        for mark in (DONE, STARTED):  # a stage that has lost some of its files is not a finished one
            (place / mark).unlink(missing_ok=True)
        shutil.rmtree(place)
