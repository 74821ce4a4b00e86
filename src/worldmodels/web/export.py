"""Writes the page: the built site, and for each target a folder with its networks, numbers and one real episode.

OUT/
  index.html, assets/, runtime.wasm.gz   the page itself, as it comes with the package
  worlds.json                            what there is of each world, in words and small numbers
  WORLD/step.onnx.gz, decoder.onnx.gz, encoder.onnx.gz
  WORLD/numbers.bin.gz                   C and the dream's beginnings
  WORLD/episode.webp, episode.bin.gz     a real episode: its frames in rows, its latents and actions
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from worldmodels import files
from worldmodels.errors import EnvironmentFailure, UserError
from worldmodels.web.networks import decoder_graph, encoder_graph, step_graph
from worldmodels.web.source import EnvSpec, RealEpisode, Source, action_bounds, latent_order, open_source, play_real

#: The page as `make demo` builds it; part of the wheel.
STATIC = Path(__file__).parent / "static"
FORMAT = 1
NO_DREAM = "This run has no M yet, so nothing can dream: 'worldmodels train-rnn' makes M."
#: The recorded episode: its seed and length, and how many frames lie in a row of its picture.
EPISODE_SEED, EPISODE_SECONDS, COLUMNS = 1, 8, 20
#: WebP's quality: of the recorded frames a reader sees no more than V does.
QUALITY = 80


def export_web(targets: Sequence[str], out: Path) -> Path:
    """Writes the site of some targets (tasks, models' or runs' folders) into ``out``, whole or not at all.

    Raises:
        UserError: no target, one that has nothing to show, or a folder in the way.
        BadFileError: a part is damaged.
        EnvironmentFailure: the page is not built, a package is missing, a game fails, or the disk refuses.
    """
    if not targets:
        raise UserError("export web: name a task, a run or a model")
    if not (STATIC / "index.html").exists():
        raise EnvironmentFailure(f"{STATIC}: the page is not built; 'make demo' builds it and needs Node 20 or later with npm")
    if out.exists() and any(out.iterdir()) and not (out / "worlds.json").exists():
        raise UserError(f"{out}: holds other things than a page; name an empty or a new folder")
    sources = [open_source(target) for target in targets]
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(STATIC, temporary)
        names = _names([source.spec.name for source in sources])
        worlds = [_write_world(temporary / name, name, source) for name, source in zip(names, sources, strict=True)]
        files.write_json(temporary / "worlds.json", {"format": FORMAT, "worlds": worlds})
        shutil.rmtree(out, ignore_errors=True)
        temporary.rename(out)
    except OSError as error:
        raise EnvironmentFailure(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _names(tasks: list[str]) -> list[str]:
    """Returns a folder's name for each world: its task's, with a number from the second one on."""
    counts = [tasks[:index].count(task) for index, task in enumerate(tasks)]
    return [task if not count else f"{task}-{count + 1}" for task, count in zip(tasks, counts, strict=True)]


def _write_world(folder: Path, name: str, source: Source) -> dict[str, Any]:
    """Writes a world's folder and returns what `worlds.json` says of it."""
    folder.mkdir()
    spec, model = source.spec, source.world_model
    print(f"export web: {name}", flush=True)
    low, high = action_bounds(spec)
    graphs = {"decoder": decoder_graph(model.vae), "encoder": encoder_graph(model.vae)}
    if source.can_dream:
        graphs["step"] = step_graph(model.rnn)
    for part, data in graphs.items():
        (folder / f"{part}.onnx.gz").write_bytes(_packed(data))
    arrays: dict[str, NDArray[Any]] = {}
    if source.can_dream:
        arrays |= {"mu": model.initial.mu.numpy().astype(np.float16), "logvar": model.initial.logvar.numpy().astype(np.float16)}
    arrays |= {f"solution{index}": candidate.solution.numpy() for index, candidate in enumerate(source.candidates)}
    if source.cheater is not None:
        arrays["cheater"] = source.cheater[0].numpy()
    episode = play_real(source, EPISODE_SEED, EPISODE_SECONDS * spec.render_fps)
    mu = model.vae.encode_frames(torch.from_numpy(episode.frames))[0].numpy()
    return {
        "id": name,
        "task": spec.name,
        "summary": spec.summary,
        "latent": spec.latent_size,
        "hidden": spec.hidden_size,
        "action": spec.action_size,
        "mixtures": spec.num_mixtures,
        "restart_input": spec.restart_input,
        "done_head": spec.done_head,
        "reward_head": spec.reward_head,
        "hit_damages": list(spec.hit_damages),
        "dream_reward": spec.dream_reward,
        "max_steps": spec.max_episode_steps,
        "fps": spec.render_fps,
        "keys": {key: list(push) for key, push in spec.keys.items()},
        "key_ramp": spec.key_ramp,
        "low": low,
        "high": high,
        "squash": squash_table(spec),
        "inputs": source.inputs,
        "layers": source.layers,
        "bias": spec.controller_bias,
        "temperature": source.temperature,
        "latent_order": latent_order(source, mu).tolist(),
        "numbers": "numbers.bin.gz",
        "arrays": _write_arrays(folder / "numbers.bin.gz", arrays),
        "candidates": [{"name": each.name, "generation": each.generation} for each in source.candidates],
        "cheater_temperature": None if source.cheater is None else source.cheater[1],
        "scores": source.scores,
        "curve": source.curve,
        "hashes": source.hashes,
        "no_dream": "" if source.can_dream else NO_DREAM,
        "networks": {part: f"{part}.onnx.gz" for part in graphs},
        "episode": _write_episode(folder, episode),
    }


