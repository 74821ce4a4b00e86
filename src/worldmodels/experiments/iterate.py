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
from worldmodels.config import BEST_RECIPE, Backend, Explore, LogKind, RoundsWorld, check_rounds, check_seed
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
    world: RoundsWorld = "own",
    stop_after: int = 0,
) -> Run:
    """Opens a round's run or makes it. Raises `UserError` if the folder holds another one, or its scores are not those of the
    real game, and are to end the rounds."""
    if previous is None:
        preset = preset_of(spec, scale, path, recipe)
        if world == "dream":
            preset = dataclasses.replace(preset, controller=preset.controller.dreamt_only())
        if explore != "no":  # M's masks tell nothing of an M that was trained without
            preset = dataclasses.replace(preset, rnn=preset.rnn.with_dropout())
    else:
        # What the first round was sized for holds for all.
        preset = Run.open(previous).preset
        collect = dataclasses.replace(preset.collect, policy="agent")
        if explore != "no":
            collect = dataclasses.replace(preset.collect, policy="curious", curiosity=explore)
        preset = dataclasses.replace(preset, collect=collect)
    if stop_after and preset.controller.resolved_score_world != "real":
        raise UserError(f"stop_after is {stop_after}, and each C is scored in the dream; add --world dream")
    run = Run.open_or_create(path, spec.name, scale, seed, preset, previous, recipe)
    for name in ("policy", "curiosity"):
        asked, found = getattr(preset.collect, name), getattr(run.preset.collect, name)
        if previous is not None and asked != found:
            raise UserError(f"{path}: a round whose episodes have the {name} {found}, not {asked}; use another --run")
    if previous is None and explore != "no" and run.preset.rnn.with_dropout() != run.preset.rnn:
        raise UserError(f"{path}: its M has no dropout, which says what M is unsure of; use another --run")
    if world == "dream" and run.preset.controller.dreamt_only() != run.preset.controller:
        raise UserError(f"{path}: a round whose C is not of the dream alone; use another --run, or leave out --world")
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
    world: RoundsWorld = "own",
    stop_after: int = 0,
) -> dict[str, Any]:
    """Runs what is missing of ``rounds`` rounds, with a backend and a log; returns what ``rounds.json`` holds.

    Args:
        explore: what plays the episodes of later rounds seeks, in place of the agent; M is then trained with dropout.
        world: where each round's C is found: where the scale's settings say, or in the dream alone, where of a search the mean
            is kept that scores best in the real game, on training's seeds.
        stop_after: end after so many rounds, one after another, whose score there is no better than the best before; 0: make
            all rounds.

    Raises:
        UserError: a senseless number of rounds or seed, scores that are not of the real game to stop by, or a folder that
            holds another run.
    """
    check_rounds(rounds, stop_after)
    check_seed(seed, rounds)
    check_board(log)
    spec = get_task(task)
    rows: list[dict[str, Any]] = []
    previous = None
    for number in range(rounds):
        folder = path / f"round-{number}"
        run = open_round(spec, folder, scale, seed + number, previous, recipe, explore, world, stop_after)
        print(f"round {number}: {folder}", flush=True)
        placed = dataclasses.replace(run, preset=run.preset.on(backend=backend, address=address, log=log))
        rows.append(_row(number, run, reproduce(placed)))
        previous, controller, best = folder, run.preset.controller, best_round(rows)
        result = {
            "task": task,
            "scale": scale,
            "seed": seed,
            **({} if explore == "no" else {"explore": explore}),
            **({"world": "dream"} if controller == controller.dreamt_only() else {}),
            **({"stop_after": stop_after} if stop_after else {}),
            **({"best_round": best} if controller.resolved_score_world == "real" else {}),
            "solved_at": spec.published.solved_at,
            "rounds": rows,
        }
        over = 0 < stop_after <= number - best
        if not over and (path / f"round-{number + 1}" / CONFIG).exists():
            continue  # an earlier call has come farther
        make_once(path / ROUNDS, result, partial(files.write_json, value=result))
        make_once(path / ROUNDS_TEXT, result, partial(files.write_bytes, data=to_markdown(result).encode()))
        if over:
            print(f"no better score on training's seeds since round {best}", flush=True)
            break
    return result


def best_round(rows: list[dict[str, Any]]) -> int:
    """Returns the first of the rounds whose C scored best in its training."""
    return max(range(len(rows)), key=lambda number: rows[number]["score"])


def _row(number: int, run: Run, summary: dict[str, Any]) -> dict[str, Any]:
    """Returns a round's figures: its data, how well V and M do on what was held out, and the scores."""
    collected = run.require("collect")
    return {
        "round": number,
        "episodes": collected["num_episodes"],
        "frames": collected["num_frames"],
        **held_out_losses(run),
        "score": run.require("controller")["score"],
        **{name: short_score(summary["evaluations"][name]) for name in ("random", "dream", "real")},
        "seconds": summary["seconds"]["total"],
    }


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""
    judged = "best_round" in result
    own = "training's seeds | " if judged else ""
    lines = [f"| round | episodes | V's error | M's likelihood | {own}random policy | dream | real | minutes |"]
    lines.append("|" + " --: |" * (8 + judged))
    for row in result["rounds"]:
        scores = " | ".join(score_text(row[name]) for name in ("random", "dream", "real"))
        own = f"{row['score']:.1f} | " if judged else ""
        lines.append(
            f"| {row['round']} | {row['episodes']:,} | {row['held_out_recon_loss']:.1f} | {row['held_out_nll']:.3f} | "
            f"{own}{scores} | {row['seconds'] / 60:.0f} |"
        )
    episodes = result["rounds"][0]["real"]["num_episodes"]
    lines += [
        "",
        f"{result['task']}, scale {result['scale']}, seed {result['seed']}: V's squared error summed over a frame and M's "
        f"negative log-likelihood on held-out episodes of all rounds so far; scores over {episodes} held-out episodes."
        + (f" New episodes are of a C that seeks M's {result['explore']}." if "explore" in result else "")
        + (f" Best on training's seeds in the real game: round {result['best_round']}." if judged else ""),
    ]
    return "\n".join(lines) + "\n"
