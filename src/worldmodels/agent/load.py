"""The loader: a task's name, a run's folder or a model's folder → an `Agent`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

from worldmodels.agent.agent import Agent
from worldmodels.agent.files import FORMAT, OLD_FORMAT, PARTS, Card
from worldmodels.agent.original import load_original, original_folder
from worldmodels.agent.target import is_model, model_folder, target_path
from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.tensors import load_module, load_numbers, load_tensors
from worldmodels.config import OWN_FRAMES, TEMPERATURES, ControllerInputs
from worldmodels.envs.registry import get_task, is_task
from worldmodels.envs.task import Task
from worldmodels.models.controller import named_weights, num_parameters
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.sizes import run_sizes, sizes_from_json
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae
from worldmodels.models.world_model import InitialLatents, WorldModel, load_initial_latents
from worldmodels.runs import layout, task_file
from worldmodels.runs.run import Run


def load(target: str | Path, finished: bool = True) -> Agent:
    """Loads an agent.

    Args:
        target: a task's name (the agent that is shipped for it), a run's folder, the folder of `worldmodels iterate` (its
            newest finished round), a model's folder, ``hf://user/repo`` or ``hf://user/repo@revision`` (an agent on the
            Hugging Face Hub), or a folder of the original's files (`agent.original`).
        finished: False takes a run that is half-trained, too, each part as far as it has come: without C
            (``agent.solution`` is None), or without M (``agent.can_dream`` is false).

    Raises:
        UserError: there is no such thing, or its training is not finished.
        BadFileError: a part is damaged.
        EnvironmentFailure: the Hub does not answer.

    Example:
        >>> import worldmodels as wm
        >>> agent = wm.load("take-cover")
        >>> agent.task.name, agent.inputs, sorted(agent.controller)
        ('take-cover', 'zch', ['weight'])
        >>> round(agent.card["evaluation"]["real"]["mean"]) > agent.task.published.solved_at
        True
    """
    if not isinstance(target, str | Path) or target == "":
        raise UserError(f"{str(target)[:40]!r} is no agent's name; give a task's, or a folder")
    target = str(target)
    path = target_path(target)
    if not (path / layout.CONFIG).exists() and (original := original_folder(path)) is not None:
        return load_original(original)
    if finished:
        return load_model(model_folder(str(path)))
    return load_model(path) if is_model(path) else _so_far(Run.open(path))


def task_of(target: str | Path) -> Task:
    """Returns the task of ``target`` (see `load`); a task by name or a run need no agent.

    Raises:
        UserError: there is no such thing.
    """
    target = str(target)
    if is_task(target):
        return get_task(target)
    path = target_path(target)
    if (path / "episodes").is_dir():
        return get_task(Run.open(path).task)
    return load(target).task


def load_model(folder: Path) -> Agent:
    """Reads a model's folder.

    Raises:
        UserError: no model is there, it is another format's or task's, or its parts do not belong together.
        BadFileError: a part is damaged.
    """
    file = folder / layout.CONFIG
    if not file.exists():
        raise UserError(f"{folder}: no model is here (no config.json)")
    config: Any = files.read_json(file)
    if not isinstance(config, dict) or not isinstance(config.get("sha256"), dict) or not isinstance(config.get("task"), str):
        raise BadFileError(f"{file}: not a model's configuration")
    if config.get("format") not in (FORMAT, OLD_FORMAT):
        raise UserError(f"{file}: format {config.get('format')!r}; this version reads formats {OLD_FORMAT} and {FORMAT}")
    task_file.note_folder(folder)
    frames = config.get("frames", OWN_FRAMES)
    if not isinstance(frames, str):
        raise BadFileError(f"{file}: 'frames' is {frames!r}; expected a name")
    spec, inputs = get_task(config["task"]).seeing(frames), cast(ControllerInputs, config.get("controller_inputs"))
    if inputs not in get_args(ControllerInputs):
        raise BadFileError(
            f"{file}: 'controller_inputs' is {inputs!r}; expected one of {', '.join(get_args(ControllerInputs))}"
        )
    for name in PARTS:
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            raise BadFileError(f"{path}: missing")
        if (found := files.sha256_of(path)) != config["sha256"].get(name):
            load_tensors(path)  # a file that is damaged says so itself
            raise UserError(
                f"{path}: has SHA-256 {found[:12]}…, the model was made with {str(config['sha256'].get(name))[:12]}…: "
                f"it is a part of another model"
            )
    sizes = sizes_from_json(config, spec, file)
    vae, rnn = VAE(sizes.latent_size, sizes.width), MDNRNN(sizes)
    load_vae(folder / layout.VAE, vae)
    load_module(folder / layout.RNN, rnn)
    read_controller = _solution if config["format"] == OLD_FORMAT else _named_solution
    solution = read_controller(folder / layout.CONTROLLER, spec, sizes, inputs)
    initial = load_initial_latents(folder / layout.INITIAL_LATENTS, sizes.latent_size)
    world_model = WorldModel(spec, vae.eval(), rnn.eval(), initial)
    card, temperature = Card(folder, config), _own_temperature(file, config, spec)
    return Agent(world_model, inputs, solution, temperature, dict(config["sha256"]), card)


def _solution(path: Path, spec: Task, sizes: RNNSizes, inputs: ControllerInputs) -> Tensor:
    """Reads C's weights from one row, as stages and format 1 have them: float32 [parameters].

    Raises:
        UserError: they are another task's or another C's.
        BadFileError: as `load_numbers` does.
    """
    solution = load_numbers(path).get("solution")
    wanted = num_parameters(sizes, inputs, spec.controller_bias)
    if solution is None or solution.shape != (wanted,):
        raise UserError(f"{path}: not a controller of {wanted} parameters")
    return solution


def _named_solution(path: Path, spec: Task, sizes: RNNSizes, inputs: ControllerInputs) -> Tensor:
    """Reads C's weights by name into one row, float32 [parameters]. Raises what `_solution` does."""
    tensors, solution = load_numbers(path), torch.zeros(num_parameters(sizes, inputs, spec.controller_bias))
    wanted = named_weights(sizes, inputs, spec.controller_bias, solution)
    if {name: tensor.shape for name, tensor in tensors.items()} != {name: part.shape for name, part in wanted.items()}:
        found = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in sorted(tensors.items()))
        expected = ", ".join(f"{name} {list(part.shape)}" for name, part in sorted(wanted.items()))
        raise UserError(f"{path}: holds {found or 'nothing'}; a controller of {spec.name} on '{inputs}' has {expected}")
    for name, part in wanted.items():
        part.copy_(tensors[name])
    return solution


