"""The page as `make page` builds it from `web/`; a wheel has it built."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from worldmodels.base.errors import EnvironmentFailure

#: The built page; part of the wheel.
STATIC = Path(__file__).parent / "static"
#: Its sources, in a clone.
WEB = Path(__file__).parents[3] / "web"
#: In STATIC: the hash of the sources that it was built from.
HASH = "sources.sha256"
#: What the page is built from, and all in `src`: `vite.config.ts` says the same.
SOURCES = ("index.html", "package-lock.json", "vite.config.ts")


def check_built() -> None:
    """Says in one line, in a clone, that the page is older than its sources.

    Raises:
        EnvironmentFailure: it is not built at all.
    """
    if not (STATIC / "index.html").exists():
        raise EnvironmentFailure(f"{STATIC}: the page is not built; 'make demo' builds it and needs Node 20 or later with npm")
    if not all((WEB / name).exists() for name in SOURCES):
        return
    built = STATIC / HASH
    if not built.exists() or built.read_text(encoding="utf-8").strip() != sources_hash(WEB):
        print(
            f"export web: the page was built from other sources than {WEB} has now; 'make page' builds it anew", file=sys.stderr
        )


def sources_hash(web: Path) -> str:
    """Returns the hexadecimal SHA-256 of the page's sources: their names and bytes."""
    found = hashlib.sha256()
    names = [*SOURCES, *(path.relative_to(web).as_posix() for path in (web / "src").rglob("*") if path.is_file())]
    for name in sorted(names):
        found.update(f"{name}\n".encode())
        found.update((web / name).read_bytes())
    return found.hexdigest()
