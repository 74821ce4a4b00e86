"""What curiosity is worth: from the same random data one round more, whose episodes are those of four ways to play.

DIR/
  seed-<k>/first/        a run from random data, with an M that was trained with dropout
  seed-<k>/<way>/        a run that goes on from it: random episodes again, its agent's, or an explorer's; V stays as it is
  held-out/seed-<k>/<row>/   the given agent's episodes, as the row's V sees them and its M expects them: nothing is trained
  fidelity/seed-<k>-<row>.json   how true the row's dream is, and how much of the game its own episodes see
  table.json             every row's measures by seed    table.md    the same to read    table.png    the same to look at

All rows of a seed have one V, so that likelihoods compare. The same command again goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.base import files
from worldmodels.base.versions import versions
from worldmodels.config import BEST_RECIPE, Backend, CollectConfig, FidelityConfig, PlaceConfig, Preset, check_seed
from worldmodels.diagnostics.fidelity import measure
from worldmodels.diagnostics.statistics import score_text, short_score
from worldmodels.envs.task import Task
from worldmodels.experiments.rows import BEFORE_C, held_out_losses, made_run, only_looked_at, scores, with_share
from worldmodels.experiments.visited import visited_shares
from worldmodels.plots.curiosity import draw_curiosity
from worldmodels.runs.made_once import read_table, write_table
from worldmodels.runs.run import STAGES, Run

CURIOSITY = "curiosity"
NUM_SEEDS = 3
#: The expert's episodes that likelihoods are measured on, as a share of the scale's.
EXPERT_SHARE = 0.25
FIRST = "first"
#: How fidelity is measured here: on fewer episodes than by `worldmodels fidelity`, for fifteen runs.
FIDELITY = FidelityConfig(real_episodes=16, dream_episodes=64)
#: Who plays the new episodes, by the row's name: its label, and the settings that say it.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("the random policy again", {}),
    "agent": ("the agent", {"policy": "agent"}),
    "uncertainty": ("an explorer, M's uncertainty", {"policy": "curious", "curiosity": "uncertainty"}),
    "loss": ("an explorer, M's loss", {"policy": "curious", "curiosity": "loss"}),
}
#: What is measured: the table's key, the column's title, and how a number is written.
MEASURES: dict[str, tuple[str, str]] = {
    "held_out_nll": ("M's likelihood", ".3f"),
    "visited": ("visited", ".1%"),
    "rank_correlation": ("rank correlation", ".2f"),
    "bias": ("dream - real", "+,.0f"),
    "real": ("C's score", ",.0f"),
}


@dataclass(frozen=True)
class _Plan:
    """What all rows have in common."""

    target: str
    task: Task
    path: Path
    scale: str
    recipe: str
    seed: int
    preset: Preset
    place: dict[str, str]


def make_curiosity(
    target: str,
    agent: Agent,
    path: Path,
    scale: str,
    seed: int,
    recipe: str = BEST_RECIPE,
    episodes: int = 0,
    fast: bool = False,
    backend: Backend = "local",
    address: str = "",
) -> dict[str, Any]:
    """Makes and measures every row of `NUM_SEEDS` seeds into ``path``; returns what ``table.json`` holds.

    Args:
        target: what ``agent``, the expert, was loaded from. Nothing learns from it.
        seed: the expert's episodes have it; the runs have the 2 · `NUM_SEEDS` seeds after it.
        episodes: of every row's scores in the dream and in reality; 0: as many as the scale has.
        fast: score on the environment that training uses.
        backend: who plays the real environment; ``address`` is the Ray cluster's.

    Raises:
        UserError: the folder holds other runs, or the task has nothing to explore (no real environment).
    """
    check_seed(seed, 2 * NUM_SEEDS + 1)
    usual = agent.task.preset(scale, recipe)
    collect = replace(usual.collect, frames=agent.task.frames_name)
    preset = replace(usual, collect=collect, rnn=usual.rnn.with_dropout())
    place: dict[str, str] = {"backend": backend, "address": address}
    plan = _Plan(target, agent.task, path, scale, recipe, seed, preset, place)
    found: dict[str, list[dict[str, Any]]] = {}
    experts: list[Run] = []
    chance = None
    for number in range(NUM_SEEDS):
        first = None
        for name in (FIRST, *WAYS):
            print(f"seed {number}, {label_of(name)}:", flush=True)
            run = _made(plan, number, name, first)
            first = first or run
            chance, dream, real = scores(run, run.preset.on(**place), chance, episodes, fast)
            measured = {"dream": dream["mean"], "real": real["mean"], **_measured(plan, number, name, run, first, experts)}
            found.setdefault(name, []).append(measured)
    assert chance is not None
    result = {
        "table": CURIOSITY,
        "task": agent.task.name,
        "expert": dict(agent.sha256),
        "scale": scale,
        **({} if recipe == BEST_RECIPE else {"recipe": recipe}),
        "seed": seed,
        "env": chance["env"]["id"],
        "random": short_score(chance),
        "episodes": preset.collect.num_episodes,
        "fidelity": FIDELITY.to_dict(),
        "versions": versions(),
        "rows": [
            {"row": name, "label": label_of(name), **{key: spread(rows, key) for key in MEASURES}, "seeds": rows}
            for name, rows in found.items()
        ],
    }
    write_table(path, result, to_markdown(result), partial(draw_curiosity, result, measures=MEASURES))
    return result


def label_of(name: str) -> str:
    """Returns a row's name in words."""
    return "random data alone" if name == FIRST else f"and episodes of {WAYS[name][0]}"


