"""What each departure from the original is worth: a run a row, from the recipe ``original`` to ``best``, a change more in each.

DIR/
  0-original/   a run of the recipe ``original``
  k-NAME/       one of the same seed with one more of the task's `departures`; the stages before it are the last row's
  k-round/      the last of them and one round more: its agent plays, V, M and C go on; seed S + 1
  table.json    every row's scores and seconds    table.md    the same to read    table.png    the same to look at

A departure that changes nothing at the scale has no row. The same command again goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worldmodels.base.errors import UserError
from worldmodels.base.versions import versions
from worldmodels.config import BEST_RECIPE, SHARES, Backend, Preset, check_seed
from worldmodels.diagnostics.statistics import score_text, short_score
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Departure, Task
from worldmodels.experiments.rows import held_out_losses, open_row, scores, with_share
from worldmodels.plots.table import draw_bars
from worldmodels.runs.made_once import write_table
from worldmodels.runs.run import STAGES, Run
from worldmodels.runs.timings import stage_seconds
from worldmodels.stages.pipeline import run_stage

#: What ``worldmodels table`` calls it, and the recipe that its first row is.
DEPARTURES = "departures"
ORIGINAL_RECIPE = "original"


@dataclass(frozen=True)
class Row:
    """One run: its settings, and whether it goes on from the row before."""

    name: str
    label: str
    preset: Preset
    is_round: bool = False


def changed(preset: Preset, best: Preset, departure: Departure) -> Preset:
    """Returns the preset with one departure's settings as ``best`` has them."""
    for setting in departure.settings:
        stage, _, name = setting.partition(".")
        wanted = getattr(best, stage)
        value = dataclasses.replace(getattr(preset, stage), **{name: getattr(wanted, name)}) if name else wanted
        preset = dataclasses.replace(preset, **{stage: value})
    return preset


def departure_rows(task: Task, scale: str, share: float = 1.0, max_steps: int = 0) -> Iterator[Row]:
    """Yields the rows of a task's table (`make_departures` says what it takes). Raises `UserError` if the task has no recipe
    ``original``."""
    if not task.departures:
        raise UserError(f"{task.name}: has no recipe '{ORIGINAL_RECIPE}' to depart from")
    preset, best = (_smaller(task.preset(scale, recipe), share, max_steps) for recipe in (ORIGINAL_RECIPE, BEST_RECIPE))
    number = 0
    yield Row("0-original", "the original's recipe", preset)
    for departure in task.departures:
        before, preset = preset, changed(preset, best, departure)
        if preset != before:
            number += 1
            yield Row(f"{number}-{departure.name}", f"+ {departure.label}", preset)
    played = dataclasses.replace(preset, collect=dataclasses.replace(preset.collect, policy="agent"))
    yield Row(f"{number + 1}-round", "+ a round of the agent's own episodes", played, is_round=True)


def _smaller(preset: Preset, share: float, max_steps: int) -> Preset:
    """Returns the preset with a share of its episodes and of V's and M's steps, and another end of C's evolution."""
    if share < 1:
        mirrored = round(preset.encode.mirror_episodes * share)
        preset = dataclasses.replace(
            preset,
            collect=with_share(preset.collect, share),
            vae=dataclasses.replace(preset.vae, num_steps=round(preset.vae.num_steps * share)),
            encode=dataclasses.replace(preset.encode, mirror_episodes=mirrored),
            rnn=dataclasses.replace(preset.rnn, num_steps=round(preset.rnn.num_steps * share)),
        )
    if max_steps and preset.controller.num_generations:
        preset = dataclasses.replace(preset, controller=dataclasses.replace(preset.controller, max_steps=max_steps))
    return preset


def make_departures(
    task: str,
    path: Path,
    scale: str,
    seed: int,
    share: float = 1.0,
    max_steps: int = 0,
    episodes: int = 0,
    backend: Backend = "local",
    address: str = "",
) -> dict[str, Any]:
    """Makes and scores every row into ``path``; returns what ``table.json`` holds.

    Args:
        share: of the scale's episodes and of V's and M's steps that each row takes, above 0 and at most 1.
        max_steps: of every row's evolution, which ends with the generation that reaches them; 0: as the scale's does.
        episodes: of every row's scores in the dream and in reality; 0: as many as the scale has.

    Raises:
        UserError: the task has no recipe ``original``, the share is out of its bounds, or the folder holds other runs.
    """
    SHARES.check("share", share)
    check_seed(seed, 2)  # the round has a seed of its own
    spec = get_task(task)
    found: list[dict[str, Any]] = []
    earlier, chance = None, None
    for row in departure_rows(spec, scale, share, max_steps):
        print(f"{row.label}:", flush=True)
        begun = (task, scale, seed + row.is_round, ORIGINAL_RECIPE)
        previous, shared = (earlier.path, None) if row.is_round and earlier is not None else (None, earlier)
        run = open_row(path / row.name, begun, row.preset, previous, shared)
        placed = dataclasses.replace(run, preset=run.preset.on(backend=backend, address=address))
        for stage in STAGES:
            run_stage(placed, stage, getattr(placed.preset, stage))
        earlier = Run.open(run.path)
        chance, dream, real = scores(earlier, placed.preset, chance, episodes)
        found.append(
            {
                "row": row.name,
                "label": row.label,
                **held_out_losses(earlier),
                "dream": short_score(dream),
                "real": short_score(real),
                "seconds": round(sum(stage_seconds(earlier).values()), 2),
            }
        )
    assert chance is not None
    result = {
        "table": DEPARTURES,
        "task": spec.name,
        "scale": scale,
        "seed": seed,
        **({"share": share} if share < 1 else {}),
        **({"max_steps": max_steps} if max_steps else {}),
        "env": chance["env"]["id"],
        "versions": versions(),
        "random": short_score(chance),
        "rows": found,
        "seconds": round(sum(row["seconds"] for row in found), 2),
    }
    write_table(path, result, to_markdown(result), partial(draw_departures, result))
    return result


def draw_departures(result: dict[str, Any], path: Path) -> None:
    """Draws what a C has scored in the game, a bar a row."""
    draw_bars(result, path, "from the original's recipe to ours")


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""
    lines = ["| | V's error | M's likelihood | dream | real | minutes |", "| --- | --: | --: | --: | --: | --: |"]
    for row in result["rows"]:
        lines.append(
            f"| {row['label']} | {row['held_out_recon_loss']:.1f} | {row['held_out_nll']:.3f} | {score_text(row['dream'])} | "
            f"{score_text(row['real'])} | {row['seconds'] / 60:.1f} |"
        )
    lines.append(f"| random policy | | | | {score_text(result['random'])} | |")
    episodes, max_steps = result["random"]["num_episodes"], result.get("max_steps", 0)
    ended = f"; an evolution ends when its candidates have played {max_steps:,} steps" if max_steps else ""
    of_it = f", with {result['share']:g} of its episodes and of V's and M's steps" if "share" in result else ""
    lines += [
        "",
        f"{result['env']}, scale {result['scale']}{of_it}, seed {result['seed']}: each row has the changes of those above it; "
        f"mean ± standard deviation over {episodes} held-out episodes. V's squared error summed over a frame and M's negative "
        "log-likelihood on held-out episodes of the row's own data; minutes of the row's own "
        f"stages{ended}.",
    ]
    return "\n".join(lines) + "\n"
