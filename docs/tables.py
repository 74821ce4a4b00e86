"""Writes the README's figures from the JSON files under results/: ``python docs/tables.py``; ``--check`` only compares."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def _read(name: str) -> Any:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"


def _score(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    return f"{row['mean']:.0f} ± {row['std']:.0f} | {row['num_episodes']} | {low:.0f} to {high:.0f}"


def scores_table() -> str:
    """The scores of TakeCover's committed runs, from their evaluation/results.json."""
    lines = ["| | where | mean ± std | episodes | 95% interval | time on two cores |", "| --- | --- | --: | --: | --: | --: |"]
    smoke, laptop = _read("take-cover/smoke/results.json"), _read("take-cover/laptop/results.json")
    lines.append(f"| random policy | real game | {_score(laptop['evaluations']['random'])} | |")
    for name, summary in (("smoke", smoke), ("laptop", laptop)):
        rows, took = summary["evaluations"], _minutes(summary["seconds"]["total"])
        dream = rows["dream"]
        lines.append(f"| `SCALE={name}` | dream, τ {dream['temperature']:g} | {_score(dream)} | |")
        lines.append(f"| `SCALE={name}` | **real game** | {_score(rows['real'])} | {took} |")
    lines.append("| paper (10,000 episodes, a P100 and 64 cores) | dream, τ 1.15 | 918 ± 546 | 100 | | |")
    lines.append('| paper | real game | 1092 ± 556 | 100 | | "less than 24 hours" |')
    return "\n".join(lines)


def speed_table() -> str:
    """The bench's rows, from results/bench.json."""
    bench = _read("bench.json")
    machine = bench["machine"]
    lines = ["| | speed | times the baseline | of the bound | measured how |", "| --- | --: | --: | --: | --- |"]
    for row in bench["rows"]:
        times = "" if row["ratio"] is None else f"{row['ratio']:,.3g}"
        bound = "" if row["fraction_of_bound"] is None else f"{row['fraction_of_bound']:.0%}"
        lines.append(f"| {row['name']} | {row['value']:,.4g} {row['unit']} | {times} | {bound} | {row['note']} |")
    lines.append("")
    lines.append(
        f"Measured on {machine['cores']} cores of {machine['cpu']}, torch {machine['torch']}, {machine['compute_dtype']}."
    )
    return "\n".join(lines)


BLOCKS = {"scores": scores_table, "speed": speed_table}


def fill(text: str) -> str:
    """Returns the README with every marked block made anew."""
    for name, make in BLOCKS.items():
        start, end = f"<!-- {name}: made by docs/tables.py -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if pattern.search(text):
            block = f"{start}\n{make()}\n{end}"
            text = pattern.sub(lambda _, block=block: block, text)
    return text


def main() -> int:
    """Rewrites the README; with ``--check`` returns 1 if that would change it."""
    old = README.read_text(encoding="utf-8")
    new = fill(old)
    if "--check" in sys.argv[1:]:
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