def _made(plan: _Plan, number: int, name: str, first: Run | None) -> Run:
    """Makes a row's run: the first of a seed, or one that goes on from it with the same V."""
    folder, seed = plan.path / f"seed-{number}", plan.seed + 1 + 2 * number
    if first is None:
        begun = (plan.task.name, plan.scale, seed, plan.recipe)
        return made_run(folder / name, begun, plan.preset, [], list(STAGES), plan.place)
    collect: CollectConfig = replace(plan.preset.collect, **WAYS[name][1])
    preset = replace(plan.preset, collect=collect, vae=replace(plan.preset.vae, num_steps=0))
    begun = (plan.task.name, plan.scale, seed + 1, plan.recipe)
    return made_run(folder / name, begun, preset, [], list(STAGES), plan.place, first.path)


def _measured(plan: _Plan, number: int, name: str, run: Run, first: Run, experts: list[Run]) -> dict[str, Any]:
    """Returns a row's measures with one seed beside its scores.

    Args:
        first: whose V the run has.
        experts: the earlier rows' looks at the expert's episodes, to which this row's is added.
    """
    # An expert's episodes are whole ones, wherever those of chance begin and end.
    whole = replace(with_share(plan.preset.collect, EXPERT_SHARE), start_anywhere=False, max_episode_steps=0)
    collect = replace(whole, policy="agent", from_model=plan.target, max_noise=0.0)
    looking = only_looked_at(replace(run.preset, collect=collect), first, run)
    folder = plan.path / "held-out" / f"seed-{number}" / name
    begun = (plan.task.name, plan.scale, plan.seed, plan.recipe)
    expert = made_run(folder, begun, looking, experts, BEFORE_C, plan.place)
    experts.append(expert)
    played = _played(plan.path / "fidelity" / f"seed-{number}-{name}.json", run, plan.preset.on(**plan.place).evaluate.place)
    return {
        "seed": run.seed,
        **held_out_losses(expert),
        **{key: played[key] for key in ("visited", "rank_correlation", "bias")},
    }


def _played(path: Path, run: Run, place: PlaceConfig) -> dict[str, Any]:
    """Returns what a run's own episodes have seen and how true its dream is, as an earlier call has measured it of the same C,
    or measures it."""
    controller = run.require("controller")["outputs"]
    found = read_table(path)
    if found.get("controller") != controller:
        shares = visited_shares(run, place)
        visited = None if shares is None else float(np.mean(shares))
        found = {"controller": controller, "visited": visited, **measure(replace(FIDELITY, place=place), run)}
        files.write_json(path, found)
    return found


def spread(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float] | None:
    """Returns mean and standard deviation of a measure over the ``seeds`` that have one, and how many these are; None where
    there are not two."""
    values = [row[key] for row in rows if row[key] is not None]
    if len(values) < 2:
        return None
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)), "seeds": len(values)}


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""
    lines = [f"| {' | '.join(['', *(title for title, _ in MEASURES.values())])} |", "| --- |" + " --: |" * len(MEASURES)]
    for row in result["rows"]:
        cells = [written(row[key], form, len(row["seeds"])) for key, (_, form) in MEASURES.items()]
        lines.append(f"| {row['label']} | {' | '.join(cells)} |")
    num_seeds, chance = len(result["rows"][0]["seeds"]), result["random"]
    lines += [
        f"| random policy | {'| ' * (len(MEASURES) - 1)}{score_text(chance)} |",
        "",
        f"{result['env']}, scale {result['scale']}, seed {result['seed']}: mean ± standard deviation over {num_seeds} seeds. "
        f"{result['episodes']:,} random episodes, then as many new ones; V is that of the first, M and C go on. M's negative "
        "log-likelihood (less is better) is of the expert's episodes, from which no row learns. Visited is the share of the "
        "track or of the room that an episode of the row's own sees. Rank correlation and difference are those of the dream's "
        "scores and the real ones, of policies that do not look and of C on its way; there is no correlation where all score "
        f"the same in one world. C's score is over {chance['num_episodes']} held-out episodes a seed.",
    ]
    return "\n".join(lines) + "\n"


def written(found: dict[str, float] | None, form: str, num_seeds: int) -> str:
    """Returns a measure as a table has it; where not all seeds have one, with how many have."""
    if found is None:
        return ""
    fewer = found.get("seeds", num_seeds)
    of_these = f" ({fewer:.0f} seeds)" if fewer < num_seeds else ""
    return f"{found['mean']:{form}} ± {found['std']:{form.lstrip('+')}}{of_these}"
