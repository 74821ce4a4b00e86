"""The files of the original, a clone of its repository or the four alone, as an `Agent`.

    vae.json        V's arrays in the order of their making: four convolutions, μ, log σ², the dense layer, four deconvolutions
    rnn.json        M's: the LSTM's kernel [I + H, 4H] (gates i, j, f, o) and bias, the output layer's weight and bias; in
                    CarRacing the output layer comes first
    initial_z.json  mu and logvar [I, Z] of first frames
    *.best.json     C's parameters and what they scored

All but C's are whole numbers of 1/10,000. V needs the frames that it was trained on: the task's way ``original``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldmodels.agent.agent import Agent
from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.config import ControllerInputs
from worldmodels.envs.registry import get_task
from worldmodels.models.controller import layer_sizes, num_parameters
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.vae import VAE
from worldmodels.models.world_model import InitialLatents, WorldModel

Array = NDArray[np.float64]

#: Where in a clone the files lie, below a task's folder.
FOLDERS = ("", "tf_models", "vae", "rnn", "initial_z", "log")
#: The tasks' folders in a clone.
CLONE = ("doomrnn", "carracing")
V_FILE, M_FILE, Z_FILE = "vae.json", "rnn.json", "initial_z.json"
#: Its numbers are whole ones of 1 / this.
PRECISION = 10_000
#: Beyond this no number of its files is one of its weights: as float16 it would not be finite.
LARGEST = 60_000 * PRECISION
#: TensorFlow's cell adds it to the forget gate.
FORGET_BIAS = 1.0


@dataclass(frozen=True)
class Original:
    """What the original is for one task."""

    task: str
    sizes: RNNSizes
    lstm_first: bool
    """Whether the LSTM's arrays come before the output layer's in rnn.json."""
    temperature: float
    """Of the dream that its published C was trained in."""
    inputs: tuple[ControllerInputs, ...]
    """What a C of this task may see; its number of parameters says which it is."""

    @property
    def rnn_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of rnn.json."""
        s = self.sizes
        lstm: list[tuple[int, ...]] = [(s.input_size + s.hidden_size, 4 * s.hidden_size), (4 * s.hidden_size,)]
        output: list[tuple[int, ...]] = [(s.hidden_size, s.output_size), (s.output_size,)]
        return lstm + output if self.lstm_first else output + lstm


ORIGINALS = (
    Original("take-cover", RNNSizes(64, 1, 512, 5, restart_input=True, done_head=True), True, 1.25, ("zch", "zh", "z")),
    Original("car-racing", RNNSizes(32, 3, 256, 5), False, 1.0, ("zh", "zch", "z", "z+hidden")),
)


def original_folder(path: Path) -> Path | None:
    """Returns the folder of the original's files that a path means, or None where there are none of them.

    Raises:
        UserError: a clone, which has both tasks.
    """
    if _find(path, M_FILE) or _find(path, V_FILE):
        return path
    found = [path / name for name in CLONE if _find(path / name, M_FILE) or _find(path / name, V_FILE)]
    if len(found) > 1:
        raise UserError(f"{path}: the original of two tasks; name {' or '.join(map(str, found))}")
    return found[0] if found else None


def is_original(folder: Path) -> bool:
    """Returns whether V, M, the beginnings of dreams and C are all in a folder."""
    return all(_find(folder, name) for name in (V_FILE, M_FILE, Z_FILE)) and bool(_controller_files(folder))


