"""The gradient loop that V and M share: Adam, checkpoints, metrics, validation, and an exact resume.

A stage's folder holds ``model.safetensors`` (what is shipped), ``training_state/`` (what is needed to resume) and
``metrics.jsonl``. Every random number of a step comes from (seed, stage, step), so the state is the weights, Adam's
moments, the step, and whatever the stage carries from step to step.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from matplotlib.image import imsave
from numpy.typing import NDArray
from torch import Tensor, nn

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.files import written_beside
from worldmodels.base.logs import MetricsLog
from worldmodels.base.tensors import load_metadata, load_tensors, save_tensors
from worldmodels.config import GradientConfig
from worldmodels.models.precision import compute_dtype, device_of
from worldmodels.runs.boards.board import Board, open_board
from worldmodels.runs.layout import METRICS, TRAINING_STATE, WEIGHTS
from worldmodels.runs.run import VERBS, Run
from worldmodels.runtime import interrupt
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.slices import Slice
from worldmodels.training.optim import DenseAdam, falling_rate

#: Gradient steps between two rows of training metrics.
LOG_EVERY_STEPS = 50
#: What the losses are called while they fall.
WORDS = {"recon_loss": "error", "kl_loss": "KL", "nll": "surprise", "done_loss": "at ends", "reward_loss": "at rewards"}


class Trainee(Protocol):
    """What the loop needs of a stage."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    def slices(self, step: int, generator: torch.Generator) -> Sequence[Slice]:
        """Returns the slices of a step's batch; all randomness comes from the step and the generator."""

    def validate(self) -> dict[str, float]:
        """Returns measurements on held-out data."""

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Returns pictures for the board, uint8 [rows, columns, 3] by name; called after `validate`."""

    def warning(self, measured: Mapping[str, float]) -> str | None:
        """Returns what is badly wrong with a validation's measurements, if anything; the pictures will show it."""

    def carried(self) -> dict[str, Tensor]:
        """Returns what goes from step to step beside the weights."""

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Takes back what `carried` gave."""


def learning_rate(config: GradientConfig, step: int) -> float:
    """Returns the learning rate of a step, counted from 0."""
    return falling_rate(config.learning_rate, config.final_learning_rate, step, config.num_steps)


@dataclass
class _Sums:
    """The losses of the steps since the last row of metrics: their sums, and each step's by itself."""

    parts: dict[str, Tensor] = field(default_factory=dict)
    num_steps: int = 0
    losses: list[Tensor] = field(default_factory=list)

    def add(self, loss: Tensor, parts: Mapping[str, Tensor]) -> None:
        for name, value in parts.items():
            self.parts[name] = self.parts[name] + value if name in self.parts else value
        self.losses.append(loss)
        self.num_steps += 1

    def first_broken(self) -> int | None:
        """Returns how many steps ago the loss was not finite for the first time; None if it always was."""
        if not self.losses:
            return None
        broken = torch.nonzero(~torch.isfinite(torch.stack(self.losses)))
        return len(self.losses) - 1 - int(broken[0]) if len(broken) else None


def train(
    run: Run,
    stage: str,
    config: GradientConfig,
    trainee: Trainee,
    max_grad_value: float | None = None,
) -> None:
    """Trains to ``config.num_steps`` from wherever the last checkpoint is; with none of them the model is measured as it is.

    Raises:
        UserError: the loss or a weight is not finite; the last good checkpoint stays, and no NaN is ever saved.
        KeyboardInterrupt: the user stopped it; everything up to the last whole step is saved.
    """
    folder = run.stage_path(stage)
    state_path = folder / TRAINING_STATE
    parameters = dict(trainee.model.named_parameters())
    optimizer = DenseAdam(trainee.model, config.learning_rate, compute_dtype(device_of(trainee.model)))
    step, sums = 0, _Sums()
    if state_path.exists():
        step = _restore(state_path, trainee, optimizer, parameters, sums)
    log = MetricsLog(folder / METRICS, "step", step)
    board = open_board(config.log, run, stage, step, config)
    progress = Progress(VERBS[stage], config.num_steps, "steps", step)
    generator = torch.Generator()
    trainee.model.train()
    with contextlib.closing(board), interrupt.deferred():
        while step < config.num_steps:
            generator.manual_seed(run.derive_seed(f"{stage}/noise", step))
            slices = trainee.slices(step, generator)
            loss, parts = optimizer.step(slices, learning_rate(config, step), max_grad_value)
            sums.add(loss, parts)
            step += 1

            last = step == config.num_steps
            save = last or step % config.checkpoint_every_steps == 0
            validate = last or step % config.validate_every_steps == 0
            stop = interrupt.requested() and not last
            if save or validate or stop or step % LOG_EVERY_STEPS == 0:
                _refuse_what_is_not_finite(stage, step, sums, parameters)
            if save or validate or step % LOG_EVERY_STEPS == 0:
                row = {name: float(value) / sums.num_steps for name, value in sums.parts.items()}
                sums = _Sums()
                progress.update(step, ", ".join(f"{WORDS.get(name, name)} {value:.3g}" for name, value in row.items()))
                if validate:
                    row |= _validate(folder, stage, trainee, board, step)
                log.write(step=step, learning_rate=learning_rate(config, step - 1), **row)
                board.scalars(row, step)
            if save or stop:
                _save(folder, trainee, optimizer, parameters, step, sums)
            if stop:
                break  # the end of `deferred` raises
    if not config.num_steps:
        log.write(step=0, **_validate(folder, stage, trainee, board, 0))
    # A kill between the state and the weights leaves older weights beside the last state.
    save_tensors(folder / WEIGHTS, parameters)
    trainee.model.eval()
    progress.finish(f"{config.num_steps:,} steps", folder)


