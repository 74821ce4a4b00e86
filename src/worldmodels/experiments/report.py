"""What a finished run shows: a table, pictures of reconstructions and of the training curve, and a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from worldmodels.agent.files import dropout_text
from worldmodels.agent.load import load_model
from worldmodels.base import files
from worldmodels.config import VideoConfig
from worldmodels.diagnostics.statistics import score_text
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Task
from worldmodels.plots.evolution import draw_curve
from worldmodels.plots.figures import save
from worldmodels.plots.vision import draw_reconstructions
from worldmodels.runs.layout import CURVE, EVALUATION, HISTORY, MODEL, PPO_LOG, RECONSTRUCTIONS, SCORES, VIDEO
from worldmodels.runs.made_once import make_once
from worldmodels.runs.run import Run
from worldmodels.viewer.video import record

#: The seed of the video's episode: the first held-out one.
VIDEO_SEED = 0


def draw_run_curve(run: Run, path: Path) -> None:
    """Draws the curve of a run whose controller is finished."""
    curve = draw_curve(run)
    assert curve is not None
    save(curve, path)


def print_table(spec: Task, evaluations: dict[str, dict[str, Any]]) -> None:
    """Prints the scores beside the published ones."""
    solved_at = spec.published.solved_at
    table = Table(title=spec.name if solved_at is None else f"{spec.name} (solved: {solved_at:g})")
    for column, side in (
        ("", "left"),
        ("world", "left"),
        ("mean ± std", "right"),
        ("episodes", "right"),
        ("95% interval", "right"),
    ):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    names = {"random": "random policy", "dream": "agent", "real": "agent", "fast": "agent"}
    for name, row in evaluations.items():
        dream = evaluations["dream"]
        at = f"τ {dream['temperature']:g}{dropout_text(dream.get('dream_dropout', 0.0))}"
        worlds = {"dream": f"dream, {at}", "fast": "real, training's copy"}
        label, world = names[name], worlds.get(name, "real")
        interval = "" if row["ci95"] is None else "{:.0f} to {:.0f}".format(*row["ci95"])
        table.add_row(label, world, score_text(row), str(row["num_episodes"]), interval)
    table.add_section()
    for score in spec.published.scores:
        table.add_row(score.who, score.world, f"{score.mean:g} ± {score.std:g}", "100", "")
    Console().print(table)


def run(run: Run, evaluations: dict[str, dict[str, Any]]) -> dict[str, Path]:
    """Makes the pictures and the video of a finished run, each once, prints the table, and returns the paths."""
    spec = get_task(run.task)
    agent = load_model(run.path / MODEL)
    folder = run.path / EVALUATION
    paths = {
        "reconstructions": folder / RECONSTRUCTIONS,
        "training curve": folder / CURVE,
        "video": folder / VIDEO,
    }
    settings = VideoConfig("real", spec.max_episode_steps, VIDEO_SEED, 1, run.preset.controller.temperature)
    seen = {
        "vae": agent.sha256["vae"],
        "episodes": run.require("collect")["outputs"]["episodes"],
        "held_out_fraction": run.preset.vae.held_out_fraction,
        "seed": run.seed,
    }
    logs = [run.stage_path("controller") / name for name in (HISTORY, SCORES, PPO_LOG)]
    scores = {name: row["mean"] for name, row in evaluations.items()}
    curve = {
        "logs": {log.name: files.sha256_of(log) for log in logs if log.exists()},
        "scores": scores,
        "config": run.preset.controller.fingerprint_fields(),
    }
    film = {"model": agent.sha256, "env": spec.env_id, "config": settings.fingerprint_fields()}
    make_once(paths["reconstructions"], seen, lambda path: save(draw_reconstructions(run, agent.vae), path))
    make_once(paths["training curve"], curve, lambda path: draw_run_curve(run, path))
    make_once(paths["video"], film, lambda path: record(agent, settings, path, one_episode=True))
    print_table(spec, evaluations)
    for label, path in paths.items():
        print(f"{label}: {path}")
    return paths
