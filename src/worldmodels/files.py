"""Files on disk: written beside and renamed, hashed, and read back without ever running code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worldmodels.errors import BadFileError, EnvironmentFailure

#: No JSON file of ours comes near this; a larger one is refused before it is read.
MAX_JSON_BYTES = 256 * 2**20


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; on success it is flushed to disk and renamed to ``path``.

    The target holds either its old content or the whole of the new one, whenever the process dies.

    Raises:
        EnvironmentFailure: when the file system refuses (full, read-only, no rights).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFailure(f"{path}: cannot be written ({error.strerror or error})") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with written_beside(path) as temporary:
        temporary.write_bytes(data)


def link_folder(source: Path, target: Path) -> None:
    """Makes ``target`` a folder with the same files as ``source``, whole or not at all: hard links, or copies elsewhere."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for file in source.iterdir():
            try:
                os.link(file, temporary / file.name)
            except OSError:
                shutil.copy2(file, temporary / file.name)
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise EnvironmentFailure(f"{target}: cannot be written ({error.strerror or error})") from error


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
