"""The gradient loop that V and M share: Adam, checkpoints, metrics, validation, and an exact resume.

A stage's folder holds ``model.safetensors`` (what is shipped), ``training_state/`` (what is needed to resume) and
``metrics.jsonl``. Every random number of a step comes from (seed, stage, step), so the state is the weights, Adam's
moments, the step, and whatever the stage carries from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from worldmodels.adam import DenseAdam
from worldmodels.checkpoint import load_metadata, load_module, load_tensors, save_tensors
from worldmodels.config import GradientConfig
from worldmodels.errors import BadFileError, WorldModelsError
from worldmodels.progress import Progress
from worldmodels.run import VERBS, MetricsLog, Run

#: Gradient steps between two rows of training metrics.
LOG_EVERY_STEPS = 50
WEIGHTS = "model.safetensors"
STATE = Path("training_state") / "state.safetensors"


class Trainee(Protocol):
    """What the loop needs of a stage."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns a step's loss and its parts; all randomness comes from the step and the generator."""

    def validate(self) -> dict[str, float]:
        """Returns measurements on held-out data."""

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Returns pictures for TensorBoard, uint8 [rows, columns, 3] by name; called after `validate`."""

    def carried(self) -> dict[str, Tensor]:
        """Returns what goes from step to step beside the weights."""

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Takes back what `carried` gave."""


def learning_rate(config: GradientConfig, step: int) -> float:
    """Returns the learning rate of a step: exponential from the first step's to the last step's (the original decays
    by a constant factor too)."""
    share = step / max(1, config.num_steps - 1)
    return float(config.learning_rate * (config.final_learning_rate / config.learning_rate) ** share)


def begin_from_previous(run: Run, stage: str, model: nn.Module) -> None:
    """Gives a model the weights that the previous run ended with; without a previous run it keeps its own."""
    if run.previous is not None:
        load_module(run.previous.stage_path(stage) / WEIGHTS, model)


def train(
    run: Run,
    stage: str,
    config: GradientConfig,
    trainee: Trainee,
    unit_per_step: int,
    unit: str,
    max_grad_value: float | None = None,
) -> None:
    """Trains to ``config.num_steps`` from wherever the last checkpoint is.

    Raises:
        WorldModelsError: the loss is not finite; the last good checkpoint stays, and no NaN is ever saved.
    """
    folder = run.stage_path(stage)
    state_path = folder / STATE
    parameters = dict(trainee.model.named_parameters())
    optimizer = DenseAdam(parameters, config.learning_rate)
    step = 0
    if state_path.exists():
        step = _restore(state_path, trainee, optimizer, parameters)
    log = MetricsLog(folder / "metrics.jsonl", "step", step)
    board = SummaryWriter(str(run.path / "tensorboard" / stage), purge_step=step)
    progress = Progress(VERBS[stage], config.num_steps * unit_per_step, unit, step * unit_per_step)
    generator = torch.Generator()
    sums: dict[str, Tensor] = {}
    num_summed = 0
    trainee.model.train()
    while step < config.num_steps:
        generator.manual_seed(run.derive_seed(f"{stage}/noise", step))
        loss, parts = trainee.loss(step, generator)
        optimizer.step(loss, learning_rate(config, step), max_grad_value)
        for name, value in parts.items():
            sums[name] = sums[name] + value if name in sums else value
        num_summed += 1
        step += 1

        last = step == config.num_steps
        checkpoint = last or step % config.checkpoint_every_steps == 0
        validate = last or step % config.validate_every_steps == 0
        if checkpoint or validate or step % LOG_EVERY_STEPS == 0:
            row = {name: float(value) / num_summed for name, value in sums.items()}
            if not all(map(math.isfinite, row.values())):
                raise WorldModelsError(
                    f"{VERBS[stage]}: the loss is not finite in the {num_summed} steps up to {step} ({row}); "
                    f"the last checkpoint is untouched; a lower --learning-rate may help"
                )
            progress.update(step * unit_per_step, ", ".join(f"{name} {value:.4g}" for name, value in row.items()))
            sums, num_summed = {}, 0
            if validate:
                trainee.model.eval()
                row |= {f"held_out_{name}": value for name, value in trainee.validate().items()}
                for name, picture in trainee.pictures().items():
                    board.add_image(f"{stage}/{name}", picture, step, dataformats="HWC")
                trainee.model.train()
            log.write(step=step, learning_rate=learning_rate(config, step - 1), **row)
            for name, measured in row.items():
                board.add_scalar(f"{stage}/{name}", measured, step)
        if checkpoint:
            _save(folder, trainee, optimizer, parameters, step)
    board.close()
    # A kill between the state and the weights leaves older weights beside the last state.
    save_tensors(folder / WEIGHTS, parameters)
    trainee.model.eval()
    progress.finish(f"{config.num_steps:,} steps")


def _save(folder: Path, trainee: Trainee, optimizer: DenseAdam, parameters: Mapping[str, nn.Parameter], step: int) -> None:
    """Writes the training state as one file, and the weights by themselves for whoever wants to use them."""
    state = {f"carried/{name}": tensor for name, tensor in trainee.carried().items()}
    state |= {f"weight/{name}": parameter for name, parameter in parameters.items()} | optimizer.moments()
    save_tensors(folder / STATE, state, {"step": str(step)})
    save_tensors(folder / WEIGHTS, parameters)


def _restore(path: Path, trainee: Trainee, optimizer: DenseAdam, parameters: Mapping[str, nn.Parameter]) -> int:
    """Fills weights, moments and what is carried from a checkpoint; returns its step. Raises `BadFileError`."""
    state, metadata = load_tensors(path), load_metadata(path)
    try:
        step = int(metadata["step"])
        for name, parameter in parameters.items():
            with torch.no_grad():
                parameter.copy_(state[f"weight/{name}"])
        optimizer.restore(state, step)
    except (KeyError, ValueError, RuntimeError) as error:
        raise BadFileError(f"{path}: not a training state of this model ({error})") from error
    trainee.restore({name.removeprefix("carried/"): t for name, t in state.items() if name.startswith("carried/")})
    return step
