"""V in pictures: its losses, what it makes of held-out frames, and what each latent means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.types import Frame
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.run_data import split_run
from worldmodels.data.sampling import held_out_frames
from worldmodels.models.vae import VAE
from worldmodels.plots import style
from worldmodels.runs.layout import METRICS
from worldmodels.runs.run import Run
from worldmodels.runs.scores import numbers_of

#: Frames on a sheet, and latents that are traversed.
SHEET_COLUMNS, TRAVERSED = 10, 6


#: What the logs' losses are called, and what each is measured in.
LOSSES = {
    "recon_loss": ("V: reconstruction error", "squared error a frame, summed over its pixels"),
    "kl_loss": ("V: KL divergence from the prior", "nats a frame"),
    "nll": ("M: surprise at the next frame", "negative log-likelihood, nats a latent"),
    "done_loss": ("M: surprise at the ends", "weighted cross-entropy, nats a step"),
    "reward_loss": ("M: error of the reward", "half the squared error a step"),
}


def draw_losses(run: Run, stage: str, names: tuple[str, ...]) -> Figure | None:
    """Draws a stage's training and held-out losses against gradient steps; None before there are any."""
    names = logged_losses(run, stage, names)
    if not names:
        return None
    figure = style.figure(5.5 * len(names), 4.4)
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draw_loss(axis, run, stage, name)
    return figure


def logged_losses(run: Run, stage: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns those of the losses that a stage has logged."""
    rows = _metrics(run, stage)
    return tuple(name for name in names if any(name in row for row in rows))


def _metrics(run: Run, stage: str) -> list[dict[str, Any]]:
    """Returns the rows of a stage's metrics. Raises `BadFileError` for a loss that is no finite number."""
    known = [each for name in LOSSES for each in (name, f"held_out_{name}")]
    return numbers_of(run.stage_path(stage) / METRICS, "step", some=known)


def draw_loss(axis: Axes, run: Run, stage: str, name: str) -> None:
    """Draws one loss of a stage, in training and held out, against gradient steps."""
    rows = _metrics(run, stage)
    logged, held_out = ([row for row in rows if key in row] for key in (name, f"held_out_{name}"))
    x = [row["step"] for row in logged]
    axis.plot(x, [row[name] for row in logged], color=style.SKY, label="training", **style.few(x))
    y = [row[f"held_out_{name}"] for row in held_out]
    axis.plot([row["step"] for row in held_out], y, "o--", color=style.BLUE, label="held out")
    # The first steps are far away from all the others.
    later = [row[name] for row in logged[len(logged) // 10 :]] + y
    spread = max(later) - min(later) or 1.0
    title, unit = LOSSES[name]
    axis.set(xlabel="gradient steps", ylabel=unit, ylim=(min(later) - 0.1 * spread, max(later) + 0.1 * spread))
    axis.set_title(title)
    axis.legend()


def _sheet(title: str, rows: list[tuple[str, Frame]]) -> Figure:
    """Draws rows of frames, uint8 [columns, 64, 64, 3], each under its label."""
    columns = len(rows[0][1])
    width, height = 1.3 * columns, 0.5 + 1.6 * len(rows)
    figure = Figure(figsize=(width, height))
    # By hand: a tight layout would make every column as wide as the longest label.
    figure.subplots_adjust(0, 0, 1, 1 - 0.75 / height, wspace=0.05, hspace=0.25)
    for axes, row in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        draw_row(axes, *row)
    figure.suptitle(title, x=0, y=1, ha="left", va="top")
    return figure


def draw_row(axes: Sequence[Axes] | NDArray[np.object_], label: str, pictures: Frame) -> None:
    """Draws frames, uint8 [columns, 64, 64, 3], one on each of the axes, under their label."""
    for axis, picture in zip(axes, pictures, strict=True):
        axis.imshow(picture)
        axis.set_axis_off()
    axes[0].set_title(label, fontsize=13, pad=5)


def sheet_frames(run: Run) -> Frame:
    """Returns the held-out frames of the sheets, uint8 [10, 64, 64, 3]."""
    store = EpisodeStore(run.stage_path("collect"))
    _, held_out = split_run(run, len(store.lengths), run.preset.vae.held_out_fraction)
    return held_out_frames(store, held_out, SHEET_COLUMNS, run.seed)


def draw_reconstructions(run: Run, vae: VAE) -> Figure:
    """Draws held-out frames above what V makes of them."""
    title = f"{style.called(run.task)}: held-out frames, and what V keeps of them"
    return _sheet(title, reconstructions(sheet_frames(run), vae))


def reconstructions(frames: Frame, vae: VAE) -> list[tuple[str, Frame]]:
    """Returns the rows of a sheet: frames, and what V makes of them."""
    mu, _ = vae.encode_frames(torch.from_numpy(frames))
    return [("seen", frames), ("V's reconstruction", vae.decode_frames(mu).numpy())]


def draw_traversals(mu: Tensor, vae: VAE) -> Figure:
    """Draws the first of some frames, given as V sees them, float32 [N, Z], with one latent at a time moved from -3 to 3: the
    latents that differ most between them."""
    values: NDArray[np.float32] = np.linspace(-3, 3, 9, dtype=np.float32)
    rows = []
    for index in mu.var(0).argsort(descending=True)[:TRAVERSED].tolist():
        z = mu[:1].repeat(len(values), 1)
        z[:, index] = torch.from_numpy(values)
        rows.append((f"latent {index}, from -3 to 3", vae.decode_frames(z).numpy()))
    return _sheet("What each latent means: one is moved, the others stay", rows)


def draw_strips(title: str, strips: list[tuple[str, Frame]]) -> Figure:
    """Draws strips of frames over time, one under the other."""
    return _sheet(title, strips)
