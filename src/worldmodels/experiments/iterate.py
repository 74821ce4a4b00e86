"""The iterative procedure (paper, section 5): collect with C, train V and M on, evolve C on, repeat.

DIR/
  round-0/      a run of the scale, from random data
  round-k/      a run that goes on from the one before: its agent, or one that explores, plays the new episodes; seed S + k
  rounds.json   every round's scores    rounds.md   the same to read

The same command again goes on where it stopped; with more rounds it adds them.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.config import BEST_RECIPE, Backend, Explore, LogKind, check_rounds, check_seed
from worldmodels.diagnostics.statistics import score_text, short_score
from worldmodels.envs.registry import get_task
from worldmodels.envs.sizing import preset_of
from worldmodels.envs.task import Task
from worldmodels.experiments.reproduce import reproduce
from worldmodels.experiments.rows import held_out_losses
from worldmodels.runs.boards.board import check_board
from worldmodels.runs.layout import CONFIG, ROUNDS, ROUNDS_TEXT
from worldmodels.runs.made_once import make_once
from worldmodels.runs.run import Run


def open_round(
    spec: Task,
    path: Path,
    scale: str,
    seed: int,
    previous: Path | None,
    recipe: str = BEST_RECIPE,
    explore: Explore = "no",
) -> Run:
    """Opens a round's run or makes it. Raises `UserError` if the folder holds another one."""
    if previous is None:
        preset = preset_of(spec, scale, path, recipe)
        if explore != "no":  # M's masks tell nothing of an M that was trained without
            preset = dataclasses.replace(preset, rnn=preset.rnn.with_dropout())
    else:
        # What the first round was sized for holds for all.
        preset = Run.open(previous).preset
        collect = dataclasses.replace(preset.collect, policy="agent")
        if explore != "no":
            collect = dataclasses.replace(preset.collect, policy="curious", curiosity=explore)
        preset = dataclasses.replace(preset, collect=collect)
    run = Run.open_or_create(path, spec.name, scale, seed, preset, previous, recipe)
    for name in ("policy", "curiosity"):
        asked, found = getattr(preset.collect, name), getattr(run.preset.collect, name)
        if previous is not None and asked != found:
            raise UserError(f"{path}: a round whose episodes have the {name} {found}, not {asked}; use another --run")
    if previous is None and explore != "no" and run.preset.rnn.with_dropout() != run.preset.rnn:
        raise UserError(f"{path}: its M has no dropout, which says what M is unsure of; use another --run")
    return run


def iterate(
    task: str,
    scale: str,
    rounds: int,
    path: Path,
    seed: int,
    backend: Backend = "local",
    address: str = "",
    recipe: str = BEST_RECIPE,
    log: LogKind = "tensorboard",
    explore: Explore = "no",
) -> dict[str, Any]:
    """Runs what is missing of ``rounds`` rounds, with a backend and a log; returns what ``rounds.json`` holds.

    Args:
        explore: what plays the episodes of later rounds seeks, in place of the agent; M is then trained with dropout.

    Raises:
        UserError: a senseless number of rounds or seed, or a folder that holds another run.
    """
    check_rounds(rounds)
    check_seed(seed, rounds)
    check_board(log)
    spec = get_task(task)
    rows: list[dict[str, Any]] = []
    previous = None
    for number in range(rounds):
        folder = path / f"round-{number}"
        run = open_round(spec, folder, scale, seed + number, previous, recipe, explore)
        print(f"round {number}: {folder}", flush=True)
        placed = dataclasses.replace(run, preset=run.preset.on(backend=backend, address=address, log=log))
        rows.append(_row(number, run, reproduce(placed)))
        previous = folder
        result = {
            "task": task,
            "scale": scale,
            "seed": seed,
            **({} if explore == "no" else {"explore": explore}),
            "solved_at": spec.published.solved_at,
            "rounds": rows,
        }
        if (path / f"round-{number + 1}" / CONFIG).exists():
            continue  # an earlier call has come farther
        make_once(path / ROUNDS, result, partial(files.write_json, value=result))
        make_once(path / ROUNDS_TEXT, result, partial(files.write_bytes, data=to_markdown(result).encode()))
    return result


def _row(number: int, run: Run, summary: dict[str, Any]) -> dict[str, Any]:
    """Returns a round's figures: its data, how well V and M do on what was held out, and the scores."""
    collected = run.require("collect")
    return {
        "round": number,
        "episodes": collected["num_episodes"],
        "frames": collected["num_frames"],
        **held_out_losses(run),
        **{name: short_score(summary["evaluations"][name]) for name in ("random", "dream", "real")},
        "seconds": summary["seconds"]["total"],
    }


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""
    lines = [
        "| round | episodes | V's error | M's likelihood | random policy | dream | real | minutes |",
        "| --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row in result["rounds"]:
        scores = " | ".join(score_text(row[name]) for name in ("random", "dream", "real"))
        lines.append(
            f"| {row['round']} | {row['episodes']:,} | {row['held_out_recon_loss']:.1f} | {row['held_out_nll']:.3f} | "
            f"{scores} | {row['seconds'] / 60:.0f} |"
        )
    episodes = result["rounds"][0]["real"]["num_episodes"]
    lines += [
        "",
        f"{result['task']}, scale {result['scale']}, seed {result['seed']}: V's squared error summed over a frame and M's "
        f"negative log-likelihood on held-out episodes of all rounds so far; scores over {episodes} held-out episodes."
        + (f" New episodes are of a C that seeks M's {result['explore']}." if "explore" in result else ""),
    ]
    return "\n".join(lines) + "\n"
