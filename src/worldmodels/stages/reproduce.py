"""The whole experiment: every stage in turn, then the scores, the pictures and the table."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, Protocol

from worldmodels import files
from worldmodels.allocator import keep_freed_memory
from worldmodels.config import Config
from worldmodels.envs.check import check_task
from worldmodels.envs.spec import get_task
from worldmodels.errors import BadFileError, UserError
from worldmodels.run import STAGES, Run, read_jsonl
from worldmodels.stages import collect, controller, encode, evaluate, report, rnn, vae
from worldmodels.stages.made_once import read_table

TIMINGS = "timings.jsonl"


class Stage(Protocol):
    """A stage's ``run``."""

    def __call__(self, config: Any, run: Run) -> None: ...


RUN_STAGE: dict[str, Stage] = {
    "collect": collect.run,
    "vae": vae.run,
    "encode": encode.run,
    "rnn": rnn.run,
    "controller": controller.run,
}


def run_stage(run: Run, stage: str, config: Config) -> None:
    """Runs or resumes one stage and notes how long it worked, also when it is interrupted; not where nothing was left to do or
    it is refused."""
    start, finished, refused = time.monotonic(), run.done(stage) is not None, False
    keep_freed_memory()
    try:
        with run.nothing_left_if_refused(stage):
            RUN_STAGE[stage](config, run)
    except (UserError, BadFileError):
        refused = True
        raise
    finally:
        if not (finished or refused) and (run.stage_path(stage) / "STARTED").exists():
            note_time(run, stage, time.monotonic() - start)


def note_time(run: Run, stage: str, seconds: float) -> None:
    """Appends a row to ``timings.jsonl``."""
    with (run.path / TIMINGS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"stage": stage, "seconds": round(seconds, 2)}) + "\n")


def stage_seconds(run: Run) -> dict[str, float]:
    """Returns the working time of every stage, all its beginnings together."""
    total: dict[str, float] = {}
    for row in read_jsonl(run.path / TIMINGS, "seconds"):
        total[row["stage"]] = round(total.get(row["stage"], 0.0) + row["seconds"], 2)
    return total


def reproduce(run: Run) -> dict[str, Any]:
    """Runs what is missing of a run; returns the summary that is also left in ``evaluation/results.json``."""
    if any(run.done(stage) is None for stage in STAGES):
        check_task(get_task(run.task))
    for stage in STAGES:
        run_stage(run, stage, getattr(run.preset, stage))
    start = time.monotonic()
    base = run.preset.evaluate
    evaluations = {
        "random": evaluate.run(dataclasses.replace(base, agent="random", world="real"), run, "random"),
        "dream": evaluate.run(
            dataclasses.replace(base, world="dream", temperature=run.preset.controller.temperature), run, "dream"
        ),
        "real": evaluate.run(dataclasses.replace(base, world="real"), run, "real"),
    }
    if get_task(run.task).official_id:
        # The same seeds on the copy that training plays: the two scores should hardly differ.
        evaluations["fast"] = evaluate.run(dataclasses.replace(base, world="real", fast=True), run, "fast")
    paths = report.run(run, evaluations)
    summary: dict[str, Any] = {
        "task": run.task,
        "scale": run.scale,
        "seed": run.seed,
        "evaluations": {
            name: {key: value for key, value in result.items() if key not in ("episodes", "asked")}
            for name, result in evaluations.items()
        },
        "files": {label: str(Path(path).relative_to(run.path)) for label, path in paths.items()},
    }
    results = run.path / "evaluation" / "results.json"
    found = read_table(results)
    if {name: value for name, value in found.items() if name != "seconds"} == summary and "seconds" in found:
        return found  # nothing was left to do
    note_time(run, "evaluate", time.monotonic() - start)
    seconds = stage_seconds(run)
    summary["seconds"] = {**seconds, "total": round(sum(seconds.values()), 2)}
    files.write_json(results, summary)
    return summary
