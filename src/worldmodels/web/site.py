"""A site's folder: what the export wrote there, and nothing else, is replaced or removed.

`site.json` lists the files that are the export's. Whatever else lies there (CNAME, .nojekyll, .git, a README) is the owner's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError

LIST = "site.json"
FORMAT = 1


def files_of(site: Path) -> set[str]:
    """Returns which of a folder's files an export wrote, as ``site.json`` lists them, relative to it; none in a new folder.

    Raises:
        UserError: the folder holds things and is no site of ours.
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
    return {*names, LIST}


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _is_leftover(path: Path) -> bool:
    return path.name.startswith(".worldmodels-") and path.name.endswith(".tmp")


@contextlib.contextmanager
def replaced(site: Path, old: set[str]) -> Iterator[Path]:
    """Yields an empty folder; on success its files take the place of a site's old ones. If not, the site is as it was.

    The folder ``site`` stays the same one: it may be the working folder, a link's end or a mounted disk.

    Raises:
        UserError: a file of somebody else is where a new one belongs.
        OSError: the disk refuses.
    """
    new_folder = not site.exists()
    site.mkdir(parents=True, exist_ok=True)
    for path in site.iterdir():
        if _is_leftover(path):
            shutil.rmtree(path, ignore_errors=True)
    temporary = site / f".worldmodels-{os.getpid()}.tmp"
    done = False
    try:
        new, before = temporary / "new", temporary / "old"
        new.mkdir(parents=True)
        yield new
        names = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()} | {LIST}
        _check_free(site, names - old)
        # A process that dies from here on leaves files that the next export knows as its own.
        _write_list(site, old | names)
        _exchange(site, new, before, old - {LIST}, sorted(names - {LIST}))
        _write_list(site, names)
        done = True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if new_folder and not done:
            shutil.rmtree(site, ignore_errors=True)


def _check_free(site: Path, names: set[str]) -> None:
    for name in sorted(names):
        for path in (site / name, *(site / parent for parent in PurePosixPath(name).parents)):
            if path.is_symlink() or path.exists():
                if path.is_dir() and path != site / name:
                    continue
                raise UserError(f"{path}: is not the page's and is where a file of it belongs; move it, or name another folder")


def _write_list(site: Path, names: set[str]) -> None:
    files.write_json(site / LIST, {"format": FORMAT, "files": sorted(names - {LIST})})


def _exchange(site: Path, new: Path, before: Path, old: set[str], names: list[str]) -> None:
    """Moves a site's old files to ``before`` and the new ones into it; undoes all of it where the disk refuses."""
    moved: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        moved.append((source, target))

    try:
        for name in sorted(old):
            if (site / name).is_symlink() or (site / name).exists():
                move(site / name, before / name)
        for name in names:
            move(new / name, site / name)
    except BaseException:
        for source, target in reversed(moved):
            target.rename(source)
        _write_list(site, old)
        raise
    # Folders that only held what is gone.
    for folder in {parent for name in old for parent in (site / name).parents if site in parent.parents}:
        with contextlib.suppress(OSError):
            folder.rmdir()
