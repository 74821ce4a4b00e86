"""TensorBoard, the usual board: ``RUN/tensorboard/STAGE``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from worldmodels.runs.layout import TENSORBOARD
from worldmodels.runs.run import Run


class TensorBoard:
    """A stage's curves as event files; those after ``step``, which a killed process left, are hidden."""

    def __init__(self, run: Run, stage: str, step: int) -> None:
        self._stage = stage
        self._writer = SummaryWriter(str(run.path / TENSORBOARD / stage), purge_step=step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{self._stage}/{name}", value, step)

    def picture(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        self._writer.add_image(f"{self._stage}/{name}", picture, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()
