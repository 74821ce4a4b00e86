"""A scenario's WAD with one word of it changed: the numbers and textures of a map are text in one of its lumps."""

from __future__ import annotations

import struct

from worldmodels.base.errors import EnvironmentFailure

HEADER, ENTRY = struct.Struct("<4sii"), struct.Struct("<ii8s")


def edited(wad: bytes, lump: str, old: str, new: str) -> bytes:
    """Returns a WAD in which ``old``, which stands just once in the lump of this name, is ``new``.

    Raises:
        EnvironmentFailure: the file is no WAD, or does not hold ``old`` just once: another version of ViZDoom's.
    """
    try:
        kind, count, start = HEADER.unpack_from(wad)
        entries = [ENTRY.unpack_from(wad, start + number * ENTRY.size) for number in range(count)]
    except struct.error as error:
        raise EnvironmentFailure(f"this ViZDoom's scenario is no WAD ({error})") from error
    data, directory, found = b"", b"", 0
    for offset, size, name in entries:
        body = wad[offset : offset + size]
        if name.rstrip(b"\0") == lump.encode():
            found += body.count(old.encode())
            body = body.replace(old.encode(), new.encode())
        directory += ENTRY.pack(HEADER.size + len(data), len(body), name)
        data += body
    if found != 1:
        raise EnvironmentFailure(f"this ViZDoom's scenario has '{old}' {found} times in {lump}; it must be there once")
    return HEADER.pack(kind, count, HEADER.size + len(data)) + data + directory
