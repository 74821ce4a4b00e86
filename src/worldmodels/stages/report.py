"""What a finished run shows: a table, pictures of reconstructions and of the training curve, and a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.sampling import held_out_frames, split_episodes
from worldmodels.envs.spec import EnvSpec, Frame, get_task
from worldmodels.errors import EnvironmentFailure
from worldmodels.files import written_beside
from worldmodels.latent_env import LatentEnv
from worldmodels.models.controller import ControllerPolicy
from worldmodels.models.world_model import Model, load_model
from worldmodels.rollout import EpisodeJob
from worldmodels.run import Run, read_jsonl
from worldmodels.worlds import PixelEnvs

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


def record_video(model: Model, path: Path) -> None:
    """Plays one held-out episode and writes an MP4: the screen, what V sees, what V remembers of it."""
    spec = model.world_model.spec
    env = spec.make_env(render_mode="rgb_array")
    world = LatentEnv(PixelEnvs([env]), model.world_model, model.inputs)
    policy = ControllerPolicy(spec, model.inputs, model.solution[None])
    pictures = []
    try:
        obs, _ = world.reset(seed=[VIDEO_SEED])
        policy.begin(np.ones(1, np.bool_), [EpisodeJob(0, VIDEO_SEED)])
        over = False
        while not over:
            reconstruction = model.world_model.vae.decode_frames(world.z)[0].numpy()
            pictures.append(_panels(env.render(), world.frames[0], reconstruction))
            obs, _, terminated, truncated, _ = world.step(policy.act(obs))
            over = bool(terminated[0] or truncated[0])
    finally:
        world.close()
    fps = int(env.metadata.get("render_fps", 30))
    try:
        with written_beside(path) as temporary:
            iio.imwrite(temporary, np.stack(pictures), extension=".mp4", fps=fps, codec="libx264", macro_block_size=2)
    except (RuntimeError, ImportError, ValueError) as error:
        raise EnvironmentFailure(
            f"{path}: the video encoder failed ({error}); 'pip install imageio-ffmpeg' brings one"
        ) from error


def _panels(screen: Any, seen: Frame, reconstruction: Frame) -> NDArray[np.uint8]:
    """Puts three pictures side by side, 256 pixels high."""

    def enlarge(picture: Frame, width: int) -> NDArray[np.uint8]:
        rows = np.arange(256) * picture.shape[0] // 256
        columns = np.arange(width) * picture.shape[1] // width
        return np.asarray(picture[rows][:, columns], np.uint8)

    width = round(256 * screen.shape[1] / screen.shape[0] / 2) * 2
    return np.concatenate([enlarge(screen, width), enlarge(seen, 256), enlarge(reconstruction, 256)], 1)


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
    record_video(model, paths["video"])
    print_table(spec, evaluations)
    for label, path in paths.items():
        print(f"{label}: {path}")
    return paths
