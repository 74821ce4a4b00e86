"""The stages by name, and how one is run: timed, and with nothing left behind if it is refused."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Protocol

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.config import BEST_RECIPE, Config, ControllerConfig, GradientConfig, check_seed
from worldmodels.envs.registry import get_task
from worldmodels.envs.sizing import preset_of
from worldmodels.runs.boards.board import check_board
from worldmodels.runs.layout import STARTED
from worldmodels.runs.lock import RunLock
from worldmodels.runs.run import Run
from worldmodels.runs.timings import note_time
from worldmodels.runtime.memory import keep_freed_memory
from worldmodels.stages import collect, encode
from worldmodels.stages import train_controller as controller
from worldmodels.stages import train_rnn as rnn
from worldmodels.stages import train_vae as vae


class Stage(Protocol):
    """A stage's ``run``."""

    def __call__(self, config: Any, run: Run) -> None: ...


RUN_STAGE: dict[str, Stage] = {
    "collect": collect.run,
    "vae": vae.run,
    "encode": encode.run,
    "rnn": rnn.run,
    "controller": controller.run,
}


def run_stage(run: Run, stage: str, config: Config) -> None:
    """Runs or resumes one stage and notes how long it worked, also when it is interrupted; not where nothing was left to do or
    it is refused."""
    start, finished, refused = time.monotonic(), run.done(stage) is not None, False
    keep_freed_memory()
    try:
        with run.nothing_left_if_refused(stage):
            RUN_STAGE[stage](config, run)
    except (UserError, BadFileError):
        refused = True
        raise
    finally:
        if not (finished or refused) and (run.stage_path(stage) / STARTED).exists():
            note_time(run, stage, time.monotonic() - start)


def make_stage(
    stage: str,
    path: Path,
    task: str,
    scale: str,
    seed: int,
    previous: Path | None = None,
    settings: Config | None = None,
    recipe: str = BEST_RECIPE,
) -> dict[str, Any]:
    """Runs or resumes one stage of the run in a folder, or of a new one, with the folder locked; returns what it has made.

    Args:
        settings: of the stage, in place of the run's. A stage that has begun keeps its own.

    Raises:
        UserError: a value out of range, or the folder holds another run or is in use.
    """
    check_seed(seed)
    if settings is not None:
        settings.validate()
        if isinstance(settings, GradientConfig | ControllerConfig):
            check_board(settings.log)
    with RunLock(path):
        preset = preset_of(get_task(task), scale, path, recipe)
        run = Run.open_or_create(path, task, scale, seed, preset, previous, recipe)
        if settings is not None and settings != getattr(run.preset, stage):
            run = _with_settings(run, stage, settings)
        run_stage(run, stage, getattr(run.preset, stage))
        return {"stage": stage, "run": str(path), **run.require(stage)}


def _with_settings(run: Run, stage: str, settings: Config) -> Run:
    """Returns the run with a stage's settings for its configuration. Raises `UserError` where the stage has others."""
    stages: dict[str, Any] = {stage: settings}
    preset = dataclasses.replace(run.preset, **stages)
    run.refuse_other_settings(stage, settings)
    return dataclasses.replace(run, preset=preset, unsaved=preset)