def _validate(folder: Path, stage: str, trainee: Trainee, board: Board, step: int) -> dict[str, float]:
    """Returns the measurements on held-out data, shows the pictures, and says what is badly wrong."""
    trainee.model.eval()
    measured = trainee.validate()
    pictures = trainee.pictures()
    warning = trainee.warning(measured)
    for name, picture in pictures.items():
        board.picture(name, picture, step)
        if warning is not None:
            path = folder / f"{name}-{step}.png"
            with written_beside(path) as temporary:
                imsave(temporary, picture, format="png")
            warning += f"; see {path}"
    if warning is not None:
        print(f"{VERBS[stage]}: step {step}: {warning}", file=sys.stderr, flush=True)
    trainee.model.train()
    return {f"held_out_{name}": value for name, value in measured.items()}


def _refuse_what_is_not_finite(stage: str, step: int, sums: _Sums, parameters: Mapping[str, nn.Parameter]) -> None:
    """Raises `UserError`, naming the step whose batch did it, if a loss since the last row or a weight is not finite."""
    ago = sums.first_broken()
    broken = next((name for name, parameter in parameters.items() if not torch.isfinite(parameter).all()), None)
    if ago is None and broken is None:
        return
    # The batch is a function of the step: its number names it.
    what = f"the loss of step {step - ago}'s batch" if ago is not None else f"the weight '{broken}' after step {step}"
    raise UserError(f"{VERBS[stage]}: {what} is not finite; the last checkpoint is untouched; a lower --learning-rate may help")


def _save(
    folder: Path,
    trainee: Trainee,
    optimizer: DenseAdam,
    parameters: Mapping[str, nn.Parameter],
    step: int,
    sums: _Sums,
) -> None:
    """Writes the training state as one file, and the weights by themselves for whoever wants to use them."""
    state = {f"carried/{name}": tensor for name, tensor in trainee.carried().items()}
    metadata = {"step": str(step)}
    if sums.num_steps:  # stopped between two rows of metrics
        state |= {f"sum/{name}": tensor for name, tensor in sums.parts.items()}
        metadata["summed_steps"] = str(sums.num_steps)
    state |= {f"weight/{name}": parameter for name, parameter in parameters.items()} | optimizer.moments()
    save_tensors(folder / TRAINING_STATE, state, metadata)
    save_tensors(folder / WEIGHTS, parameters)


def _restore(path: Path, trainee: Trainee, optimizer: DenseAdam, parameters: Mapping[str, nn.Parameter], sums: _Sums) -> int:
    """Fills weights, moments, sums and what is carried from a checkpoint; returns its step. Raises `BadFileError`."""
    state, metadata = load_tensors(path), load_metadata(path)
    try:
        step = int(metadata["step"])
        sums.num_steps = int(metadata.get("summed_steps", 0))
        for name, parameter in parameters.items():
            with torch.no_grad():
                parameter.copy_(state[f"weight/{name}"])
        optimizer.restore(state, step)
    except (KeyError, ValueError, RuntimeError) as error:
        raise BadFileError(f"{path}: not a training state of this model ({error})") from error
    device = next(iter(parameters.values())).device
    sums.parts = {name.removeprefix("sum/"): t.to(device) for name, t in state.items() if name.startswith("sum/")}
    trainee.restore({name.removeprefix("carried/"): t for name, t in state.items() if name.startswith("carried/")})
    return step
