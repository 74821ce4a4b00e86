"""What the tables have in common whose rows are runs: a row's run is opened, scored and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldmodels.base.logs import read_jsonl
from worldmodels.config import CollectConfig, Preset
from worldmodels.runs.layout import CONFIG, METRICS
from worldmodels.runs.run import STAGES, Run
from worldmodels.runs.shared import share_stages
from worldmodels.stages import evaluate
from worldmodels.stages.pipeline import run_stage

#: What measures V and M on episodes: the stages before C.
BEFORE_C = ("collect", "vae", "encode", "rnn")
#: The share of the episodes that are looked at, where a run is made to measure another's V and M.
LOOKED_AT = 0.9
#: The least that can be split into some to learn from and some to hold out.
FEWEST_EPISODES = 2


def open_row(
    path: Path, begun: tuple[str, str, int, str], preset: Preset, previous: Path | None = None, earlier: Run | None = None
) -> Run:
    """Opens a row's run, or plans it with what it shares with another.

    Args:
        begun: the task's name, the scale, the seed and the recipe.
        previous: the run that it goes on from.
        earlier: the run whose stages it takes over as far as they are made in the same way.

    Raises:
        UserError: the folder holds another run.
    """
    task, scale, seed, recipe = begun
    asked = (path, task, scale, seed, preset, previous, recipe)
    if (path / CONFIG).exists():
        run = Run.open_or_create(*asked)
        for stage in STAGES:
            run.refuse_other_settings(stage, getattr(preset, stage))
        return run
    run = Run.plan(*asked)
    if earlier is None:
        return run
    share_stages(earlier, run)
    return Run.open(path)


def made_run(
    path: Path,
    begun: tuple[str, str, int, str],
    preset: Preset,
    earlier: Sequence[Run],
    stages: Sequence[str],
    place: dict[str, str],
    previous: Path | None = None,
) -> Run:
    """Runs what is missing of a run's stages, of which it takes over those that an earlier one makes in the same way.

    Args:
        begun: the task's name, the scale, the seed and the recipe.
        earlier: finished runs of the same task and seed.
        place: the backend, and a cluster's address.
        previous: the run that it goes on from.

    Raises:
        UserError: the folder holds another run.
    """
    nearest = max(earlier, key=lambda other: _num_shared(other, preset)) if earlier else None
    run = open_row(path, begun, preset, previous, nearest)
    # Where the model that is carried lies now, which need not be where it lay.
    kept = run.preset if run.previous is not None else preset
    placed = replace(run, preset=kept.on(**place))
    for stage in stages:
        run_stage(placed, stage, getattr(placed.preset, stage))
    return Run.open(path)


def with_share(collect: CollectConfig, share: float) -> CollectConfig:
    """Returns the settings of a collection of a share of the episodes."""
    return replace(collect, num_episodes=max(FEWEST_EPISODES, round(collect.num_episodes * share)))


def _num_shared(earlier: Run, preset: Preset) -> int:
    """Returns how many stages of a run would be made in the same way with these settings, from the first one on."""
    same = [getattr(earlier.preset, stage) == getattr(preset, stage) for stage in STAGES]
    return same.index(False) if False in same else len(same)


def only_looked_at(preset: Preset, vae: Run, rnn: Run) -> Preset:
    """Returns the settings that measure one run's V and another's M on the episodes of ``preset``, without training them."""
    return replace(
        preset,
        vae=replace(preset.vae, from_model=str(vae.path), num_steps=0, held_out_fraction=LOOKED_AT),
        rnn=replace(preset.rnn, from_model=str(rnn.path), num_steps=0, held_out_fraction=LOOKED_AT),
    )


def scores(run: Run, preset: Preset, chance: Any, episodes: int = 0, fast: bool = False) -> tuple[Any, Any, Any]:
    """Scores a row's C; returns the random policy's result, the dream's and reality's.

    Args:
        preset: of the run, with where its environments are played.
        chance: an earlier row's result of the random policy; None: it plays now.
        episodes: 0: as many as the preset has.
    """
    asked = replace(preset.evaluate, world="real", fast=fast, episodes=episodes or preset.evaluate.episodes)
    if chance is None:
        chance = evaluate.run(replace(asked, agent="random"), run, "random")
    dream = evaluate.run(asked.in_dream_of(run.preset.controller), run, "dream")
    return chance, dream, evaluate.run(asked, run, "real")


def held_out_losses(run: Run) -> dict[str, float]:
    """Returns how well V and M do on episodes that they were not trained on."""
    last = {stage: read_jsonl(run.stage_path(stage) / METRICS)[-1] for stage in ("vae", "rnn")}
    return {"held_out_recon_loss": last["vae"]["held_out_recon_loss"], "held_out_nll": last["rnn"]["held_out_nll"]}