def load_original(folder: Path) -> Agent:
    """Reads the original's files.

    Raises:
        UserError: one is not there, or there are several controllers.
        BadFileError: one is damaged, or not the original's.
    """
    paths = {name: _needed(folder, name) for name in (V_FILE, M_FILE, Z_FILE)}
    controller = _controller_file(folder)
    arrays = _arrays(paths[M_FILE])
    shapes = [array.shape for array in arrays]
    original = next((known for known in ORIGINALS if known.rnn_shapes == shapes), None)
    if original is None:
        wanted = " or ".join(f"{known.rnn_shapes} ({known.task})" for known in ORIGINALS)
        raise BadFileError(f"{paths[M_FILE]}: its arrays have the shapes {shapes}; the original's have {wanted}")
    spec, sizes = get_task(original.task).seeing("original"), original.sizes
    mu, logvar = _of_shapes(paths[Z_FILE], [(-1, sizes.latent_size)] * 2)
    if len(mu) != len(logvar) or not len(mu):
        raise BadFileError(f"{paths[Z_FILE]}: {len(mu)} means and {len(logvar)} variances of first frames")
    inputs, solution = _controller(controller, original, spec.controller_bias)
    vae = _vae(paths[V_FILE], sizes.latent_size)
    rnn = _rnn(arrays if original.lstm_first else [*arrays[2:], *arrays[:2]], sizes)
    world_model = WorldModel(spec, vae, rnn, InitialLatents(_tensor(mu), _tensor(logvar)))
    parts = {"vae": paths[V_FILE], "rnn": paths[M_FILE], "controller": controller, "initial_latents": paths[Z_FILE]}
    sha256 = {name: files.sha256_of(path) for name, path in parts.items()}
    return Agent(world_model, inputs, solution, original.temperature, sha256)


def write_original(folder: Path, out: Path) -> dict[str, Any]:
    """Writes the original's files as a model's folder, whole or not at all; returns what it is.

    Raises what `load_original` does, and `UserError` where something is at ``out``.
    """
    found = original_folder(folder)
    if found is None:
        if not folder.exists():
            raise UserError(f"{folder}: no such folder")
        files.check_folder(folder)
        raise UserError(f"{folder}: no {M_FILE} and no {V_FILE} are here; name a clone's folder of the task, or those files'")
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: is there already; name a folder that is not")
    files.check_folder(out)
    agent = load_original(found)
    with files.folder_beside(out) as temporary:
        sha256 = agent.save(temporary)
    return {
        "model": str(out),
        "task": agent.task.name,
        "controller_inputs": agent.inputs,
        "temperature": agent.temperature,
        "sha256": sha256,
    }


def _find(folder: Path, name: str) -> Path | None:
    return next((found for below in FOLDERS if (found := folder / below / name).is_file()), None)


def _needed(folder: Path, name: str) -> Path:
    found = _find(folder, name)
    if found is None:
        below = ", ".join(f"{name}/" for name in FOLDERS if name)
        raise UserError(f"{folder}: no {name} is here, nor in {below}; a clone of the original's repository has it")
    return found


def _controller_files(folder: Path) -> list[Path]:
    """Returns what may be C's file: the best of a training, else any JSON file that is not one of the others."""
    every = [path for below in FOLDERS for path in sorted((folder / below).glob("*.json"))]
    others = [path for path in every if path.name not in (V_FILE, M_FILE, Z_FILE) and "hist" not in path.name.split(".")[-2]]
    best = [path for path in others if path.name.endswith("best.json")]
    return best or others


def _controller_file(folder: Path) -> Path:
    """Returns C's file. Raises `UserError` where there is none, or more than one."""
    found = _controller_files(folder)
    if not found:
        raise UserError(f"{folder}: no controller is here, such as log/doomrnn.cma.16.64.best.json")
    if len(found) > 1:
        raise UserError(f"{folder}: {len(found)} controllers ({', '.join(path.name for path in found)}); leave one")
    return found[0]


def _arrays(path: Path) -> list[Array]:
    """Reads a list of arrays of whole numbers. Raises `BadFileError`."""
    found: Any = files.read_json(path)
    if not isinstance(found, list):
        raise BadFileError(f"{path}: holds a {type(found).__name__}; the original's is a list of arrays")
    return [_array(path, f"array {index}", values) / PRECISION for index, values in enumerate(found)]


def _array(path: Path, what: str, values: Any) -> Array:
    try:
        found = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise BadFileError(f"{path}: {what} is no array ({error})") from None
    if found.dtype.kind not in "iuf" or not found.size:
        raise BadFileError(f"{path}: {what} holds something else than numbers")
    if not np.isfinite(found).all():
        raise BadFileError(f"{path}: {what} holds a value that is not finite")
    numbers = found.astype(np.float64)
    if np.abs(numbers).max() > LARGEST:
        raise BadFileError(f"{path}: {what} holds a value beyond ±{LARGEST:,}; the original's are small")
    return numbers


