"""Trackio: a stage is a run of the project ``worldmodels-TASK`` in Trackio's own folder (``TRACKIO_DIR``)."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping

import numpy as np
import trackio
from numpy.typing import NDArray

from worldmodels.config import Config
from worldmodels.runs.boards.facts import facts, kept_id
from worldmodels.runs.run import VERBS, Run


class TrackioBoard:
    """A stage's curves; one that goes on adds to its own, and writes once more what it does once more."""

    def __init__(self, run: Run, stage: str, settings: Config) -> None:
        project = f"worldmodels-{run.task}"
        name = f"{run.path.name}-{stage}-{kept_id(run.path / 'trackio', stage)}"
        self._stage = stage
        with contextlib.redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                project=project,
                name=name,
                group=run.path.name,
                config=facts(run, settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        print(f"{VERBS[stage]}: 'trackio show --project {project}' shows {name}", file=sys.stderr)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({f"{self._stage}/{name}": value for name, value in values.items()}, step=step)

    def picture(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        self._run.log({f"{self._stage}/{name}": trackio.Image(picture)}, step=step)

    def close(self) -> None:
        # Trackio's own, which the end of the process does not do once more, with a line of its own.
        with contextlib.redirect_stdout(io.StringIO()):
            trackio.finish()  # type: ignore[no-untyped-call]
