"""How large an installation is, and what of it which dependency brings: ``python -m tools.package_sizes SITE CUDA_SITE``.

SITE is the folder site-packages of an environment that holds the wheel, torch's CPU build and the other dependencies, CUDA_SITE
that of one that holds pip's default torch for Linux; both hold nothing else. It writes results/package.json. A dependency's
``alone_bytes`` is what would go with it: itself and all that only it needs.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from worldmodels.base import files

OWN = "worldmodels-vmc"
OUT = Path(__file__).resolve().parent.parent / "results" / "package.json"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needs(distribution: metadata.Distribution) -> list[str]:
    """Returns what a distribution requires without its extras, whatever the machine."""
    found = [line for line in distribution.requires or () if "extra ==" not in line and "extra==" not in line]
    return [_plain(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in found]


def _reached(needs: dict[str, list[str]], without: str = "", start: str = OWN) -> set[str]:
    """Returns what a package needs, directly or not, if one dependency were not there."""
    found: set[str] = set()
    left = [start]
    while left:
        name = left.pop()
        if name in needs and name not in found and name != without:
            found.add(name)
            left += needs[name]
    return found


def _installed(site: Path) -> tuple[dict[str, metadata.Distribution], dict[str, list[str]], dict[str, int]]:
    """Returns what is installed in a folder, and of each what it needs and its size in bytes."""
    found = {_plain(each.metadata["Name"]): each for each in metadata.distributions(path=[str(site)])}
    needs = {name: _needs(each) for name, each in found.items()}
    size = {}
    for name, each in found.items():
        paths = [Path(str(each.locate_file(path))) for path in each.files or ()]
        size[name] = sum(path.stat().st_size for path in paths if path.is_file())
    return found, needs, size


def sizes(site: Path, cuda_site: Path) -> dict[str, Any]:
    """Returns the sizes in bytes of all that is installed in a folder, of each direct dependency, and of torch with CUDA."""
    found, needs, size = _installed(site)
    everything = _reached(needs)
    rows: list[dict[str, Any]] = []
    for name in sorted(set(needs[OWN]) & everything):
        alone = everything - _reached(needs, without=name)
        brings = sorted(alone - {name}, key=lambda each: -size[each])
        row = {"name": name, "version": found[name].version, "bytes": size[name], "brings": brings}
        rows.append({**row, "alone_bytes": sum(size[each] for each in alone)})
    rows.sort(key=lambda row: -row["alone_bytes"])
    total = sum(size[name] for name in everything)
    cuda, cuda_needs, cuda_size = _installed(cuda_site)
    # All of CUDA's libraries, also those that torch names as the extras of another package.
    brought = _reached(cuda_needs, start="torch") | {name for name in cuda if name.startswith(("nvidia-", "cuda-", "triton"))}
    torch = {"version": cuda["torch"].version, "bytes": sum(cuda_size[name] for name in brought)}
    own = {"total_bytes": total, "own_bytes": size[OWN], "torch": found["torch"].version}
    return {**own, "torch_with_cuda": torch, "dependencies": rows}


def main() -> int:
    """Writes the sizes."""
    site, cuda_site = sys.argv[1:]
    files.write_json(OUT, sizes(Path(site), Path(cuda_site)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
