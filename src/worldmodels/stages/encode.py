"""Sends every frame through V once, and the newest a second time in the mirror if asked: ``latents/``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from worldmodels.base import files
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.base.files import sha256_of
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.config import EncodeConfig
from worldmodels.data.augment import AugmentedEpisodes
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.latents import ARRAYS, MIRRORED, LatentStore
from worldmodels.data.run_data import open_episodes
from worldmodels.envs.registry import get_task
from worldmodels.models.precision import device_of, pick_device
from worldmodels.models.sizes import run_sizes
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae
from worldmodels.runs.layout import INITIAL_LATENTS, POSITION, WEIGHTS
from worldmodels.runs.run import Run
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.side_by_side import side_by_side

#: Frames that a thread encodes between two rows of progress and between two checkpoints of it: about a second's work.
SPAN_FRAMES = 4096
#: Frames that a thread reads at a time.
READ_FRAMES = 2048
Halves = NDArray[np.float16]
Arrays = dict[str, np.memmap[Any, Any]]
#: The type of every array.
KINDS = {**ARRAYS, **MIRRORED}


class FrameSource(Protocol):
    """Where frames are read."""

    @property
    def num_frames(self) -> int:
        """How many there are."""

    def frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Returns frames uint8 [stop - start, 64, 64, 3] by their number; several threads may call it."""


class _Part(NamedTuple):
    """What is encoded into a pair of arrays, from which frame of the store on, and whether as a mirror shows it."""

    names: tuple[str, ...]
    first: int
    mirrored: bool


def run(config: EncodeConfig, run: Run) -> None:
    """Encodes all of ``run``'s frames into ``latents/``; a killed run goes on at the last whole span of frames."""
    device, spec = pick_device(config.device), get_task(run.task)
    if config.mirror_episodes and not spec.mirrored_action:
        raise UserError(f"mirror_episodes is {config.mirror_episodes}; {run.task} is not the same in a mirror: leave it 0")
    inputs = {**run.require("collect")["outputs"], **run.require("vae")["outputs"]}
    if not run.begin("encode", config, inputs):
        return
    store = open_episodes(run)
    folder = run.stage_path("encode")
    sizes = run_sizes(spec, run.preset)
    vae = VAE(sizes.latent_size, sizes.width)
    load_vae(run.stage_path("vae") / WEIGHTS, vae)
    run.require_part("vae", "vae", run.stage_path("vae") / WEIGHTS)
    vae.to(device).eval()

    num_mirrored = min(config.mirror_episodes, len(store.lengths))
    first_mirrored = int(store.offsets[len(store.lengths) - num_mirrored])
    parts = (_Part(("mu", "logvar"), 0, False), _Part(tuple(MIRRORED), first_mirrored, True))
    num_all = sum(store.num_frames - part.first for part in parts)
    position = folder / POSITION
    start = _position(position, num_all) if position.exists() else 0
    shapes = _shapes(vae.latent_size, spec.action_size, store, first_mirrored)
    arrays = _open_arrays(folder, shapes, start)
    if arrays is None:
        start, arrays = 0, _open_arrays(folder, shapes, 0)
        assert arrays is not None
    _copy_steps(store, arrays)
    progress = Progress("encode", num_all, "frames", start)
    source = AugmentedEpisodes(store, config.augment, config.looks, run.seed) if config.augment else store
    _encode_parts(vae, source, config.batch_size, parts, arrays, position, start, progress)
    del arrays
    _write_initial_latents(folder)
    LatentStore(folder)
    run.finish("encode", {f"latents/{name}": sha256_of(folder / f"{name}.npy") for name in shapes})
    progress.finish(f"{num_all:,} frames", folder)


def _shapes(latent_size: int, action_size: int, store: EpisodeStore, first_mirrored: int) -> dict[str, tuple[int, ...]]:
    """Returns the arrays' shapes by name; without frames to mirror there are no mirrored ones."""
    total = store.num_frames
    shapes: dict[str, tuple[int, ...]] = {
        "mu": (total, latent_size),
        "logvar": (total, latent_size),
        "action": (total, action_size),
        "reward": (total,),
        "terminated": (total,),
        "damage": (total,),
        "lengths": (len(store.lengths),),
    }
    if first_mirrored < total:
        shapes |= dict.fromkeys(MIRRORED, (total - first_mirrored, latent_size))
    return shapes


