"""A site's folder: what the export wrote there, and nothing else, is replaced or removed.

`site.json` lists the files that are the export's. Whatever else lies there (CNAME, .nojekyll, .git, a README) is the owner's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.runs.lock import RunLock

LIST = "site.json"
#: Who exports holds this file; it is gone when the export ends.
LOCK = ".worldmodels-lock.tmp"
FORMAT = 1


def files_of(site: Path) -> set[str]:
    """Returns which of a folder's files an export wrote, as ``site.json`` lists them, relative to it; none in a new folder.

    Raises:
        UserError: the folder holds things and is no site of ours, or something of somebody else is where a listed file was.
        BadFileError: the list is damaged.
    """
    files.check_folder(site)
    if not site.exists() or all(_is_leftover(path) for path in site.iterdir()):
        return set()
    if not (site / LIST).exists():
        raise UserError(f"{site}: holds other things than a page (it has no {LIST}); name an empty or a new folder")
    found: Any = files.read_json(site / LIST)
    names = found.get("files") if isinstance(found, dict) and found.get("format") == FORMAT else None
    if not isinstance(names, list) or not all(isinstance(name, str) and _is_inside(name) for name in names):
        raise BadFileError(f"{site / LIST}: not the list of a page's files; name an empty or a new folder")
    old = {*names, LIST}
    _check_places(site, old, set())
    return old


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _is_leftover(path: Path) -> bool:
    """Returns whether a killed export, or one that is at work, wrote this beside the page's files."""
    return path.match(".worldmodels-*.tmp") or path.match(".site.*.tmp.json")


@contextlib.contextmanager
def replaced(site: Path) -> Iterator[Path]:
    """Yields an empty folder; on success its files take the place of a site's old ones. If not, the site is as it was.

    The folder ``site`` stays the same one: it may be the working folder, a link's end or a mounted disk. One process at a time
    does this. Where the folder was new and nothing comes of it, it goes again, unless somebody has put something there.

    Raises:
        UserError: another process does this, or something of somebody else is where a file belongs.
        BadFileError: the list of the site's files is damaged.
        EnvironmentFailure: the folder cannot be written.
        OSError: the disk refuses.
    """
    with RunLock(site, LOCK, "name another folder"):
        old = files_of(site)
        # The lock is ours: whoever made these is dead.
        for path in site.iterdir():
            if _is_leftover(path) and path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        temporary = site / f".worldmodels-{os.getpid()}.tmp"
        try:
            new, before = temporary / "new", temporary / "old"
            new.mkdir(parents=True)
            yield new
            names = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()} | {LIST}
            _check_places(site, old, names)
            _exchange(site, new, before, old, names)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _check_places(site: Path, old: set[str], new: set[str]) -> None:
    """Raises `UserError` where a file of the page, old or new, would take something else's place or lie outside the site."""
    for name in sorted(old | new):
        path = site / name
        for folder in (site / parent for parent in PurePosixPath(name).parents[:-1]):
            if folder.is_symlink():
                raise UserError(f"{folder}: is a link, and files of the page belong in it; remove it, or name another folder")
            if name in new and folder.exists() and not folder.is_dir():
                raise _in_the_way(folder)
        if (name not in old and path.is_symlink()) or (path.exists() and not (name in old and path.is_file())):
            raise _in_the_way(path)


def _in_the_way(path: Path) -> UserError:
    return UserError(f"{path}: is not the page's and is where a file of it belongs; move it, or name another folder")


def _write_list(site: Path, names: set[str]) -> None:
    files.write_json(site / LIST, {"format": FORMAT, "files": sorted(names - {LIST})})


def _exchange(site: Path, new: Path, before: Path, old: set[str], names: set[str]) -> None:
    """Moves a site's old files to ``before`` and the new ones into it; undoes all of it where the disk refuses."""
    moved: list[tuple[Path, Path]] = []
    made: list[Path] = []

    def move(source: Path, target: Path) -> None:
        made[:0] = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        moved.append((source, target))

    try:
        # A process that dies from here on leaves files that the next export knows as its own.
        _write_list(site, old | names)
        for name in sorted(old - {LIST}):
            if (site / name).is_symlink() or (site / name).exists():
                move(site / name, before / name)
        for name in sorted(names - {LIST}):
            move(new / name, site / name)
        _write_list(site, names)
    except BaseException:
        for source, target in reversed(moved):
            target.rename(source)
        _remove_empty(made)
        if old:
            _write_list(site, old)
        else:
            (site / LIST).unlink(missing_ok=True)
        raise
    # Folders that only held what is gone.
    _remove_empty(sorted({parent for name in old for parent in (site / name).parents if site in parent.parents}, reverse=True))


def _remove_empty(folders: Iterable[Path]) -> None:
    """Removes the folders that hold nothing; of nested ones the inner come first."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
