"""The stages by name, and how one is run: timed, and with nothing left behind if it is refused."""

from __future__ import annotations

import time
from typing import Any, Protocol

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.config import Config
from worldmodels.runs.layout import STARTED
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
