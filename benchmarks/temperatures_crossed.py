"""Every C of a temperature table in the dream of every row: was it the dream that a C failed in, or its search?

    python -m benchmarks.temperatures_crossed TABLE [--episodes 320] [--json TABLE/crossed.json]

TABLE is the folder that `worldmodels table temperature` has finished. A C that scores more in another row's dream than the C
that was searched there says that the search, not the dream, is what was short.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import worldmodels as wm
from worldmodels.base.files import read_json, write_json
from worldmodels.runs.layout import TABLE


def main() -> None:
    """Scores every C in every dream and writes a row a pair."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, metavar="TABLE")
    parser.add_argument("--episodes", type=int, default=320)
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    table = read_json(parsed.table / TABLE)
    agents = {row["label"]: wm.load(parsed.table / row["row"]) for row in table["rows"]}
    scores: list[dict[str, Any]] = []
    for label, agent in agents.items():
        for dream, other in agents.items():
            found = wm.evaluate(agent, world="dream", temperature=other.temperature, episodes=parsed.episodes)
            scores.append({"searched_at": label, "dream": dream, **{name: found[name] for name in ("mean", "std", "ci95")}})
    facts = {name: table[name] for name in ("task", "scale", "recipe", "seed", "model") if name in table}
    write_json(
        parsed.json or parsed.table / "crossed.json",
        {**facts, "versions": table["versions"], "num_episodes": parsed.episodes, "scores": scores},
    )


if __name__ == "__main__":
    main()
