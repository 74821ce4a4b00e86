"""The versions that a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata


def own_version() -> str:
    """Returns this package's version."""
    return versions()["worldmodels-vmc"]


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for name in ("worldmodels-vmc", "torch", "numpy", "gymnasium", "vizdoom", "box2d", "pygame-ce", "cma"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found
