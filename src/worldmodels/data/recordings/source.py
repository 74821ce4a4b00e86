"""Where recordings come from: a Minari dataset, .npz files, or videos; each part of a source holds one episode or several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.data.episodes import Episode
from worldmodels.data.recordings import minari, npz, video

VIDEOS = tuple(video.READERS)
ENDINGS = (".npz", *VIDEOS)


class Source(Protocol):
    """Episodes made elsewhere.

    Attributes:
        name: what to call it, in letters, digits, ``-``, ``_`` and ``.``.
        num_parts: files, or episodes of a dataset.
        num_choices: how many actions there are to choose among; 0: they are numbers.
    """

    name: str
    num_parts: int
    num_choices: int

    def sha256(self) -> str:
        """Returns the hash of all that is read. Raises `OSError`."""

    def part_name(self, part: int) -> str:
        """Returns what to call a part in a message."""

    def read(self, part: int, first: int) -> list[Episode]:
        """Reads the episodes of a part; those without a seed of their own have ``first``, ``first`` + 1, …

        Raises:
            BadFileError: it is damaged, or its arrays do not fit.
        """


class Files:
    """A folder of .npz files or of videos, with those below it, or a single file."""

    num_choices = 0

    def __init__(self, path: Path, found: Sequence[Path]) -> None:
        self.name = _plain_name(path.stem if path.is_file() else path.resolve().name)
        self._root, self._files, self.num_parts = path, found, len(found)
        self._are_videos = found[0].suffix.lower() in VIDEOS
        # Before any work: a video without its actions.
        self._tables = [video.table_of(file) for file in found] if self._are_videos else []

    def sha256(self) -> str:
        """Returns the hash of all files and of their names within the folder."""
        every = [*self._files, *self._tables]
        return files.fingerprint({str(path.relative_to(self._root.parent)): files.sha256_of(path) for path in every})

    def part_name(self, part: int) -> str:
        """Returns the file's path."""
        return str(self._files[part])

    def read(self, part: int, first: int) -> list[Episode]:
        """Reads a file."""
        if self._are_videos:
            return video.read_episodes(self._files[part], first)
        return [npz.read_episode(self._files[part], first)]


class Dataset:
    """A Minari dataset."""

    def __init__(self, folder: Path) -> None:
        self._episodes = minari.MinariEpisodes(folder)
        self._folder = folder
        named = folder.resolve().parent if folder.name == "data" else folder.resolve()
        self.name = _plain_name(named.name)
        self.num_parts, self.num_choices = self._episodes.num_episodes, self._episodes.num_choices
        if not self.num_parts:
            raise UserError(f"{folder}: has no episodes")

    def sha256(self) -> str:
        """Returns the hash of all files of the dataset."""
        found = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return files.fingerprint({str(path.relative_to(self._folder)): files.sha256_of(path) for path in found})

    def part_name(self, part: int) -> str:
        """Returns the folder and the episode's number."""
        return f"{self._folder}, episode {part}"

    def read(self, part: int, first: int) -> list[Episode]:
        """Reads an episode."""
        return [self._episodes.read(part)]


def open_source(source: str, leave_out: Path) -> Source:
    """Opens what a path, or the name of a local Minari dataset, means.

    Args:
        leave_out: a folder that is not looked into where it lies below the path: the run's own. Hidden ones are not, either.

    Raises:
        UserError: there is nothing of the kind, or files of two kinds.
        BadFileError: a dataset is damaged.
    """
    folder = minari.dataset_folder(source)
    if folder is not None:
        return Dataset(folder)
    path = Path(source)
    if not path.exists():
        raise UserError(f"{source}: no such file, folder or local Minari dataset")
    found = [path] if path.is_file() else [p for p in _visible(path, leave_out) if p.is_file()]
    found = sorted((p for p in found if p.suffix.lower() in ENDINGS), key=_in_order)
    kinds = {ending if (ending := p.suffix.lower()) not in VIDEOS else "video" for p in found}
    if not found:
        raise UserError(f"{source}: holds no recordings; a Minari dataset, or files that end in {', '.join(ENDINGS)}, are read")
    if len(kinds) > 1:
        raise UserError(f"{source}: holds files of two kinds, {' and '.join(sorted(kinds))}; put each into a folder of its own")
    return Files(path, found)


def _visible(folder: Path, leave_out: Path) -> Iterator[Path]:
    """Yields what lies in a folder, but for what is hidden and a folder below it."""
    root, left_out = folder.resolve(), leave_out.resolve()
    is_below = root in left_out.parents
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        is_hidden = any(part.startswith(".") for part in inside.parts)
        if not is_hidden and not (is_below and left_out in path.parents):
            yield folder / inside


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Orders rollout_2 before rollout_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _plain_name(name: str) -> str:
    """Returns a name that would do for a task."""
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]+", "-", name).strip("-._") or "recordings"
