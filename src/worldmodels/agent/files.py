"""A model's folder: V, M, C and where dreams begin, written and read.

model/
  config.json                    task, sizes, what C sees, the temperature of its dream, hashes
  vae.safetensors  rnn.safetensors  controller.safetensors
  initial_latents.safetensors    mu, logvar float16 [I, Z]: the dream's first frames
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.tensors import load_module, load_tensors, save_tensors
from worldmodels.config import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, ControllerInputs
from worldmodels.envs.task import Task, get_task
from worldmodels.models.controller import num_parameters
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import sizes_from_json, sizes_to_json
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae, save_vae
from worldmodels.models.world_model import WorldModel, load_initial_latents
from worldmodels.runs.run import Run

FORMAT = 1
PARTS = ("vae", "rnn", "controller", "initial_latents")


@dataclass(frozen=True)
class Model:
    """A world model and a controller for it: what C sees, ``solution`` float32 [parameters], and the agent's own
    ``temperature``: of the dream that it was trained or scored in."""

    world_model: WorldModel
    inputs: ControllerInputs
    solution: Tensor
    temperature: float
    sha256: dict[str, str]


def temperature_text(temperature: float, own: float) -> str:
    """Returns a dream's temperature in words, beside the agent's own where that is another."""
    return f"τ {temperature:g}" + ("" if temperature == own else f" (the agent's own is {own:g})")


def save_model(
    folder: Path, world_model: WorldModel, inputs: ControllerInputs, solution: Tensor, temperature: float
) -> dict[str, str]:
    """Writes a model's folder, with C's parameters ``solution``, float [parameters]; returns the SHA-256 of each part.

    Args:
        temperature: the agent's own (see `Model`).
    """
    spec, initial = world_model.spec, world_model.initial
    files.remove_leftovers(folder)
    save_vae(folder / "vae.safetensors", world_model.vae)
    save_tensors(folder / "rnn.safetensors", dict(world_model.rnn.named_parameters()))
    save_tensors(folder / "controller.safetensors", {"solution": solution.float()})
    save_tensors(folder / "initial_latents.safetensors", {"mu": initial.mu.half(), "logvar": initial.logvar.half()})
    hashes = {name: files.sha256_of(folder / f"{name}.safetensors") for name in PARTS}
    files.write_json(
        folder / "config.json",
        {
            "format": FORMAT,
            "task": spec.name,
            **sizes_to_json(world_model.sizes),
            "controller_inputs": inputs,
            "temperature": temperature,
            "sha256": hashes,
        },
    )
    return hashes


def load_model(folder: Path) -> Model:
    """Reads a model's folder.

    Raises:
        UserError: no model is there, it is another format's or task's, or its parts do not belong together.
        BadFileError: a part is damaged.
    """
    file = folder / "config.json"
    if not file.exists():
        raise UserError(f"{folder}: no model is here (no config.json)")
    config: Any = files.read_json(file)
    if not isinstance(config, dict) or not isinstance(config.get("sha256"), dict) or not isinstance(config.get("task"), str):
        raise BadFileError(f"{file}: not a model's configuration")
    if config.get("format") != FORMAT:
        raise UserError(f"{file}: format {config.get('format')!r}; this version reads format {FORMAT}")
    spec, inputs = get_task(config["task"]), cast(ControllerInputs, config.get("controller_inputs"))
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
    vae, rnn = VAE(sizes.latent_size), MDNRNN(sizes)
    load_vae(folder / "vae.safetensors", vae)
    load_module(folder / "rnn.safetensors", rnn)
    solution = load_tensors(folder / "controller.safetensors").get("solution")
    wanted = num_parameters(sizes, inputs, spec.controller_bias)
    if solution is None or solution.shape != (wanted,):
        raise UserError(f"{folder}/controller.safetensors: not a controller of {wanted} parameters")
    if not torch.isfinite(solution).all():
        raise BadFileError(f"{folder}/controller.safetensors: 'solution' holds a value that is not finite")
    initial = load_initial_latents(folder / "initial_latents.safetensors", sizes.latent_size)
    vae.eval()
    rnn.eval()
    temperature = _own_temperature(file, config, spec)
    return Model(WorldModel(spec, vae, rnn, initial), inputs, solution.float(), temperature, dict(config["sha256"]))


def _own_temperature(file: Path, config: dict[str, Any], spec: Task) -> float:
    """Returns the temperature that a model's configuration names. Older ones name none: then it is that of the run whose model
    this is, or, for a folder by itself, that of the task's first scale. Raises `BadFileError` for what is none."""
    if "temperature" not in config:
        run = file.parent.parent
        if file.parent.name == "model" and all((run / name).exists() for name in ("config.json", "controller/STARTED")):
            return Run.open(run).preset.controller.temperature
        return next(iter(spec.presets.values())).controller.temperature
    found = config["temperature"]
    if type(found) not in (int, float) or not LOWEST_TEMPERATURE <= found <= HIGHEST_TEMPERATURE:
        raise BadFileError(
            f"{file}: 'temperature' is {found!r}; expected a number from {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}"
        )
    return float(found)
