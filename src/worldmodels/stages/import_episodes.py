"""Takes recordings made elsewhere for a run's episodes: the same ``episodes/`` that a collection leaves.

All recordings are read and checked before the first is written, so that what does not fit leaves nothing behind. Which episodes
a shard holds depends on their order alone: a killed import goes on with the shards that are missing.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.types import Floats
from worldmodels.config import BEST_RECIPE, CollectConfig, check_seed
from worldmodels.data.episodes import Episode, write_shard
from worldmodels.data.recordings.source import Source, open_source
from worldmodels.envs.recorded import check_scale, recorded_task
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Task
from worldmodels.models.mdn_rnn import RNNSizes
from worldmodels.models.sizes import run_sizes
from worldmodels.runs import task_file
from worldmodels.runs.layout import CONFIG, DONE
from worldmodels.runs.lock import RunLock
from worldmodels.runs.recorded import RecordedTask
from worldmodels.runs.run import SOURCE, Run
from worldmodels.runs.timings import note_time
from worldmodels.runtime.progress import Progress
from worldmodels.stages.collect import finish_collection, is_whole, plan_shards, set_aside_if_damaged


@dataclass(frozen=True)
class Found:
    """What a look through all recordings has found."""

    per_part: tuple[int, ...]
    """Episodes of each part of the source."""
    lows: Floats
    highs: Floats
    """The least and the greatest value of each action component, float32 [A]."""
    longest: int
    """Steps of the longest episode."""
    has_ends: bool
    has_rewards: bool
    has_damage: bool

    @property
    def num_episodes(self) -> int:
        """Episodes of all parts."""
        return sum(self.per_part)


def import_source(
    source: str, path: Path, task: str | None, scale: str, seed: int, recipe: str = BEST_RECIPE
) -> dict[str, Any]:
    """Imports recordings into the run in a folder, or into a new one, with the folder locked; returns what it has made.

    Args:
        source: see `open_source`.
        task: None: the task of the run that is there, else one of the recordings alone.

    Raises:
        UserError: there is no such source or task, the recordings are not the task's, or the folder holds another run.
        BadFileError: a recording is damaged or its parts do not fit; file and line, or step, are named.
    """
    check_seed(seed)
    if task is None:
        check_scale(scale)
    else:
        get_task(task).preset(scale, recipe)
    recordings = open_source(source, path)
    with RunLock(path):
        before = Run.open(path) if (path / CONFIG).exists() else None
        if before is not None:  # these are a new run's alone
            scale, seed, recipe = before.scale, before.seed, before.recipe
        try:
            digest = recordings.sha256()
        except OSError as error:
            raise BadFileError(f"{error.filename or source}: cannot be read ({error.strerror or error})") from error
        if before is not None and before.done("collect") is not None and _is_made(before, task, digest):
            return _summary(before)
        start = time.monotonic()
        found = _look(source, recordings)
        if task is None and before is not None and not isinstance(task_file.known.get(before.task), RecordedTask):
            task = before.task
        facts = _recorded_task(recordings, found) if task is None else None
        spec = recorded_task(facts) if facts is not None else get_task(str(task))
        preset = spec.preset(scale, recipe)
        _check_fit(source, found, spec, run_sizes(spec, preset))
        run = _open(Run.open_or_create(path, spec.name, scale, seed, preset, recipe=recipe), found.num_episodes)
        with run.nothing_left_if_refused("collect"):
            _refuse_other(run, digest)
            run.begin("collect", run.preset.collect, {SOURCE: digest})
        try:
            _write_missing(run, recordings, found)
        finally:
            note_time(run, "collect", time.monotonic() - start)
        return _summary(run)


def _summary(run: Run) -> dict[str, Any]:
    return {"stage": "import", "run": str(run.path), "task": run.task, **run.require("collect")}


def _is_made(run: Run, task: str | None, digest: str) -> bool:
    """Returns whether a finished run holds just these recordings, all of them."""
    return task in (None, run.task) and run.inputs("collect").get(SOURCE) == digest and is_whole(list(_plan(run)), run)


def _plan(run: Run) -> dict[Path, range]:
    return plan_shards(run.preset.collect, run.stage_path("collect"), 0)


def _open(run: Run, num_episodes: int) -> Run:
    """Returns the run, opened or planned, with as many episodes in its settings as there are."""
    if run.previous is not None:
        raise UserError(f"{run.path}: goes on from {run.previous.path}; recordings begin a run: use another --run")
    config: CollectConfig = dataclasses.replace(run.preset.collect, num_episodes=num_episodes)
    if config == run.preset.collect:
        return run
    preset = dataclasses.replace(run.preset, collect=config)
    return dataclasses.replace(run, preset=preset, unsaved=preset)


def _refuse_other(run: Run, digest: str) -> None:
    """Raises `UserError` where the run's episodes come from elsewhere."""
    inputs = run.inputs("collect")
    if inputs and inputs.get(SOURCE) != digest:
        what = "other recordings, or the same as they were before they were changed" if SOURCE in inputs else "played episodes"
        raise UserError(f"{run.stage_path('collect')}: holds {what}; remove the folder to import anew, or use another --run")


