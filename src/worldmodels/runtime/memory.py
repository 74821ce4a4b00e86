"""Keeps freed memory in the process.

glibc hands every freed block of more than 32 MB back to the kernel, which must clear the pages when the next batch asks
for them again: a tenth to a third of the time of encoding. Frames, activations and gradients have the same sizes, batch
after batch.
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ONE_GIGABYTE = 2**30


def keep_freed_memory() -> None:
    """Tells glibc to keep blocks of up to 1 GB for the next request; does nothing elsewhere."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _ONE_GIGABYTE)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _ONE_GIGABYTE - 1)
