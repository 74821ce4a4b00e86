"""A model's folder: V, M, C and where dreams begin, written and read.

model/
  config.json                    task, sizes, what C sees, the temperature of its dream, hashes
  vae.safetensors  rnn.safetensors
  controller.safetensors         weight [A, F] and bias [A]; with a hidden layer 0.weight, 0.bias, 1.weight, 1.bias
  initial_latents.safetensors    mu, logvar float16 [I, Z]: the dream's first frames
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from worldmodels.base import files
from worldmodels.base.tensors import save_tensors
from worldmodels.config import OWN_FRAMES, ControllerInputs
from worldmodels.models.controller import named_weights
from worldmodels.models.sizes import sizes_to_json
from worldmodels.models.vae_file import save_vae
from worldmodels.models.world_model import WorldModel
from worldmodels.runs import task_file
from worldmodels.runs.layout import CONFIG, CONTROLLER, INITIAL_LATENTS, RNN, VAE

#: Format 1 had C's weights in one row, ``solution``; it is still read.
FORMAT, OLD_FORMAT = 2, 1
PARTS = ("vae", "rnn", "controller", "initial_latents")


class Card(Mapping[str, Any]):
    """The JSON facts of a model's folder by name: ``config``, and where they are there ``evaluation`` and ``training``.

    Those two are large, and are read when they are first asked for. Raises `BadFileError` then for one that is damaged.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._facts: dict[str, Any] = {"config": config}
        paths = {name: folder.absolute() / f"{name}.json" for name in ("evaluation", "training")}
        self._paths = {name: path for name, path in paths.items() if path.exists()}

    def __getitem__(self, name: str) -> Any:
        if name not in self._facts:
            self._facts[name] = files.read_json(self._paths[name])
        return self._facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(["config", *self._paths])

    def __len__(self) -> int:
        return 1 + len(self._paths)


def temperature_text(temperature: float, own: float) -> str:
    """Returns a dream's temperature in words, beside the agent's own where that is another."""
    return f"τ {temperature:g}" + ("" if temperature == own else f" (the agent's own is {own:g})")


def dropout_text(dropout: float) -> str:
    """Returns in words what is left out of a dream; nothing where nothing is."""
    return f", dropout {dropout:g}" if dropout else ""


def save_model(
    folder: Path, world_model: WorldModel, inputs: ControllerInputs, solution: Tensor, temperature: float
) -> dict[str, str]:
    """Writes a model's folder, with C's parameters ``solution``, float [parameters]; returns the SHA-256 of each part.

    Args:
        temperature: the agent's own, of the dream that it was trained or scored in.
    """
    spec, initial = world_model.spec, world_model.initial
    files.remove_leftovers(folder)
    save_vae(folder / VAE, world_model.vae)
    save_tensors(folder / RNN, dict(world_model.rnn.named_parameters()))
    save_tensors(folder / CONTROLLER, named_weights(world_model.sizes, inputs, spec.controller_bias, solution.float()))
    save_tensors(folder / INITIAL_LATENTS, {"mu": initial.mu.half(), "logvar": initial.logvar.half()})
    task_file.write(spec.name, folder)
    hashes = {name: files.sha256_of(folder / f"{name}.safetensors") for name in PARTS}
    files.write_json(
        folder / CONFIG,
        {
            "format": FORMAT,
            "task": spec.name,
            **sizes_to_json(world_model.sizes),
            **({} if spec.frames_name == OWN_FRAMES else {"frames": spec.frames_name}),
            "controller_inputs": inputs,
            "temperature": temperature,
            "sha256": hashes,
        },
    )
    return hashes
