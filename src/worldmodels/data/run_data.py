"""The episodes and latents of a run's finished stages, compared to the run's records, and what is held out of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldmodels.base.errors import UserError
from worldmodels.data.episodes import EpisodeStore, shards_sha256
from worldmodels.data.latents import LatentStore
from worldmodels.data.sampling import Split, split_episodes
from worldmodels.runs.run import SOURCE, Run


def split_run(run: Run, num_episodes: int, held_out_fraction: float) -> Split:
    """Splits a run's episodes, each round's by themselves: what a previous run held out stays held out."""
    training, held_out = [], []
    first = 0
    for earlier in run.ancestors():
        number = earlier.preset.collect.num_episodes
        parts = split_episodes(number, held_out_fraction, earlier.seed)
        training.append(first + parts[0])
        held_out.append(first + parts[1])
        first += number
    parts = split_episodes(num_episodes - first, held_out_fraction, run.seed)
    return np.concatenate([*training, first + parts[0]]), np.concatenate([*held_out, first + parts[1]])


def own_shards(run: Run) -> list[Path]:
    """Returns the folders of a run's own shards, in order: a round's begin with links to those of the run before."""
    of_others = set() if run.previous is None else {path.name for path in run.previous.stage_path("collect").glob("shard-*")}
    return [path for path in sorted(run.stage_path("collect").glob("shard-*")) if path.name not in of_others]


def open_episodes(run: Run) -> EpisodeStore:
    """Opens the episodes of a finished collection.

    Raises:
        UserError: the collection is not finished, or its shards are not those that it made.
        BadFileError: a shard is damaged.
    """
    made = run.require("collect")["outputs"].get("episodes", "nothing")
    store = EpisodeStore(run.stage_path("collect"))
    found = shards_sha256([shard.folder for shard in store.shards])
    if found != made:
        verb = "import SOURCE" if SOURCE in run.inputs("collect") else "collect"
        raise UserError(
            f"{run.stage_path('collect')}: its shards have SHA-256 {found[:12]}…, 'collect' made {made[:12]}…; call "
            f"'worldmodels {verb} --run {run.path}' again: what is missing or damaged is made again"
        )
    return store


def open_latents(run: Run) -> LatentStore:
    """Opens the latents of a finished encoding, compared to its record. Raises `BadFileError` or `UserError`."""
    folder = run.stage_path("encode")
    made = run.require("encode")["outputs"]
    store = LatentStore(folder)
    for part in made:
        run.require_part("encode", part, run.path / f"{part}.npy")
    return store
