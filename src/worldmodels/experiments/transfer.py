"""What V and M of one task are worth in another: carried over and frozen, carried over and trained on, or made from nothing.

DIR/
  <row>/            a run of the new task: with a tenth of the scale's episodes, or with all of them
  held-out/<row>/   episodes that no row has learned from, as the row's V sees them and its M expects them: nothing is trained
  table.json        every row's losses and scores    table.md    the same to read    table.png    the same to look at

All rows have the sizes of the V that is carried, and of its M where that fits the new task. The same command again goes on
where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from worldmodels.agent.agent import Agent
from worldmodels.base.versions import versions
from worldmodels.config import BEST_RECIPE, Backend, Preset, check_seed
from worldmodels.diagnostics.statistics import score_text, short_score
from worldmodels.envs.task import Task
from worldmodels.experiments.rows import BEFORE_C, held_out_losses, made_run, only_looked_at, scores, with_share
from worldmodels.models.sizes import run_sizes
from worldmodels.plots.table import draw_bars
from worldmodels.runs.made_once import write_table
from worldmodels.runs.run import STAGES, Run
from worldmodels.runs.timings import stage_seconds
from worldmodels.training.beginning import differences

TRANSFER = "transfer"
#: The shares of the scale's episodes that are learned from, by the end of a row's name.
SHARES = {"10": 0.1, "100": 1.0}
#: The episodes that all rows are measured on, as a share of the scale's.
HELD_OUT_SHARE = 0.1
HELD_OUT = "held-out"


@dataclass(frozen=True)
class Row:
    """One run of the new task."""

    name: str
    label: str
    share: float
    preset: Preset


#: Which stages begin with another task's weights, and whether they are trained on.
WAYS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "nothing": ("from nothing", (), True),
    "v-frozen": ("V, frozen", ("vae",), False),
    "vm-frozen": ("V and M, frozen", ("vae", "rnn"), False),
    "v-trained": ("V, trained on", ("vae",), True),
    "vm-trained": ("V and M, trained on", ("vae", "rnn"), True),
}


def row_preset(agent: Agent, task: Task, scale: str, recipe: str = BEST_RECIPE) -> tuple[Preset, dict[str, str]]:
    """Returns the settings that all rows have in common, and why M is not carried: the sizes that differ, if any do."""
    preset, theirs = task.preset(scale, recipe), agent.world_model.sizes
    hidden, mixtures = preset.rnn.hidden_size, preset.rnn.num_mixtures
    fitting = preset.with_sizes(theirs.latent_size, theirs.width, theirs.hidden_size, theirs.num_mixtures)
    fitting = replace(fitting, rnn=replace(fitting.rnn, layer_norm=theirs.layer_norm))
    if agent.task.frames_name in task.frames:
        fitting = replace(fitting, collect=replace(fitting.collect, frames=agent.task.frames_name))
    differ = differences("rnn", run_sizes(task, fitting), theirs)
    if differ:  # M is the new task's own
        rnn = replace(fitting.rnn, hidden_size=hidden, num_mixtures=mixtures, layer_norm=preset.rnn.layer_norm)
        fitting = replace(fitting, rnn=rnn)
    return fitting, differ


def transfer_rows(target: str, preset: Preset, with_memory: bool) -> Iterator[Row]:
    """Yields the rows of a table.

    Args:
        target: whose V and M are carried.
        preset: of `row_preset`.
        with_memory: whether M is, too.
    """
    for end, share in SHARES.items():
        for way, (label, carried, trained) in WAYS.items():
            if "rnn" in carried and not with_memory:
                continue
            changed: dict[str, Any] = {"collect": with_share(preset.collect, share)}
            for stage in carried:
                own = getattr(preset, stage)
                changed[stage] = replace(own, from_model=target, num_steps=own.num_steps if trained else 0)
            yield Row(f"{way}-{end}", f"{label}, {end}%", share, replace(preset, **changed))


def make_transfer(
    target: str,
    agent: Agent,
    task: Task,
    path: Path,
    scale: str,
    seed: int,
    recipe: str = BEST_RECIPE,
    episodes: int = 0,
    fast: bool = False,
    backend: Backend = "local",
    address: str = "",
) -> dict[str, Any]:
    """Makes, measures and scores every row into ``path``; returns what ``table.json`` holds.

    Args:
        target: what ``agent`` was loaded from.
        task: the new one.
        episodes: of every row's scores in the dream and in reality; 0: as many as the scale has.
        fast: score on the environment that training uses.

    Raises:
        UserError: the folder holds other runs.
    """
    check_seed(seed, 2)
    preset, differ = row_preset(agent, task, scale, recipe)
    if differ:
        print(f"M of {target} is not carried: {', '.join(differ.values())}", flush=True)
    place = {"backend": backend, "address": address}
    found: list[dict[str, Any]] = []
    runs: list[Run] = []
    measured: list[Run] = []
    chance = None
    for row in transfer_rows(target, preset, not differ):
        print(f"{row.label}:", flush=True)
        run = made_run(path / row.name, (task.name, scale, seed, recipe), row.preset, runs, list(STAGES), place)
        runs.append(run)
        begun = (task.name, scale, seed + 1, recipe)
        tried = made_run(path / HELD_OUT / row.name, begun, looking(row.preset, preset, run), measured, BEFORE_C, place)
        measured.append(tried)
        chance, dream, real = scores(run, row.preset.on(**place), chance, episodes, fast)
        found.append(
            {
                "row": row.name,
                "label": row.label,
                "episodes": row.preset.collect.num_episodes,
                **held_out_losses(tried),
                "dream": short_score(dream),
                "real": short_score(real),
                "seconds": round(sum(stage_seconds(run).values()), 2),
            }
        )
    assert chance is not None
    result = {
        "table": TRANSFER,
        "task": task.name,
        "from": agent.task.name,
        "model": {part: agent.sha256[part] for part in ("vae", "rnn")},
        "not_carried": differ,
        "scale": scale,
        **({} if recipe == BEST_RECIPE else {"recipe": recipe}),
        "seed": seed,
        "env": chance["env"]["id"],
        "versions": versions(),
        "random": short_score(chance),
        "rows": found,
        "seconds": round(sum(row["seconds"] for row in found), 2),
    }
    write_table(path, result, to_markdown(result), partial(draw_transfer, result))
    return result


def draw_transfer(result: dict[str, Any], path: Path) -> None:
    """Draws what a C has scored in the new game, a bar a row."""
    is_worth = "V alone of {} is" if result["not_carried"] else "V and M of {} are"
    draw_bars(result, path, f"what {is_worth.format(result['from'])} worth here")


def looking(row: Preset, usual: Preset, run: Run) -> Preset:
    """Returns the settings that measure a row's V and M on new episodes."""
    return only_looked_at(replace(row, collect=with_share(usual.collect, HELD_OUT_SHARE)), run, run)


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""
    lines = [
        "| | episodes | V's error | M's likelihood | dream | real | minutes |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['label']} | {row['episodes']:,} | {row['held_out_recon_loss']:.1f} | {row['held_out_nll']:.3f} | "
            f"{score_text(row['dream'])} | {score_text(row['real'])} | {row['seconds'] / 60:.1f} |"
        )
    lines.append(f"| random policy | | | | | {score_text(result['random'])} | |")
    carried, without = "V and M", ""
    if result["not_carried"]:
        carried, without = "V", f" M is not carried: {', '.join(result['not_carried'].values())}."
    lines += [
        "",
        f"{result['env']}, with {carried} of {result['from']}, scale {result['scale']}, seed {result['seed']}: mean ± standard "
        f"deviation over {result['random']['num_episodes']} held-out episodes. V's squared error summed over a frame and M's "
        "negative log-likelihood on episodes that no row has learned from, the same for all rows; likelihoods compare where V "
        f"is the same. Minutes of the row's own stages.{without}",
    ]
    return "\n".join(lines) + "\n"
