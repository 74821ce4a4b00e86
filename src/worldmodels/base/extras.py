"""How a package that an extra brings is installed, as this one was."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "worldmodels-vmc"


def how_to_install(extra: str) -> str:
    """Returns the command that brings an extra's packages, in words: from a clone, from the wheel's file, or by name."""
    try:
        origin = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:  # the sources alone
        origin = {"dir_info": {}}
    if "dir_info" in origin:
        return f"""'pip install -e ".[{extra}]"' in the folder of the clone brings it"""
    wheel = Path(unquote(urlsplit(origin.get("url", "")).path))
    return f"""'pip install "{wheel if wheel.name.endswith(".whl") else NAME}[{extra}]"' brings it"""