def _copy_steps(store: EpisodeStore, arrays: Arrays) -> None:
    """Copies everything that is recorded beside the frames."""
    arrays["lengths"][:] = store.lengths
    for (first, last), shard in zip(pairwise(store.shard_offsets), store.shards, strict=True):
        for name, values in shard.steps().items():
            arrays[name][first:last] = values


def _encode_parts(
    vae: VAE,
    source: FrameSource,
    batch_size: int,
    parts: Sequence[_Part],
    arrays: Arrays,
    position: Path,
    start: int,
    progress: Progress,
) -> None:
    """Encodes span by span, the parts one after the other, from frame ``start`` of all of them on; a checkpoint a span."""
    before = 0  # frames of the parts that are done
    for part in parts:
        num_frames = source.num_frames - part.first
        for begin, end in _pieces(max(start - before, 0), num_frames, SPAN_FRAMES * torch.get_num_threads()):
            mu, logvar = (arrays[name][begin:end] for name in part.names)
            encode_into(vae, source, part.first + begin, batch_size, mu, logvar, part.mirrored)
            for name in part.names:
                arrays[name].flush()
            files.write_json(position, {"frames": before + end, "of": progress.total})
            progress.update(before + end)
        before += num_frames


def encode_into(
    vae: VAE,
    source: FrameSource,
    first: int,
    batch_size: int,
    into_mu: Halves,
    into_logvar: Halves,
    mirrored: bool = False,
) -> None:
    """Writes what V sees in frames from number ``first`` on into float16 [T, Z] each.

    Every one of torch's threads has frames of its own, from the disk to the latents: none waits for another, and on a single
    thread V's bits do not depend on what else is in the batch.

    Args:
        batch_size: frames per forward pass.
        mirrored: whether V sees the frames as a mirror shows them.
    """
    device, num_frames = device_of(vae), len(into_mu)

    def encode(start: int, stop: int, check: Callable[[], None]) -> None:
        for begin, end in _pieces(start, stop, READ_FRAMES):
            check()
            frames = source.frames(first + begin, first + end)
            if mirrored:
                frames = np.ascontiguousarray(frames[:, :, ::-1])
            for left, right in _pieces(begin, end, batch_size):
                batch = torch.from_numpy(frames[left - begin : right - begin]).to(device)
                mu, logvar = vae.encode_frames(batch, many=True)
                into_mu[left:right], into_logvar[left:right] = mu.half().cpu().numpy(), logvar.half().cpu().numpy()

    cuts = np.linspace(0, num_frames, torch.get_num_threads() + 1).astype(int).tolist()
    side_by_side([partial(encode, start, stop) for start, stop in pairwise(cuts)])


def _pieces(start: int, end: int, size: int) -> list[tuple[int, int]]:
    """Cuts frames into pieces of so many: of each the first frame, and the one after the last."""
    return [(begin, min(begin + size, end)) for begin in range(start, end, size)]


def _position(path: Path, total: int) -> int:
    """Returns how many frames an interrupted process has encoded. Raises `BadFileError`."""
    found = files.read_json(path)
    frames = found.get("frames") if isinstance(found, dict) else None
    if type(frames) is not int or not 0 <= frames <= total:
        raise BadFileError(f"{path}: not a position among {total:,} frames; remove it to encode them all again")
    return frames


def _open_arrays(folder: Path, shapes: dict[str, tuple[int, ...]], start: int) -> Arrays | None:
    """Opens the arrays to write into, new ones for a ``start`` of 0; None if the old ones are not what they were.

    Raises:
        EnvironmentFailure: there is no room for them. It is taken now: a memory map on a full disk kills the process.
    """
    arrays: Arrays = {}
    try:
        for name, shape in shapes.items():
            path, mode = folder / f"{name}.npy", "r+" if start else "w+"
            arrays[name] = open_memmap(path, mode=mode, dtype=KINDS[name], shape=None if start else shape)
            if arrays[name].shape != shape or arrays[name].dtype != KINDS[name]:
                return None
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    except OSError as error:
        raise EnvironmentFailure(f"{folder}: cannot be written ({error.strerror or error})") from error
    return arrays


def _write_initial_latents(folder: Path) -> None:
    """Collects the first frame of every episode as V sees it: where dreams begin."""
    store = LatentStore(folder)
    first = store.offsets[:-1]
    save_tensors(
        folder / INITIAL_LATENTS,
        {"mu": torch.from_numpy(np.array(store.mu[first])), "logvar": torch.from_numpy(np.array(store.logvar[first]))},
    )
    load_tensors(folder / INITIAL_LATENTS)