def _own_temperature(file: Path, config: dict[str, Any], spec: Task) -> float:
    """Returns the temperature that a model's configuration names. Older ones name none: then it is that of the run whose model
    this is, or, for a folder by itself, that of the task's first scale. Raises `BadFileError` for what is none."""
    if "temperature" not in config:
        run = file.parent.parent
        if file.parent.name == layout.MODEL and all(
            (run / name).exists() for name in (layout.CONFIG, f"controller/{layout.STARTED}")
        ):
            return Run.open(run).preset.controller.temperature
        return next(iter(spec.presets.values())).controller.temperature
    found = config["temperature"]
    if type(found) not in (int, float) or not TEMPERATURES.low <= found <= TEMPERATURES.high:
        raise BadFileError(f"{file}: 'temperature' is {found!r}; expected a number from {TEMPERATURES}")
    return float(found)


def _so_far(run: Run) -> Agent:
    """Takes each part from the stage that makes it: its newest checkpoint while it is being trained."""
    spec = get_task(run.task).seeing(run.preset.collect.frames)
    if run.done("controller"):
        return load_model(run.path / layout.MODEL)
    weights = run.stage_path("vae") / layout.WEIGHTS
    if not weights.exists():
        raise UserError(f"{run.path}: nothing to see with yet; 'worldmodels train-vae --run {run.path}' makes V")
    torch.manual_seed(0)
    sizes = run_sizes(spec, run.preset)
    vae, rnn = VAE(sizes.latent_size, sizes.width), MDNRNN(sizes)
    load_vae(weights, vae)
    memory = run.stage_path("rnn") / layout.WEIGHTS
    none = torch.zeros(0, sizes.latent_size)
    initial, solution = InitialLatents(none, none), None
    controller = run.preset.controller
    if memory.exists():
        load_module(memory, rnn)
        initial = load_initial_latents(run.stage_path("encode") / layout.INITIAL_LATENTS, sizes.latent_size)
        best = run.stage_path("controller") / layout.BEST
        if best.exists():
            solution = _solution(best, spec, sizes, controller.inputs)
    world_model = WorldModel(spec, vae.eval(), rnn.eval(), initial)
    return Agent(world_model, controller.inputs, solution, controller.temperature, can_dream=memory.exists())
