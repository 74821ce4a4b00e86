"""Where to compute, and how finely: bfloat16 where the processor has it in hardware, float32 elsewhere."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from worldmodels.base.errors import UserError
from worldmodels.config import Device


@functools.cache
def compute_dtype(device: str) -> torch.dtype:
    """Returns the type of matrix products on a device: bfloat16 with hardware for it, else float32."""
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_bf16 else torch.float32


def autocast(device: str) -> torch.autocast:
    """Returns the context in which V and M train and V encodes."""
    dtype = compute_dtype(device)
    return torch.autocast(device.split(":")[0], dtype, enabled=dtype != torch.float32)


#: With fewer rows than this, a matrix product's sums are taken in another order, and what a slot sees and dreams would depend
#: on how many slots there are.
MIN_ROWS = 4


def enough_rows(*parts: Tensor) -> tuple[Tensor, ...]:
    """Returns tensors of N rows with zeros below where N is less than `MIN_ROWS`."""
    missing = MIN_ROWS - len(parts[0])
    return tuple(torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) for part in parts) if missing > 0 else parts


def first_rows(num_rows: int, *parts: Tensor) -> tuple[Tensor, ...]:
    """Returns tensors without the rows that `enough_rows` put below."""
    return parts if len(parts[0]) == num_rows else tuple(part[:num_rows] for part in parts)


def pick_device(asked: Device) -> str:
    """Returns ``"cuda"`` or ``"cpu"``; ``"auto"`` is the GPU where there is one.

    Raises:
        UserError: a GPU is asked for, and there is none that torch can use.
    """
    has_gpu = torch.cuda.is_available()
    if asked == "cuda" and not has_gpu:
        raise UserError("device is cuda, and torch finds no GPU here; use --device cpu or auto, or a build of torch with CUDA")
    return "cuda" if has_gpu and asked != "cpu" else "cpu"


def device_of(module: nn.Module) -> str:
    """Returns the device that a module's parameters are on."""
    return str(next(module.parameters()).device)
