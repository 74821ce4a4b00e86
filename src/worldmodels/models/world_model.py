"""V and M together, and the folder that ships them with C: what `evaluate`, the dream and a player load.

model/
  config.json                    task, sizes, what C sees, the temperature of its dream, hashes
  vae.safetensors  rnn.safetensors  controller.safetensors
  initial_latents.safetensors    mu, logvar float16 [I, Z]: the dream's first frames
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels import files
from worldmodels.checkpoint import load_module, load_tensors, save_tensors
from worldmodels.config import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, ControllerInputs
from worldmodels.envs.spec import EnvSpec, get_task
from worldmodels.errors import BadFileError, UserError
from worldmodels.models.controller import num_parameters
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes, RNNState
from worldmodels.models.precision import device_of
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae, save_vae
from worldmodels.run import Run

FORMAT = 1
PARTS = ("vae", "rnn", "controller", "initial_latents")


def make_vae(spec: EnvSpec) -> VAE:
    """Makes V for a task, with weights from torch's global generator."""
    return VAE(spec.latent_size)


def make_rnn(spec: EnvSpec) -> MDNRNN:
    """Makes M for a task, with weights from torch's global generator."""
    return MDNRNN(
        RNNSizes(
            spec.latent_size,
            spec.action_size,
            spec.hidden_size,
            spec.num_mixtures,
            spec.restart_input,
            spec.done_head,
            bool(spec.hit_damages),
            spec.reward_head,
        )
    )


@dataclass(frozen=True)
class InitialLatents:
    """The dream's first frames as V sees them: ``mu`` and ``logvar``, float32 [I, Z]."""

    mu: Tensor
    logvar: Tensor


@dataclass(frozen=True)
class WorldModel:
    """V, M and the dream's beginnings, for one task."""

    spec: EnvSpec
    vae: VAE
    rnn: MDNRNN
    initial: InitialLatents

    def on(self, device: str) -> WorldModel:
        """Returns it on a device: itself if it is there, else a copy."""
        if device_of(self.rnn) == device:
            return self
        initial = InitialLatents(self.initial.mu.to(device), self.initial.logvar.to(device))
        return WorldModel(self.spec, copy.deepcopy(self.vae).to(device), copy.deepcopy(self.rnn).to(device), initial)


@dataclass(frozen=True)
class Moment:
    """Where slots are in a world: what V saw last and what M remembers, so that a dream can go on from there.

    ``z`` float32 [N, Z], ``state`` M's, ``restart`` float32 [N] (1 before an episode's first step), ``num_steps`` int64 [N],
    ``health`` float32 [N], of 100.
    """

    z: Tensor
    state: RNNState
    restart: Tensor
    num_steps: NDArray[np.int64]
    health: Tensor

    def only(self, which: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Moment:
        """Returns the moment of some slots: a slice, a mask bool [N] or numbers int64 [M]."""
        where = which if isinstance(which, slice) else torch.as_tensor(which, device=self.z.device)
        state = RNNState(*(part[where] for part in self.state))
        return Moment(self.z[where], state, self.restart[where], self.num_steps[which], self.health[where])

    @staticmethod
    def joined(moments: Sequence[Moment]) -> Moment:
        """Returns the slots of several moments as one's."""
        state = RNNState(*(torch.cat(parts) for parts in zip(*(moment.state for moment in moments), strict=True)))
        z, restart, health = (torch.cat([getattr(moment, name) for moment in moments]) for name in ("z", "restart", "health"))
        return Moment(z, state, restart, np.concatenate([moment.num_steps for moment in moments]), health)


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


def copy_moment(moment: Moment) -> Moment:
    """Returns a moment that nobody else changes."""
    state = RNNState(*(part.clone() for part in moment.state))
    return Moment(moment.z.clone(), state, moment.restart.clone(), moment.num_steps.copy(), moment.health.clone())


def load_initial_latents(path: Path, spec: EnvSpec) -> InitialLatents:
    """Reads initial latents. Raises `BadFileError`, or `UserError` if they are another task's."""
    tensors = load_tensors(path)
    try:
        mu, logvar = tensors["mu"].float(), tensors["logvar"].float()
    except KeyError as error:
        raise BadFileError(f"{path}: {error} is missing") from None
    if mu.shape != logvar.shape or mu.ndim != 2 or not len(mu):
        raise BadFileError(f"{path}: mu has shape {tuple(mu.shape)} and logvar {tuple(logvar.shape)}")
    if not (torch.isfinite(mu).all() and torch.isfinite(logvar).all()):
        raise BadFileError(f"{path}: a value is not finite")
    if mu.shape[1] != spec.latent_size:
        raise UserError(f"{path}: latents of size {mu.shape[1]}; {spec.name} has {spec.latent_size}")
    return InitialLatents(mu, logvar)


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
            "latent_size": spec.latent_size,
            "hidden_size": spec.hidden_size,
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
    vae, rnn = make_vae(spec), make_rnn(spec)
    load_vae(folder / "vae.safetensors", vae)
    load_module(folder / "rnn.safetensors", rnn)
    solution = load_tensors(folder / "controller.safetensors").get("solution")
    wanted = num_parameters(spec, inputs)
    if solution is None or solution.shape != (wanted,):
        raise UserError(f"{folder}/controller.safetensors: not a controller of {wanted} parameters")
    if not torch.isfinite(solution).all():
        raise BadFileError(f"{folder}/controller.safetensors: 'solution' holds a value that is not finite")
    initial = load_initial_latents(folder / "initial_latents.safetensors", spec)
    vae.eval()
    rnn.eval()
    temperature = _own_temperature(file, config, spec)
    return Model(WorldModel(spec, vae, rnn, initial), inputs, solution.float(), temperature, dict(config["sha256"]))


def _own_temperature(file: Path, config: dict[str, Any], spec: EnvSpec) -> float:
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
