"""A C that explores, for `collect --policy curious`: found in the previous run's dream, its reward what M does not know.

RUN/explorer/
  controller/   its search    model/   the previous run's V and M with it

It begins at zeros: the agent of the previous run has been where its game pays.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from worldmodels.agent.run_parts import load_world_model
from worldmodels.base.errors import UserError
from worldmodels.config import CollectConfig
from worldmodels.data.run_data import open_latents
from worldmodels.models.precision import pick_device
from worldmodels.runs.layout import CONFIG, EXPLORER, MODEL, STARTED
from worldmodels.runs.run import Run
from worldmodels.search.dream_ppo import check_ppo
from worldmodels.search.evolve import evolve


def begun_explorer(config: CollectConfig, run: Run) -> Run:
    """Returns the run in which an explorer is searched: the one that has begun, or a planned one of the run's own search.

    Raises:
        UserError: its settings do not go together, or the episodes are made anew and it was searched with others.
    """
    path = run.path / EXPLORER
    search = dataclasses.replace(
        run.preset.controller.with_effort(config.explorer_generations, config.explorer_iterations),
        from_model="",
        world="dream",
        score_world="same",
        pessimism=0.0,
        seeks=config.curiosity,
    )
    if (path / CONFIG).exists():
        found = Run.open(path)
        is_new = not (run.stage_path("collect") / STARTED).exists()  # the episodes, that is, which somebody has removed
        if is_new and found.preset.controller.fingerprint_fields() != search.fingerprint_fields():
            raise UserError(f"{path}: was searched with other settings; remove the folder to search it anew")
        return found
    search.validate()
    if search.ppo_iterations:
        check_ppo(search)
    preset = dataclasses.replace(run.preset, controller=search)
    return Run.plan(path, run.task, run.scale, run.derive_seed("explorer"), preset, recipe=run.recipe)


def explore(explorer: Run, earlier: Run) -> Path:
    """Finds the explorer in the dream of an earlier run, or goes on finding it; returns its model's folder."""
    config = explorer.preset.controller
    pick_device(config.device)
    made_from = ("vae", "encode", "rnn")
    inputs = {name: digest for stage in made_from for name, digest in earlier.require(stage)["outputs"].items()}
    with explorer.nothing_left_if_refused("controller"):
        if explorer.begin("controller", config, inputs):
            store = open_latents(earlier)
            evolve(config, explorer, load_world_model(earlier, store), store)
    return explorer.path / MODEL
