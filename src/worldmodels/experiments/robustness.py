"""What an agent is worth where its game looks otherwise: it has learned the plain one, and is scored on every variant.

DIR/
  <row>.json    what `worldmodels evaluate --variant` would write of each variant, and of the plain game
  augmented/    the same of a second agent, where one is given
  table.json    every row's score, and the published ones    table.md    the same to read    table.png    the same to look at

The same command again goes on where it stopped, in the middle of a row too.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from worldmodels.agent.agent import Agent
from worldmodels.base.errors import UserError
from worldmodels.base.versions import versions
from worldmodels.config import Backend, PlaceConfig
from worldmodels.diagnostics.statistics import score_text, short_score
from worldmodels.envs.task import PLAIN, PublishedScore
from worldmodels.plots.table import draw_robustness
from worldmodels.runs.made_once import write_table
from worldmodels.stages.evaluate import evaluate_once

ROBUSTNESS = "robustness"
#: The folder of the second agent's rows.
AUGMENTED = "augmented"


def make_robustness(
    agent: Agent,
    path: Path,
    episodes: int,
    seed: int = 0,
    fast: bool = False,
    backend: Backend = "local",
    address: str = "",
    augmented: Agent | None = None,
) -> dict[str, Any]:
    """Scores an agent on the plain game and on every variant of its task into ``path``; returns what ``table.json`` holds.

    Args:
        episodes: of each row; episode i has seed ``seed`` + i in all of them, and so the same track or the same game.
        fast: score on the environment that training uses.
        backend: who plays; ``address`` is the Ray cluster's.
        augmented: an agent of the same task whose V and M have seen augmented frames; it has a column of its own.

    Raises:
        UserError: the task has no variants, the second agent is another task's, or a row in ``path`` is another model's or of
            other settings.
    """
    task = agent.task
    if augmented is not None and augmented.task != task:
        raise UserError(f"--augmented: is an agent of {augmented.task.name}; name one of {task.name}, as --model is")
    if not task.variants:
        raise UserError(f"{task.name} has no variants; a task that has some names them (Task.variants)")
    usual = next(iter(task.presets.values())).evaluate
    asked = replace(
        usual,
        world="real",
        agent="trained",
        episodes=episodes,
        seed=seed,
        fast=fast,
        place=PlaceConfig(backend=backend, address=address),
    )
    learned = task.variant or PLAIN
    looks = {PLAIN: "the game itself", **{name: found.summary for name, found in task.variants.items()}}
    looks[learned] = f"{looks[learned]}, as it was learned" if task.variant else "the game as it was learned"
    rows = []
    for name, summary in looks.items():
        config = replace(asked, variant="" if name == learned else name)
        config.validate()
        result = evaluate_once(config, agent, path / f"{name}.json", keep=True)
        row = {"row": name, "summary": summary, "env": result["env"], "real": short_score(result)}
        if augmented is not None:
            row["augmented"] = short_score(evaluate_once(config, augmented, path / AUGMENTED / f"{name}.json", keep=True))
        rows.append({**row, "published": [_row_of(score) for score in task.published.robustness.get(name, ())]})
    table = {
        "table": ROBUSTNESS,
        "task": task.name,
        **({"learned": task.variant} if task.variant else {}),
        "seed": seed,
        "env": rows[0]["env"]["id"],
        "model": agent.sha256,
        **({} if augmented is None else {"augmented_model": augmented.sha256}),
        "versions": versions(),
        "rows": rows,
    }
    write_table(path, table, to_markdown(table), partial(draw_robustness, table))
    return table


def _row_of(score: PublishedScore) -> dict[str, Any]:
    return {"who": score.who, "mean": score.mean, "std": None if math.isnan(score.std) else score.std}


def to_markdown(table: dict[str, Any]) -> str:
    """Returns the table for people."""
    others = list(dict.fromkeys(score["who"] for row in table["rows"] for score in row["published"]))
    ours = {"real": "ours", **({"augmented": "ours, augmented"} if "augmented_model" in table else {})}
    heads = ["", *ours.values(), *others]
    lines = [f"| {' | '.join(heads)} |", f"| --- {'| --: ' * (len(heads) - 1)}|"]
    for row in table["rows"]:
        theirs = {score["who"]: score_text(score) for score in row["published"]}
        scores = [f"**{score_text(row[name])}**" for name in ours]
        cells = [f"{row['row']}: {row['summary']}", *scores, *(theirs.get(who, "") for who in others)]
        lines.append(f"| {' | '.join(cells)} |")
    count = table["rows"][0]["real"]["num_episodes"]
    lines += [
        "",
        f"{table['env']} and its variants: mean ± standard deviation over {count} held-out episodes from seed {table['seed']} "
        f"on, the same seeds in every row, of an agent that has learned {table.get('learned', 'the plain game')}"
        + ("; augmented: of one whose V and M have seen augmented frames beside." if "augmented_model" in table else "."),
    ]
    return "\n".join(lines) + "\n"