def squash_table(spec: EnvSpec) -> list[list[float]]:
    """Returns what C's outputs -1, 0 and 1 become as actions, for each component.

    Raises:
        UserError: the task's squashing is not linear between these, or mixes components.
    """
    points = np.stack([np.full(spec.action_size, x, np.float32) for x in (-1, 0, 1)])
    table = spec.squash(points)  # [3, A]
    tried = np.random.default_rng(0).uniform(-1, 1, (64, spec.action_size)).astype(np.float32)
    below, above = table[1] + tried * (table[1] - table[0]), table[1] + tried * (table[2] - table[1])
    if not np.allclose(spec.squash(tried), np.where(tried < 0, below, above), atol=1e-6):
        raise UserError(f"{spec.name}: the page knows only actions that are linear in C's outputs on each side of 0")
    return [[float(value) for value in column] for column in table.T]


def _write_episode(folder: Path, episode: RealEpisode) -> dict[str, Any]:
    """Writes a real episode: one picture of all frames, row by row, and a file of numbers."""
    steps, side = len(episode.actions), episode.frames.shape[1]
    rows = -(-(steps + 1) // COLUMNS)
    sheet = np.zeros((rows * side, COLUMNS * side, 3), np.uint8)
    for index, frame in enumerate(episode.frames):
        row, column = divmod(index, COLUMNS)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = frame
    picture = io.BytesIO()
    Image.fromarray(sheet).save(picture, "WEBP", quality=QUALITY, method=6)
    (folder / "episode.webp").write_bytes(picture.getvalue())
    arrays: dict[str, NDArray[Any]] = {
        "z": episode.z.astype(np.float16),
        "actions": episode.actions,
        "rewards": episode.rewards,
        "damage": episode.damage,
    }
    return {
        "frames": "episode.webp",
        "numbers": "episode.bin.gz",
        "steps": steps,
        "columns": COLUMNS,
        "seed": EPISODE_SEED,
        "who": episode.who,
        "arrays": _write_arrays(folder / "episode.bin.gz", arrays),
    }


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Writes arrays of float16 or float32 one after the other; returns where each lies."""
    places, offset = {}, 0
    for name, values in arrays.items():
        places[name] = {"offset": offset, "shape": list(values.shape), "type": str(values.dtype)}
        offset += values.nbytes
    path.write_bytes(_packed(b"".join(np.ascontiguousarray(values).tobytes() for values in arrays.values())))
    return places


def _packed(data: bytes) -> bytes:
    """Packs numbers: the even bytes first, then the odd ones (float16's exponents side by side), then gzip."""
    return gzip.compress(data[0::2] + data[1::2], 9, mtime=0)
