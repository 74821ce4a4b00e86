"""How much of M a dream should leave out (Dropout's Dream Land, Wellmer & Kwok, 2021): a C a row, searched in dreams of one M.

DIR/
  dropout-0.00/    a run: M trained with dropout, C searched in its plain dream
  dropout-0.05/ …  the same with that share of M left out of each dream; all stages before C are the first row's
  table.json       every row's scores and seconds    table.md    the same to read    table.png    the same to look at

The same command again goes on where it stopped, in the middle of a row too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from worldmodels.agent.target import open_run
from worldmodels.base.versions import versions
from worldmodels.config import BEST_RECIPE, Backend, ControllerConfig, Preset
from worldmodels.diagnostics.statistics import score_text, short_score
from worldmodels.envs.registry import get_task, tasks
from worldmodels.experiments.rows import open_row, scores
from worldmodels.plots.table import draw_dropouts
from worldmodels.runs.made_once import write_table
from worldmodels.runs.run import STAGES, Run
from worldmodels.runs.timings import stage_seconds
from worldmodels.search.dream_ppo import check_ppo
from worldmodels.stages.pipeline import run_stage

DROPOUT = "dropout"
#: What dreams leave out, a row each, and the published scores of TakeCover: mean and standard deviation (None: not given) over
#: 1,000 real episodes, C from the dream alone.
PUBLISHED: dict[float, tuple[float, float | None]] = {
    0.0: (849, 500),
    0.05: (868, None),
    0.1: (933, 552),
    0.2: (867, None),
    0.3: (802, None),
    0.5: (205, None),
}


def of_a_run(target: str) -> Run | None:
    """Returns the run whose episodes, V and latents a table takes over; None for a task's name, which begins at nothing.

    Raises:
        UserError: it is neither, or the run's latents are not there.
    """
    if target in tasks():
        return None
    run = open_run(target, "the latents that M is trained on")
    run.require("encode")
    return run


def dropout_rows(preset: Preset, search: ControllerConfig) -> dict[str, Preset]:
    """Returns each row's settings by its name: M is the same, and C is searched in a dream of its own dropout, alone."""
    found = {}
    for dropout in PUBLISHED:
        controller = replace(search, world="dream", score_world="same", dream_dropout=dropout)
        found[f"dropout-{dropout:.2f}"] = replace(preset, rnn=preset.rnn.with_dropout(), controller=controller)
    return found


def make_dropout(
    target: str,
    path: Path,
    scale: str,
    seed: int,
    recipe: str = BEST_RECIPE,
    num_generations: int = 0,
    ppo_iterations: int = 0,
    max_steps: int = 0,
    episodes: int = 0,
    fast: bool = False,
    backend: Backend = "local",
    address: str = "",
) -> dict[str, Any]:
    """Makes and scores every row into ``path``; returns what ``table.json`` holds.

    Args:
        target: a task's name, or a run, whose episodes, V and latents are taken over, and its M where that was trained with
            dropout; ``scale``, ``recipe`` and ``seed`` are then its own.
        num_generations: of every row's evolution; 0 is the scale's, or none with ``ppo_iterations``.
        ppo_iterations: of every row's PPO before its evolution; 0 with ``num_generations`` 0 is the scale's.
        max_steps: of every row's evolution, which ends with the generation that reaches them; 0: no limit.
        episodes: of every row's scores in the dream and in reality; 0: as many as the scale has.
        fast: score on the environment that training uses.
        backend: who plays the real environment; ``address`` is the Ray cluster's.

    Raises:
        UserError: ``target`` is neither, its latents are not there, or the folder holds other runs.
    """
    given = of_a_run(target)
    spec = get_task(target if given is None else given.task)
    preset = spec.preset(scale, recipe) if given is None else given.preset
    if given is not None:
        scale, recipe, seed = given.scale, given.recipe, given.seed
    search = preset.controller.with_effort(num_generations, ppo_iterations, max_steps)
    rows = dropout_rows(preset, search)
    for row in rows.values():
        row.controller.validate()
        if row.controller.ppo_iterations:
            check_ppo(row.controller)
    found: list[dict[str, Any]] = []
    earlier, chance = given, None
    previous = None if given is None or given.previous is None else given.previous.path
    for (name, row), (dropout, published) in zip(rows.items(), PUBLISHED.items(), strict=True):
        print(f"dream dropout {dropout:g}:", flush=True)
        run = open_row(path / name, (spec.name, scale, seed, recipe), row, previous, earlier)
        placed = replace(run, preset=run.preset.on(backend=backend, address=address))
        for stage in STAGES:
            run_stage(placed, stage, getattr(placed.preset, stage))
        earlier = Run.open(run.path)
        chance, dream, real = scores(earlier, placed.preset, chance, episodes, fast)
        found.append(
            {
                "row": name,
                "label": f"dream dropout {dropout:g}",
                "dropout": dropout,
                "controller": row.controller.to_dict(),
                "dream": short_score(dream),
                "real": short_score(real),
                "paper_real": published if spec.name == "take-cover" else None,
                "seconds": stage_seconds(earlier).get("controller", 0.0),
            }
        )
    assert chance is not None
    m = preset.rnn.with_dropout()
    result = {
        "table": DROPOUT,
        "task": spec.name,
        "scale": scale,
        **({} if recipe == BEST_RECIPE else {"recipe": recipe}),
        "seed": seed,
        "env": chance["env"]["id"],
        "input_dropout": m.input_dropout,
        "recurrent_dropout": m.recurrent_dropout,
        "versions": versions(),
        "random": short_score(chance),
        "rows": found,
        "seconds": round(sum(row["seconds"] for row in found), 2),
    }
    write_table(path, result, to_markdown(result), partial(draw_dropouts, result))
    return result


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""
    lines = ["| dream dropout | dream | real | published, real |", "| --: | --: | --: | --: |"]
    for row in result["rows"]:
        published = row["paper_real"] and score_text({"mean": row["paper_real"][0], "std": row["paper_real"][1]})
        lines.append(f"| {row['dropout']:g} | {score_text(row['dream'])} | {score_text(row['real'])} | {published or ''} |")
    lines.append(f"| random policy | | {score_text(result['random'])} | |")
    lines += [
        "",
        f"{result['env']}, scale {result['scale']}, seed {result['seed']}: mean ± standard deviation over "
        f"{result['random']['num_episodes']} held-out episodes; every C searched in the dream alone, of one M that was "
        f"trained with a dropout of {result['input_dropout']:g} of its inputs and {result['recurrent_dropout']:g} of its "
        "cell's candidate. A row's dream leaves out what its C learned without; the real game leaves out nothing.",
    ]
    return "\n".join(lines) + "\n"
