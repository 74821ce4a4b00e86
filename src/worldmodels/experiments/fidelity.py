"""Measures a finished run's dream, draws it and prints it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from worldmodels.agent.files import dropout_text, temperature_text
from worldmodels.base import files
from worldmodels.config import FidelityConfig
from worldmodels.diagnostics.fidelity import measure
from worldmodels.diagnostics.hits import FORESEEN, WINDOW_STEPS
from worldmodels.plots.fidelity import draw
from worldmodels.runs.layout import EVALUATION, FIDELITY, FIDELITY_PICTURE
from worldmodels.runs.run import Run


def print_table(result: dict[str, Any]) -> None:
    """Prints the policies' returns in both worlds."""
    doubt = result["uncertainty"]
    doubts = (
        f"M's uncertainty is {doubt['recorded']['mean']:.3g} along held-out episodes and {doubt['dream']['mean']:.3g} in C's "
        f"dreams ({doubt['uncertainty_masks']} masks, dropout {doubt['uncertainty_dropout']:g})"
    )
    if not result["policies"]:
        steps = len(result["open_loop_error"]["m"])
        few = "nothing: fewer than two held-out episodes are long enough for that"
        what = f"M's predictions up to {steps} steps ahead" if steps else few
        print(f"{result['task']}: no real environment, so that M's predictions alone can be measured; measured: {what}")
        print(doubts)
        return
    at = temperature_text(result["temperature"], result["own_temperature"]) + dropout_text(result.get("dream_dropout", 0.0))
    table = Table(title=f"{result['task']}: the dream at {at} beside the real environment")
    for column in ("policy", "dream", "real"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for row in result["policies"]:
        table.add_row(row["policy"], *(f"{row[world]['mean']:.0f} ± {row[world]['std']:.0f}" for world in ("dream", "real")))
    Console().print(table)
    correlation = result["rank_correlation"]
    said = "undefined (all policies score the same in one world)" if correlation is None else f"{correlation:.2f}"
    print(f"rank correlation {said}; the dream is {result['bias']:+.0f} too high on average")
    print(doubts)
    hits = result.get("hits")
    if hits and hits["hit_recall"] is not None:
        print(
            f"{hits['num_hits']:,} hits in {hits['num_steps']:,} held-out steps, M expected {hits['expected_hits']:.1f}; "
            f"{hits['hit_recall']:.0%} were seen coming: M's chances within {WINDOW_STEPS} steps add up to {FORESEEN:g} or more"
        )


def run(config: FidelityConfig, run: Run) -> dict[str, Any]:
    """Measures a finished run's dream into ``evaluation/fidelity.json`` and ``evaluation/fidelity.png``."""
    result = measure(config, run)
    folder = run.path / EVALUATION
    files.write_json(folder / FIDELITY, result)
    draw(result, folder / FIDELITY_PICTURE)
    print_table(result)
    print(f"picture: {folder / 'fidelity.png'}")
    return result
