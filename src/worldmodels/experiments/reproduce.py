"""The whole experiment: every stage in turn, then the scores, the pictures and the table."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.envs.check import check_task
from worldmodels.envs.registry import get_task
from worldmodels.experiments import report
from worldmodels.runs.layout import EVALUATION, RESULTS
from worldmodels.runs.made_once import read_table
from worldmodels.runs.run import STAGES, Run
from worldmodels.runs.timings import note_time, stage_seconds
from worldmodels.stages import evaluate
from worldmodels.stages.pipeline import run_stage


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
        "dream": evaluate.run(base.in_dream_of(run.preset.controller), run, "dream"),
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
    results = run.path / EVALUATION / RESULTS
    found = read_table(results)
    if {name: value for name, value in found.items() if name != "seconds"} == summary and "seconds" in found:
        return found  # nothing was left to do
    note_time(run, "evaluate", time.monotonic() - start)
    seconds = stage_seconds(run)
    summary["seconds"] = {**seconds, "total": round(sum(seconds.values()), 2)}
    files.write_json(results, summary)
    return summary
