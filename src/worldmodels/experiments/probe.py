"""Measures what V, M and C's features know of the game's objects, and prints it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from worldmodels.agent.load import load
from worldmodels.config import ProbeConfig
from worldmodels.diagnostics.probe import check_watched, measure
from worldmodels.diagnostics.statistics import score_text


def print_table(result: dict[str, Any]) -> None:
    """Prints a row for each row of questions: what each probe explains; of a single question its AUC too."""
    names = list(result["rows"][0]["explained"])
    table = Table(title=f"{result['task']}: share of entropy explained on held-out episodes")
    for column in ("", "yes", *names):
        table.add_column(column, justify="right" if column else "left")
    for row in result["rows"]:
        table.add_row(row["question"], f"{row['yes']:.1%}", *(_number(row["explained"][name]) for name in names))
        if row["questions"] == 1:
            table.add_row(f"{row['question']}, AUC", "", *(_number(row["auc"][name]) for name in names))
    Console().print(table)
    print(
        f"{result['returns']['num_episodes']} episodes of {result['player']}, {score_text(result['returns'])} steps; "
        f"{result['moments']:,} moments, {result['held_out_moments']:,} of them held out"
    )


def _number(found: float | None) -> str:
    return "" if found is None else f"{found:.2f}"


def run(config: ProbeConfig, target: str) -> dict[str, Any]:
    """Measures ``target`` (see `agent.load.load`; also a half-trained run) and prints the table. Raises what `measure` does."""
    agent = load(target, finished=False)
    check_watched(agent.task)
    result = measure(config, agent, load(config.player) if config.player else None)
    print_table(result)
    return result
