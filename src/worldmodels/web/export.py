"""Writes the page: the built site, and for each target a folder with its networks, numbers and one real episode.

OUT/
  index.html, assets/, runtime.wasm.gz   the page itself, as it comes with the package
  site.json                              which files here are the export's
  worlds.json                            what there is of each world, in words and small numbers
  WORLD/step.onnx.gz, decoder.onnx.gz, encoder.onnx.gz
  WORLD/numbers.bin.gz                   C and the dream's beginnings
  WORLD/episode.webp, episode.bin.gz     a real episode: its frames in rows, its latents and actions
"""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldmodels.base import files
from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.pictures import in_rows
from worldmodels.runtime.progress import Progress
from worldmodels.web import built
from worldmodels.web.facts import real_steps, task_facts
from worldmodels.web.networks import check_packages, decoder_graph, encoder_graph, step_graph
from worldmodels.web.site import files_of, replaced
from worldmodels.web.source import RealEpisode, Source, latent_order, open_source, play_real

FORMAT = 1
NUMBERS = "numbers.bin.gz"
NO_DREAM = "This run has no M yet, so nothing can dream: 'worldmodels train-rnn' makes M."
#: The recorded episode: its seed and length, and how many frames lie in a row of its picture.
EPISODE_SEED, EPISODE_SECONDS, COLUMNS = 1, 8, 20
#: WebP's quality: of the recorded frames a reader sees no more than V does.
QUALITY = 80


def export_web(targets: Sequence[str], out: Path) -> Path:
    """Writes the site of some targets (tasks, models' or runs' folders) into ``out``, whole or not at all.

    In an older site what an export wrote is replaced or removed, and everything else stays.

    Raises:
        UserError: no target, one that has nothing to show, or something of somebody else in the way.
        BadFileError: a part, or the list of the site's files, is damaged.
        EnvironmentFailure: the page is not built, a package is missing, a game fails, or the disk refuses.
    """
    if not targets:
        raise UserError("export web: name a task, a run or a model")
    built.check_built()
    check_packages()
    try:
        files_of(out)
        sources = [open_source(target) for target in targets]
        progress = Progress("export web", len(sources), "worlds")
        with replaced(out.resolve()) as folder:
            _copy_page(folder)
            names = _names([source.agent.task.name for source in sources])
            worlds: list[dict[str, Any]] = []
            for name, source in zip(names, sources, strict=True):
                progress.update(len(worlds), name)
                worlds.append(_write_world(folder / name, name, source))
            files.write_json(folder / "worlds.json", {"format": FORMAT, "worlds": worlds})
        progress.finish(f"{out}")
    except OSError as error:
        raise EnvironmentFailure(f"{out}: cannot be written ({error.strerror or error})") from error
    return out


def _copy_page(folder: Path) -> None:
    # Not `shutil.copytree`: of a full disk it tells once for each file.
    for path in sorted(built.STATIC.rglob("*")):
        if path.is_file() and path.name != built.HASH:
            target = folder / path.relative_to(built.STATIC)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)


def _names(tasks: list[str]) -> list[str]:
    """Returns a folder's name for each world: its task's, with a number from the second one on."""
    counts = [tasks[:index].count(task) for index, task in enumerate(tasks)]
    return [task if not count else f"{task}-{count + 1}" for task, count in zip(tasks, counts, strict=True)]


def _write_world(folder: Path, name: str, source: Source) -> dict[str, Any]:
    """Writes a world's folder and returns what `worlds.json` says of it."""
    folder.mkdir()
    agent = source.agent
    facts = task_facts(agent)
    graphs = {"decoder": decoder_graph(agent.vae), "encoder": encoder_graph(agent.vae)}
    if agent.can_dream:
        graphs["step"] = step_graph(agent.rnn)
    for part, data in graphs.items():
        (folder / f"{part}.onnx.gz").write_bytes(_packed(data))
    arrays: dict[str, NDArray[Any]] = {}
    if agent.can_dream:
        initial = agent.world_model.initial
        arrays |= {"mu": initial.mu.numpy().astype(np.float16), "logvar": initial.logvar.numpy().astype(np.float16)}
    arrays |= {f"solution{index}": candidate.solution.numpy() for index, candidate in enumerate(source.candidates)}
    if source.cheater is not None:
        arrays["cheater"] = source.cheater[0].numpy()
    episode = play_real(source, EPISODE_SEED, real_steps(agent, EPISODE_SECONDS))
    return {
        "id": name,
        **facts,
        "latent_order": latent_order(agent.encode(episode.frames)[0]).tolist(),
        "numbers": NUMBERS,
        "arrays": _write_arrays(folder / NUMBERS, arrays),
        "candidates": [{"name": each.name, "generation": each.generation, "mean": each.mean} for each in source.candidates],
        "way": source.way,
        "cheater_temperature": None if source.cheater is None else source.cheater[1],
        "scores": source.scores,
        "curve": source.curve,
        "hashes": dict(agent.sha256),
        "no_dream": "" if agent.can_dream else NO_DREAM,
        "networks": {part: f"{part}.onnx.gz" for part in graphs},
        "episode": _write_episode(folder, episode),
    }


def _write_episode(folder: Path, episode: RealEpisode) -> dict[str, Any]:
    """Writes a real episode: one picture of all frames, row by row, and a file of numbers."""
    steps = len(episode.actions)
    frames = list(episode.frames)
    sheet = in_rows([frames[first : first + COLUMNS] for first in range(0, len(frames), COLUMNS)], COLUMNS)
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
