"""Weights & Biases: a stage is a run of the project ``worldmodels-TASK``, kept offline where there is no key."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Literal

import numpy as np
import wandb
from numpy.typing import NDArray

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.config import Config
from worldmodels.runs.boards.facts import facts, kept_id
from worldmodels.runs.run import VERBS, Run


class WandbBoard:
    """A stage's curves in ``RUN/wandb``, and on the server unless offline (``WANDB_MODE``). A stage that goes on has the run's
    id of before; offline, 'wandb sync' puts the pieces together.

    Raises:
        EnvironmentFailure: the server refuses or does not answer.
    """

    def __init__(self, run: Run, stage: str, settings: Config) -> None:
        folder = run.path / "wandb"
        quiet = wandb.Settings(silent=True, console="off")
        mode: Literal["offline"] | None = None
        try:
            if "WANDB_MODE" not in os.environ and not wandb.login(prompt=False, verify=False):
                mode = "offline"
                print(f"{VERBS[stage]}: no key of wandb; 'wandb sync {folder}/offline-*' sends it later", file=sys.stderr)
            self._run = wandb.init(
                project=f"worldmodels-{run.task}",
                id=kept_id(folder, stage),
                name=f"{run.path.name}/{stage}",
                group=run.path.name,
                job_type=stage,
                dir=str(run.path),
                config=facts(run, settings),
                resume="allow",
                reinit="finish_previous",
                mode=mode,
                settings=quiet,
            )
        except wandb.errors.Error as error:
            why = str(error).strip().splitlines()[0]
            raise EnvironmentFailure(f"--log wandb: {why}; WANDB_MODE=offline keeps it in {folder}") from error
        self._stage = stage

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({f"{self._stage}/{name}": value for name, value in values.items()}, step=step)

    def picture(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        self._run.log({f"{self._stage}/{name}": wandb.Image(picture)}, step=step)

    def close(self) -> None:
        self._run.finish()
