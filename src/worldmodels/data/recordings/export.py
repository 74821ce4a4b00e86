"""A run's episodes as somebody else's dataset."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from worldmodels.data.episodes import Episode, EpisodeStore
from worldmodels.data.recordings.minari import need_minari, write_dataset
from worldmodels.data.run_data import open_episodes
from worldmodels.runs.run import Run
from worldmodels.runtime.progress import Progress


def export_minari(run: Path, out: Path) -> tuple[int, int]:
    """Writes a run's episodes as the Minari dataset ``out``; returns how many episodes and frames it has.

    Raises:
        UserError: Minari is not installed, the run's episodes are not finished, or ``out`` would not do or is there already.
        BadFileError: a shard is damaged.
        EnvironmentFailure: the disk refuses.
    """
    need_minari()
    found = Run.open(run)
    store = open_episodes(found)
    action_size = store.shards[0].steps()["action"].shape[1]
    progress = Progress("export", len(store.lengths), "episodes")
    said = f"Episodes of {found.task}, 64×64 frames. The last observation of each is the one before it."
    write_dataset(out, _episodes(store, progress), action_size, said)
    progress.finish(f"{len(store.lengths):,} episodes, {store.num_frames:,} frames", out)
    return len(store.lengths), store.num_frames


def _episodes(store: EpisodeStore, progress: Progress) -> Iterator[Episode]:
    """Yields all episodes, in order."""
    done = 0
    for shard in store.shards:
        steps = shard.steps()
        for seed, (start, end) in zip(shard.seeds, pairwise(np.cumsum([0, *shard.lengths]).tolist()), strict=True):
            frames = shard.frames(start, end)
            part = {name: values[start:end] for name, values in steps.items()}
            yield Episode(seed, frames, part["action"], part["reward"], part["terminated"], part["damage"])
            done += 1
            progress.update(done)
