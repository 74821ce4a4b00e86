"""Arrays from somebody else's .npy and .npz files: sizes are compared before memory is taken, and nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from worldmodels.base.errors import BadFileError

#: The largest array that is read: 2 GiB, 170,000 frames of 64×64 or 2,300 of 640×480.
MAX_ARRAY_BYTES = 2**31


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Returns all arrays of an .npz file by name. Raises `BadFileError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(set(names)) < len(names):
                raise ValueError("holds two arrays of one name")
            found = {}
            for member in members:
                with archive.open(member) as file:
                    found[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
            return found
    except Exception as error:  # a damaged zip has many ways to say so
        raise BadFileError(f"{path}: not readable as .npz ({_said(error)})") from error


def read_npy(path: Path) -> NDArray[Any]:
    """Returns the array of an .npy file. Raises `BadFileError`."""
    try:
        with path.open("rb") as file:
            return _array(file, path.stat().st_size)
    except Exception as error:
        raise BadFileError(f"{path}: not readable as .npy ({_said(error)})") from error


def _array(file: IO[bytes], num_bytes: int) -> NDArray[Any]:
    """Reads an array from a file of so many bytes. Raises ValueError."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    read_header: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are never unpickled")
    wanted = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    if not 0 <= wanted <= MAX_ARRAY_BYTES:
        raise ValueError(f"an array of {wanted:,} bytes; at most {MAX_ARRAY_BYTES:,} are read")
    if wanted > num_bytes:
        raise ValueError(f"an array of {wanted:,} bytes in a file of {num_bytes:,}")
    data = file.read(wanted)
    if len(data) != wanted or file.read(1):
        raise ValueError(f"not exactly the {wanted:,} bytes of its array")
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
