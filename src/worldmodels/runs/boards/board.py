"""What every board does, which there are, and how one is opened. A board shows; nothing is ever read back from it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.extras import how_to_install
from worldmodels.config import Config, LogKind
from worldmodels.runs.run import Run


class Board(Protocol):
    """The curves and pictures of one stage of a run."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Shows numbers by name at a step; steps never fall."""

    def picture(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Shows a picture, uint8 [rows, columns, 3]."""

    def close(self) -> None:
        """Writes what is still to be written."""


def check_board(kind: LogKind) -> None:
    """Raises, before any work, `UserError` where the package of a board is not installed, and `EnvironmentFailure` where
    Trackio's folder cannot be written, of which it would only warn."""
    if find_spec(kind) is None:
        raise UserError(f"--log {kind} needs {kind}, which is not installed: {how_to_install(kind)}")
    if kind == "trackio":
        from trackio.utils import TRACKIO_DIR

        try:
            TRACKIO_DIR.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=TRACKIO_DIR):
                pass
        except OSError as error:
            why = f"{TRACKIO_DIR} cannot be written ({error.strerror})"
            raise EnvironmentFailure(f"--log trackio: {why}; TRACKIO_DIR names another folder") from error


def open_board(kind: LogKind, run: Run, stage: str, step: int, settings: Config) -> Board:
    """Opens a stage's board. A stage that goes on from a ``step`` goes on with its board.

    Raises:
        UserError: the package is not installed.
        EnvironmentFailure: it refuses.
    """
    check_board(kind)
    if kind == "wandb":
        from worldmodels.runs.boards.wandb import WandbBoard

        return WandbBoard(run, stage, settings)
    if kind == "trackio":
        from worldmodels.runs.boards.trackio import TrackioBoard

        return TrackioBoard(run, stage, settings)
    from worldmodels.runs.boards.tensorboard import TensorBoard

    return TensorBoard(run, stage, step)
