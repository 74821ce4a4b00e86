"""Weights and training states as safetensors: a header of names, types and shapes, then numbers. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.base.files import written_beside

#: The types that weights may have in a file; here they are float32.
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors whole or not at all, then reads the file back and compares.

    Raises:
        BadFileError: the disk gave back something else than was written.
        EnvironmentFailure: the disk refuses (full, read-only, no rights).
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with written_beside(path) as temporary:
        try:
            save_file(plain, temporary, dict(metadata or {}))
        except SafetensorError as error:  # its way to say that the disk is full
            raise EnvironmentFailure(f"{path}: cannot be written ({error})") from error
        found = load_tensors(temporary)
        if any(not torch.equal(found[name], tensor) for name, tensor in plain.items()):
            raise BadFileError(f"{path}: what was read back differs from what was written")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads all tensors of a file. Raises `BadFileError` naming the path and the fault."""
    if not path.is_file():
        raise BadFileError(f"{path}: missing")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise BadFileError(f"{path}: not a safetensors file ({error})") from error


def load_metadata(path: Path) -> dict[str, str]:
    """Reads the text that a file carries beside its tensors. Raises `BadFileError`."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise BadFileError(f"{path}: not a safetensors file ({error})") from error


def fault_of(name: str, tensor: Tensor) -> str | None:
    """Returns what is wrong with a tensor of weights, in words: its type, or a value that is not finite as float32."""
    if tensor.dtype not in NUMBERS:
        known = ", ".join(type_name(kind) for kind in NUMBERS)
        return f"'{name}' is of type {type_name(tensor.dtype)}; weights are of {known}"
    return None if torch.isfinite(tensor.float()).all() else f"'{name}' holds a value that is not finite as float32"


def type_name(kind: torch.dtype) -> str:
    """Returns what a type is called, such as ``float16``."""
    return str(kind).removeprefix("torch.")


def load_numbers(path: Path) -> dict[str, Tensor]:
    """Reads all tensors of a file of weights as float32, whichever of `NUMBERS` they are.

    Raises:
        BadFileError: the file is damaged, a tensor has another type, or a value is not finite as float32; the tensor is named.
    """
    tensors = load_tensors(path)
    for name, tensor in tensors.items():
        if fault := fault_of(name, tensor):
            raise BadFileError(f"{path}: {fault}")
    return {name: tensor.float() for name, tensor in tensors.items()}


def load_module(path: Path, module: nn.Module) -> None:
    """Fills a module with a file's weights (float16 files are widened).

    Raises:
        BadFileError: as `load_numbers` does.
        UserError: the weights are another model's: the tensor and both shapes are named.
    """
    fill_module(path, module, load_numbers(path))


def fill_module(path: Path, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fills a module with float32 weights that `load_numbers` read from ``path``. Raises `UserError` as `load_module` does."""
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors or name not in wanted:
            raise UserError(f"{path}: the tensor '{name}' is {'missing' if name in wanted else 'not part of this model'}")
        if tensors[name].shape != wanted[name].shape:
            raise UserError(
                f"{path}: '{name}' has shape {tuple(tensors[name].shape)}; this task's model has {tuple(wanted[name].shape)}"
            )
    module.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})
