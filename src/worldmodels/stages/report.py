"""What a finished run shows: a table, pictures of reconstructions and of the training curve, and a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import torch
from rich.console import Console
from rich.table import Table

from worldmodels.config import VideoConfig
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.sampling import held_out_frames, split_episodes
from worldmodels.envs.spec import EnvSpec, get_task
from worldmodels.files import written_beside
from worldmodels.models.world_model import Model, load_model
from worldmodels.run import Run, read_jsonl
from worldmodels.viewer.parts import whole
from worldmodels.viewer.video import record

matplotlib.use("Agg")
from matplotlib import pyplot as plt

#: Frames on the sheet of reconstructions.
SHEET_COLUMNS = 10
#: The seed of the video's episode: the first held-out one.
VIDEO_SEED = 0


def _save_figure(path: Path) -> None:
    with written_beside(path) as temporary:
        plt.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    plt.close()


def draw_reconstructions(run: Run, model: Model, path: Path) -> None:
    """Draws held-out frames above what V makes of them."""
    store = EpisodeStore(run.stage_path("collect"))
    _, held_out = split_episodes(len(store.lengths), run.preset.vae.held_out_fraction, run.seed)
    frames = held_out_frames(store, held_out, SHEET_COLUMNS, run.seed)
    vae = model.world_model.vae
    mu, _ = vae.encode_frames(torch.from_numpy(frames))
    rows = (("seen", frames), ("V's reconstruction", vae.decode_frames(mu).numpy()))
    figure, axes = plt.subplots(2, SHEET_COLUMNS, figsize=(1.3 * SHEET_COLUMNS, 3.0))
    for row, (label, pictures) in zip(axes, rows, strict=True):
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
        row[0].set_title(label, loc="left", fontsize=10)
    figure.tight_layout()
    _save_figure(path)


def draw_curve(run: Run, spec: EnvSpec, evaluations: dict[str, dict[str, Any]], path: Path) -> None:
    """Draws C's evolution: the population's spread, the scored means, and the final real score."""
    folder = run.stage_path("controller")
    history, scores = read_jsonl(folder / "history.jsonl"), read_jsonl(folder / "scores.jsonl")
    generations = [row["generation"] for row in history]
    plt.figure(figsize=(8, 4.5))
    plt.fill_between(
        generations, [r["min"] for r in history], [r["max"] for r in history], alpha=0.2, label="population, min to max"
    )
    plt.plot(generations, [r["mean"] for r in history], label="population, mean")
    where, temperature = run.preset.controller.world, run.preset.controller.temperature
    plt.plot([r["generation"] for r in scores], [r["mean"] for r in scores], "o-", label=f"CMA-ES's mean, scored ({where})")
    plt.axhline(evaluations["real"]["mean"], color="black", linestyle="--", label="final agent, real environment")
    plt.axhline(evaluations["random"]["mean"], color="grey", linestyle=":", label="random policy, real environment")
    plt.axhline(spec.solved_at, color="green", linewidth=0.8, label="solved")
    plt.xlabel("generation")
    plt.ylabel("return")
    plt.title(
        f"{spec.name}: C trained in the " + (f"dream, temperature {temperature:g}" if where == "dream" else "real environment")
    )
    plt.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _save_figure(path)


def record_video(model: Model, temperature: float, path: Path) -> None:
    """Plays one held-out episode into an MP4: the screen, what V sees, what V keeps of it, and M dreaming on."""
    spec = model.world_model.spec
    settings = VideoConfig("real", spec.max_episode_steps, VIDEO_SEED, 1, temperature)
    record(whole(model), settings, path, one_episode=True)


def print_table(spec: EnvSpec, evaluations: dict[str, dict[str, Any]]) -> None:
    """Prints the scores beside the published ones."""
    table = Table(title=f"{spec.name} (solved: {spec.solved_at:g})")
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
        worlds = {"dream": f"dream, τ {evaluations['dream']['temperature']:g}", "fast": "real, training's copy"}
        label, world = names[name], worlds.get(name, "real")
        low, high = row["ci95"]
        table.add_row(
            label, world, f"{row['mean']:.0f} ± {row['std']:.0f}", str(row["num_episodes"]), f"{low:.0f} to {high:.0f}"
        )
    table.add_section()
    for score in spec.published:
        table.add_row(score.who, score.world, f"{score.mean:g} ± {score.std:g}", "100", "")
    Console().print(table)


def run(run: Run, evaluations: dict[str, dict[str, Any]]) -> dict[str, Path]:
    """Makes the pictures and the video of a finished run, prints the table, and returns the paths."""
    spec = get_task(run.task)
    model = load_model(run.path / "model")
    folder = run.path / "evaluation"
    paths = {
        "reconstructions": folder / "reconstructions.png",
        "training curve": folder / "curve.png",
        "video": folder / "episode-000.mp4",
    }
    draw_reconstructions(run, model, paths["reconstructions"])
    draw_curve(run, spec, evaluations, paths["training curve"])
    record_video(model, run.preset.controller.temperature, paths["video"])
    print_table(spec, evaluations)
    for label, path in paths.items():
        print(f"{label}: {path}")
    return paths
