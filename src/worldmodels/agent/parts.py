"""What there is to show of a task's shipped agent, a model's folder, or a run, also one that is half-trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldmodels.agent.files import Model, load_model
from worldmodels.agent.target import is_model, target_path
from worldmodels.base.errors import UserError
from worldmodels.base.tensors import load_module, load_tensors
from worldmodels.config import ControllerInputs
from worldmodels.envs.task import Task, get_task
from worldmodels.models.controller import num_parameters
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import run_sizes
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae
from worldmodels.models.world_model import InitialLatents, WorldModel, load_initial_latents
from worldmodels.runs.layout import WEIGHTS
from worldmodels.runs.run import Run


@dataclass(frozen=True)
class Parts:
    """V, M and C as far as there are any.

    ``world_model`` is whole: an M that ``can_dream`` is false for has random weights and is never shown. ``solution`` float32
    [parameters] is C's; None means that the random policy acts in its place. ``temperature`` is the agent's own (see `Model`).
    """

    world_model: WorldModel
    inputs: ControllerInputs
    can_dream: bool
    solution: Tensor | None
    temperature: float

    @property
    def spec(self) -> Task:
        """The task."""
        return self.world_model.spec


def find_parts(target: str) -> Parts:
    """Finds what ``target`` (a task, a model's folder or a run's folder) has to show.

    Raises:
        UserError: there is nothing there, or not even a V yet.
        BadFileError: a part is damaged.
    """
    path = target_path(target)
    return whole(load_model(path)) if is_model(path) else _parts_of_run(Run.open(path))


def whole(model: Model) -> Parts:
    """Returns all of a finished model."""
    return Parts(model.world_model, model.inputs, True, model.solution, model.temperature)


def _parts_of_run(run: Run) -> Parts:
    """Takes each part from the stage that makes it: its newest checkpoint while it is being trained."""
    spec = get_task(run.task)
    if run.done("controller"):
        return whole(load_model(run.path / "model"))
    weights = run.stage_path("vae") / WEIGHTS
    if not weights.exists():
        raise UserError(f"{run.path}: nothing to see with yet; 'worldmodels train-vae --run {run.path}' makes V")
    torch.manual_seed(0)
    sizes = run_sizes(spec, run.preset)
    vae, rnn = VAE(sizes.latent_size), MDNRNN(sizes)
    load_vae(weights, vae)
    memory = run.stage_path("rnn") / WEIGHTS
    none = torch.zeros(0, sizes.latent_size)
    initial, solution = InitialLatents(none, none), None
    if memory.exists():
        load_module(memory, rnn)
        initial = load_initial_latents(run.stage_path("encode") / "initial_latents.safetensors", sizes.latent_size)
        best = run.stage_path("controller") / "best.safetensors"
        if best.exists():
            found = load_tensors(best).get("solution")
            size = num_parameters(sizes, run.preset.controller.inputs, spec.controller_bias)
            if found is None or found.shape != (size,):
                raise UserError(f"{best}: not a controller of this run's settings")
            solution = found.float()
    world_model = WorldModel(spec, vae.eval(), rnn.eval(), initial)
    controller = run.preset.controller
    return Parts(world_model, controller.inputs, memory.exists(), solution, controller.temperature)
