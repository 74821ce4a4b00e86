"""Is the hot rows' score in a temperature table their dream's, or one search's luck? Those rows once more, at other seeds.

    python -m benchmarks.temperature_seeds MODEL --run DIR [--seeds 1 2] [--temperatures 1.0 1.15 1.3] [--json FILE]

MODEL is a run of the recipe original, whose V and M all searches share. The same command again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import worldmodels as wm
from worldmodels.base.files import write_json
from worldmodels.base.versions import versions
from worldmodels.experiments.departures import ORIGINAL_RECIPE
from worldmodels.experiments.table import make_row, row_search, temperature_rows
from worldmodels.runtime.memory import keep_freed_memory

SCALE = "laptop"


def main() -> None:
    """Searches and scores a C for each temperature and seed; writes a row each, whenever one is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 1.15, 1.3])
    parser.add_argument("--max-steps", type=int, default=20_000_000)
    parser.add_argument("--episodes", type=int, default=320)
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    agent = wm.load(parsed.model)
    preset = agent.task.preset(SCALE, ORIGINAL_RECIPE)
    asked = dataclasses.replace(preset.evaluate, episodes=parsed.episodes)
    config = row_search(preset.controller, num_generations=0, ppo_iterations=0, max_steps=parsed.max_steps)
    rows = [row for row in temperature_rows(agent.task, config) if row.config.temperature in parsed.temperatures]
    keep_freed_memory()
    found = []
    for seed in parsed.seeds:
        for row in rows:
            made = make_row(row, agent, parsed.run / f"seed-{seed}" / row.name, SCALE, ORIGINAL_RECIPE, seed, asked)
            found.append(
                {"label": f"{row.label}, seed {seed}", "temperature": row.config.temperature, "seed": seed}
                | {name: made[name] for name in ("dream", "real", "seconds")}
            )
            write_json(
                parsed.json or parsed.run / "seeds.json",
                {
                    "task": agent.task.name,
                    "scale": SCALE,
                    "recipe": ORIGINAL_RECIPE,
                    "max_steps": parsed.max_steps,
                    "model": {part: digest for part, digest in agent.sha256.items() if part != "controller"},
                    "versions": versions(),
                    "rows": found,
                },
            )


if __name__ == "__main__":
    main()
