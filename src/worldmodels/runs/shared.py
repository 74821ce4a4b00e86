"""Runs that have their first stages in common: those of one are taken over by another, and not made again."""

from __future__ import annotations

import dataclasses
import shutil

from worldmodels.base.files import link
from worldmodels.runs.run import STAGES, Run


def share_stages(earlier: Run, run: Run, before: str = "controller") -> None:
    """Makes the folder of a planned run, with the finished stages of another that it would make in the same way.

    The files are linked, and copied only onto another disk: a finished stage is never written into.

    Args:
        earlier: a run of the same task and seed, which begins anew or goes on from the same run.
        run: a new one, as `Run.plan` returns it.
        before: the first stage that is not shared in any case. C is its run's own: a model and scores belong to it.
    """
    beside = run.path.with_name(f".{run.path.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for stage, folder in STAGES.items():
        same = getattr(earlier.preset, stage) == getattr(run.preset, stage)
        if stage == before or not same or earlier.done(stage) is None:
            break
        shutil.copytree(earlier.path / folder, beside / folder, copy_function=link)
    dataclasses.replace(run, path=beside).save()
    beside.rename(run.path)
