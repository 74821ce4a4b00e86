"""How large an installation is, and what of it which dependency brings: ``python -m tools.package_sizes SITE --json FILE``.

SITE is the folder site-packages of an environment that holds the wheel and its dependencies and nothing else (docs/install.md
has the commands). A dependency's ``alone`` is what would go with it: itself and all that only it needs.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from worldmodels.base import files

OWN = "worldmodels-vmc"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needs(distribution: metadata.Distribution) -> list[str]:
    """Returns what a distribution requires without its extras, whatever the machine."""
    found = [line for line in distribution.requires or () if "extra ==" not in line and "extra==" not in line]
    return [_plain(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in found]


def _reached(needs: dict[str, list[str]], without: str = "") -> set[str]:
    """Returns what the package needs, directly or not, if one dependency were not there."""
    found: set[str] = set()
    left = [OWN]
    while left:
        name = left.pop()
        if name in needs and name not in found and name != without:
            found.add(name)
            left += needs[name]
    return found


def sizes(site: Path) -> dict[str, Any]:
    """Returns the sizes in bytes of all that is installed in a folder, and of each direct dependency."""
    found = {_plain(each.metadata["Name"]): each for each in metadata.distributions(path=[str(site)])}
    needs = {name: _needs(each) for name, each in found.items()}
    size = {}
    for name, each in found.items():
        paths = [Path(str(each.locate_file(path))) for path in each.files or ()]
        size[name] = sum(path.stat().st_size for path in paths if path.is_file())
    everything = _reached(needs)
    rows = []
    for name in sorted(set(needs[OWN]) & everything):
        alone = everything - _reached(needs, without=name)
        brings = sorted(alone - {name}, key=lambda each: -size[each])
        row = {"name": name, "version": found[name].version, "bytes": size[name], "brings": brings}
        rows.append({**row, "alone_bytes": sum(size[each] for each in alone)})
    rows.sort(key=lambda row: -row["alone_bytes"])
    total = sum(size[name] for name in everything)
    return {"total_bytes": total, "own_bytes": size[OWN], "torch": found["torch"].version, "dependencies": rows}


def main() -> int:
    """Writes the sizes."""
    site, flag, out = sys.argv[1:]
    if flag != "--json":
        raise SystemExit("python -m tools.package_sizes SITE --json FILE")
    files.write_json(Path(out), sizes(Path(site)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
