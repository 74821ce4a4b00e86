"""Files on disk: written beside and renamed, hashed, and read back without ever running code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError

#: No JSON file of ours comes near this; a larger one is refused before it is read.
MAX_JSON_BYTES = 256 * 2**20


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; on success it is flushed to disk and renamed to ``path``.

    The target holds either its old content or the whole of the new one, whenever the process dies. A symbolic link stays one:
    what it names is written. A device, a pipe or an open file such as ``/dev/stdout`` gets the content and is not replaced.

    Raises:
        EnvironmentFailure: when the file system refuses (full, read-only, no rights).
    """
    try:
        if not is_plain(path):
            with tempfile.TemporaryDirectory(prefix="worldmodels-") as name:
                temporary = Path(name) / f"out{path.suffix}"
                temporary.touch()
                yield temporary
                _pour(temporary, path)
            return
        target = Path(os.path.realpath(path))
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFailure(f"{path}: cannot be written ({error.strerror or error})") from error


def take_name(folder: Path, names: Iterable[str]) -> Path:
    """Returns the first of the names that is not in the folder, and takes it there with an empty file: nobody else gets it.

    Raises:
        EnvironmentFailure: the folder cannot be written.
    """
    for path in map(folder.joinpath, names):
        try:
            path.open("x").close()
        except FileExistsError:
            continue
        except OSError as error:
            raise EnvironmentFailure(f"{path}: cannot be written ({error.strerror or error})") from error
        return path
    raise AssertionError("no name is left")


def is_plain(path: Path) -> bool:
    """Returns whether a path names a regular file, or one that is still to be made: something that may be replaced.

    Raises:
        OSError: its links go in a circle, or a folder on the way may not be entered.
    """
    if _descriptor(path) is not None:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True


def _descriptor(path: Path) -> int | None:
    """Returns the number of this process's open file that a path such as ``/dev/stdout`` names; None for any other path."""
    own = {Path(f"/proc/{os.getpid()}/fd"), Path("/dev/fd")}
    for _ in range(40):  # links that the kernel follows at most
        folder = Path(os.path.realpath(path.parent))
        if folder in own and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = folder / path.readlink()
    return None


def _pour(source: Path, path: Path) -> None:
    """Writes a file's content into what is no regular file."""
    number = _descriptor(path)
    if number == 1:
        sys.stdout.flush()
    # The open file itself: opened by its path, it would be written from its beginning, and a socket not at all.
    with source.open("rb") as content, path.open("wb") if number is None else os.fdopen(os.dup(number), "wb") as file:
        shutil.copyfileobj(content, file)


def check_folder(path: Path) -> None:
    """Raises `UserError` where no folder can be: ``path``, or one that it lies in, is a file or a link that leads to itself, or
    may not be entered."""
    for place in (path, *path.absolute().parents):
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); name another folder") from error
        if not stat.S_ISDIR(mode):
            raise UserError(f"{place}: is a file; name a folder")
        return


def check_output(path: Path) -> None:
    """Raises `UserError` where a file cannot be written: before hours of work, not after them."""
    try:
        plain = is_plain(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written there ({error.strerror}); name another file") from error
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file in it")
    if not plain:
        if _descriptor(path) is None and not os.access(path, os.W_OK):
            raise UserError(f"{path}: cannot be written to; name another file")
        return
    target = Path(os.path.realpath(path))
    folder = next(ancestor for ancestor in target.parents if ancestor.exists())
    if not folder.is_dir():
        raise UserError(f"{path}: {folder} is a file; name a file in a folder")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{path}: cannot be written there; name a file in a folder that can be")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with written_beside(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside ``target``; on success it is renamed to it, else removed.

    Raises:
        EnvironmentFailure: when the file system refuses.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(target)
    except OSError as error:
        raise EnvironmentFailure(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link_folder(source: Path, target: Path) -> None:
    """Makes ``target`` a folder with the same files as ``source``, whole or not at all: hard links, or copies elsewhere."""
    with folder_beside(target) as temporary:
        for file in source.iterdir():
            link(file, temporary / file.name)


def link(source: str | Path, target: str | Path) -> None:
    """Makes ``target`` the same file as ``source``: a hard link, or a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, whole or not at all; piece by piece, as its text may be far larger than the value."""
    with written_beside(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises `BadFileError` naming the path and what is wrong with it."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise BadFileError(f"{path}: {path.stat().st_size:,} bytes is no JSON file of ours")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadFileError(f"{path}: missing") from None
    except (ValueError, RecursionError, OSError) as error:
        raise BadFileError(f"{path}: not readable as JSON ({error})") from error


def sha256_of(path: Path) -> str:
    """Returns the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Mapping[str, Any]) -> str:
    """Returns the hexadecimal SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def remove_leftovers(folder: Path) -> int:
    """Deletes the temporary files and folders that a killed process left in a folder and below; returns how many there were."""
    # Ours, and those of safetensors' own writing.
    leftovers = [*folder.rglob(".*.tmp*"), *folder.rglob(".tmp*")]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return len(leftovers)