def _look(source: str, recordings: Source) -> Found:
    """Reads and checks everything. Raises `BadFileError` or `UserError`."""
    progress = Progress("import: checking", recordings.num_parts, "recordings")
    per_part: list[int] = []
    lows: Floats | None = None
    highs: Floats | None = None
    longest, has_ends, has_rewards, has_damage = 0, False, False, False
    for part in range(recordings.num_parts):
        episodes = recordings.read(part, sum(per_part))
        for episode in episodes:
            low, high = episode.actions.min(0), episode.actions.max(0)
            if lows is None or highs is None:
                lows, highs = low, high
            if low.shape != lows.shape:
                where = recordings.part_name(part)
                raise BadFileError(f"{where}: its actions have {low.size} components, those before {lows.size}")
            lows, highs = np.minimum(lows, low), np.maximum(highs, high)
            longest = max(longest, len(episode.frames))
            has_ends |= bool(episode.terminated.any())
            has_rewards |= bool(episode.rewards.any())
            has_damage |= bool(episode.damage.any())
        per_part.append(len(episodes))
        progress.update(part + 1)
    if sum(per_part) < 2:
        raise UserError(f"{source}: holds one episode; V and M need two, one to learn from and one to be measured on")
    if longest < 2:
        raise UserError(f"{source}: every episode has a single step; M needs some of at least 2")
    assert lows is not None
    assert highs is not None
    return Found(tuple(per_part), lows, highs, longest, has_ends, has_rewards, has_damage)


def _recorded_task(recordings: Source, found: Found) -> RecordedTask:
    """Returns what the recordings say of their task."""
    lows, highs = (tuple(values.tolist()) for values in (found.lows, found.highs))
    if recordings.num_choices:  # also where one was never chosen
        lows, highs = (0.0,) * len(lows), (1.0,) * len(highs)
    task = RecordedTask(recordings.name, lows, highs, recordings.num_choices > 0, found.longest, found.has_ends)
    task_file.note(task)
    return task


def _check_fit(source: str, found: Found, spec: Task, sizes: RNNSizes) -> None:
    """Raises `UserError` for recordings that are not the task's; says what its M cannot learn from them."""
    size = len(found.lows)
    if size != spec.action_size:
        raise UserError(
            f"{source}: its actions have {size} components, those of {spec.name} {spec.action_size}; name another task, or "
            f"none: they are then one by themselves"
        )
    missing = []
    if spec.reward_head and not found.has_rewards:
        missing.append("no rewards: all are taken as 0")
    if sizes.hits and not found.has_damage:
        missing.append("no hit: M will expect no hits, and a dream ends at its longest only")
    if sizes.done_head and not sizes.hits and not found.has_ends:
        missing.append("no ends: a dream ends at its longest only")
    if missing:
        print(f"{source}: has {'; '.join(missing)}", file=sys.stderr, flush=True)


def _write_missing(run: Run, recordings: Source, found: Found) -> None:
    """Writes the shards that are not there, and marks the collection as complete."""
    plan = _plan(run)
    (run.stage_path("collect") / DONE).unlink(missing_ok=True)
    for path in plan:
        set_aside_if_damaged(path)
    missing = {path: indices for path, indices in plan.items() if not path.exists()}
    left = sum(map(len, missing.values()))
    progress = Progress("import", found.num_episodes, "episodes", found.num_episodes - left)
    episodes = _Reader(recordings, found.per_part)
    for path, indices in missing.items():
        write_shard(path, [episodes.episode(index) for index in indices])
        left -= len(indices)
        progress.update(found.num_episodes - left)
    finish_collection(run, list(plan), progress)


class _Reader:
    """Reads episodes by number, in order; those of a part are read together."""

    def __init__(self, recordings: Source, per_part: tuple[int, ...]) -> None:
        self._recordings = recordings
        self._first = np.concatenate([[0], np.cumsum(per_part)])
        self._part = -1
        self._episodes: list[Episode] = []

    def episode(self, index: int) -> Episode:
        """Returns an episode."""
        part = int(np.searchsorted(self._first, index, side="right")) - 1
        if part != self._part:
            self._part, self._episodes = part, self._recordings.read(part, int(self._first[part]))
        return self._episodes[index - int(self._first[part])]
