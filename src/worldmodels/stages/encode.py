"""Sends every frame through V once: ``latents/``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from worldmodels import files
from worldmodels.checkpoint import load_module, load_tensors, save_tensors
from worldmodels.config import EncodeConfig
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.latents import ARRAYS, LatentStore
from worldmodels.envs.spec import get_task
from worldmodels.errors import EnvironmentFailure
from worldmodels.files import sha256_of
from worldmodels.models.precision import pick_device
from worldmodels.models.world_model import make_vae
from worldmodels.progress import Progress
from worldmodels.run import Run
from worldmodels.training import WEIGHTS

#: Frames that are encoded between two rows of progress and between two checkpoints of it: about a second's work.
SPAN_FRAMES = 8192


def run(config: EncodeConfig, run: Run) -> None:
    """Encodes all of ``run``'s frames into ``latents/``; a killed run goes on at the last whole span of frames."""
    device = pick_device(config.device)
    inputs = {**run.require("collect")["outputs"], **run.require("vae")["outputs"]}
    if not run.begin("encode", config, inputs):
        return
    spec = get_task(run.task)
    store = EpisodeStore(run.stage_path("collect"))
    folder = run.stage_path("encode")
    vae = make_vae(spec)
    load_module(run.stage_path("vae") / WEIGHTS, vae)
    vae.to(device).eval()

    total = store.num_frames
    shapes = {
        "mu": (total, spec.latent_size),
        "logvar": (total, spec.latent_size),
        "action": (total, spec.action_size),
        "reward": (total,),
        "terminated": (total,),
        "lengths": (len(store.lengths),),
    }
    position = folder / "position.json"
    start = files.read_json(position)["frames"] if position.exists() else 0
    try:
        mode = "r+" if start else "w+"
        arrays = {
            name: open_memmap(folder / f"{name}.npy", mode=mode, dtype=ARRAYS[name], shape=None if start else shape)
            for name, shape in shapes.items()
        }
    except OSError as error:
        raise EnvironmentFailure(f"{folder}: cannot be written ({error.strerror or error})") from error
    arrays["lengths"][:] = store.lengths
    for (first, last), shard in zip(pairwise(store.shard_offsets), store.shards, strict=True):
        for name, values in shard.steps().items():
            arrays[name][first:last] = values

    progress = Progress("encode", total, "frames", start)
    for span in range(start, total, SPAN_FRAMES):
        end = min(span + SPAN_FRAMES, total)
        frames = torch.from_numpy(store.frames(span, end))
        for offset in range(0, len(frames), config.batch_size):
            batch = frames[offset : offset + config.batch_size].to(device)
            mu, logvar = vae.encode_frames(batch)
            here = slice(span + offset, span + offset + len(batch))
            arrays["mu"][here], arrays["logvar"][here] = mu.half().cpu().numpy(), logvar.half().cpu().numpy()
        arrays["mu"].flush()
        arrays["logvar"].flush()
        files.write_json(position, {"frames": end})
        progress.update(end)
    del arrays
    _write_initial_latents(folder)
    LatentStore(folder)
    run.finish("encode", {f"latents/{name}": sha256_of(folder / f"{name}.npy") for name in shapes})
    progress.finish(f"{total:,} frames")


def _write_initial_latents(folder: Path) -> None:
    """Collects the first frame of every episode as V sees it: where dreams begin."""
    store = LatentStore(folder)
    first = store.offsets[:-1]
    save_tensors(
        folder / "initial_latents.safetensors",
        {"mu": torch.from_numpy(np.array(store.mu[first])), "logvar": torch.from_numpy(np.array(store.logvar[first]))},
    )
    load_tensors(folder / "initial_latents.safetensors")