def _of_shapes(path: Path, shapes: list[tuple[int, ...]]) -> list[Array]:
    """Reads arrays of these shapes; -1 is any number. Raises `BadFileError`."""
    arrays = _arrays(path)
    if len(arrays) != len(shapes):
        raise BadFileError(f"{path}: holds {len(arrays)} arrays; the original's has {len(shapes)}")
    for index, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
        fits = array.ndim == len(shape) and all(want in (-1, have) for want, have in zip(shape, array.shape, strict=True))
        if not fits:
            raise BadFileError(f"{path}: array {index} has shape {array.shape}; the original's has {shape}")
    return arrays


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


@torch.no_grad()
def _vae(path: Path, latent_size: int) -> VAE:
    """Returns V. TensorFlow's kernels are [rows, columns, in, out], those of deconvolutions [rows, columns, out, in]."""
    vae = VAE(latent_size)
    layers: list[nn.Module] = [*vae.encoder, vae.mu, vae.logvar, vae.expand, *vae.decoder]
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    shapes = [_tensorflow_shape(parameter) for parameter in parameters]
    for parameter, array in zip(parameters, _of_shapes(path, shapes), strict=True):
        assert isinstance(parameter, Tensor)
        parameter.copy_(_tensor(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T))
    return vae.eval()


def _tensorflow_shape(parameter: Any) -> tuple[int, ...]:
    shape = tuple(parameter.shape)
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape[::-1]


@torch.no_grad()
def _rnn(arrays: list[Array], sizes: RNNSizes) -> MDNRNN:
    """Returns M: our gates are i, f, j, o, and the forget bias is part of the parameter; our output columns are [done logit],
    then [3, K, Z], where the original's are [Z, 3, K]."""
    kernel, bias, weight_out, bias_out = arrays
    rnn = MDNRNN(sizes)
    i, j, f, o = np.split(kernel.T, 4)
    bias_i, bias_j, bias_f, bias_o = np.split(bias, 4)
    gates = np.concatenate([i, f, j, o])
    rnn.weight_ih.copy_(_tensor(gates[:, : sizes.input_size]))
    rnn.weight_hh.copy_(_tensor(gates[:, sizes.input_size :]))
    rnn.bias.copy_(_tensor(np.concatenate([bias_i, bias_f + FORGET_BIAS, bias_j, bias_o])))
    columns = np.arange(sizes.output_size - sizes.num_heads).reshape(sizes.latent_size, 3, sizes.num_mixtures)
    order = [*range(sizes.num_heads), *(sizes.num_heads + columns.transpose(1, 2, 0).reshape(-1))]
    rnn.weight_out.copy_(_tensor(weight_out.T[order]))
    rnn.bias_out.copy_(_tensor(bias_out[order]))
    return rnn.eval()


def _controller(path: Path, original: Original, bias: bool) -> tuple[ControllerInputs, Tensor]:
    """Returns what C sees and its parameters. Each layer has its biases first, then its weights as [inputs, outputs].

    Raises:
        BadFileError: it holds no such C.
    """
    found: Any = files.read_json(path)
    if not isinstance(found, list) or not found or not isinstance(found[0], list):
        raise BadFileError(f"{path}: no controller: the original's is a list whose first entry is its parameters")
    values = _array(path, "the controller", found[0])
    lengths = {num_parameters(original.sizes, inputs, bias): inputs for inputs in original.inputs}
    if values.ndim != 1 or len(values) not in lengths:
        known = " or ".join(f"{length:,}" for length in lengths)
        raise BadFileError(f"{path}: a controller of shape {values.shape}; those of {original.task} have {known} parameters")
    inputs, parts, start = lengths[len(values)], [], 0
    for size_in, size_out in layer_sizes(original.sizes, inputs):
        if bias:
            parts.append(values[start : start + size_out])
            start += size_out
        parts.append(values[start : start + size_in * size_out].reshape(size_in, size_out).T.reshape(-1))
        start += size_in * size_out
    return inputs, _tensor(np.concatenate(parts))
