"""V in pictures: its losses, what it makes of held-out frames, and what each latent means."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.logs import rows_so_far
from worldmodels.base.types import Frame
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.run_data import split_run
from worldmodels.data.sampling import held_out_frames
from worldmodels.models.vae import VAE
from worldmodels.runs.layout import METRICS
from worldmodels.runs.run import Run

#: Frames on a sheet, and latents that are traversed.
SHEET_COLUMNS, TRAVERSED = 10, 6


def draw_losses(run: Run, stage: str, names: tuple[str, ...]) -> Figure | None:
    """Draws a stage's training and held-out losses against gradient steps; None before there are any."""
    rows = rows_so_far(run.stage_path(stage) / METRICS)
    names = tuple(name for name in names if any(name in row for row in rows))
    if not names:
        return None
    figure = Figure(figsize=(5.5 * len(names), 3.5))
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        logged = [row for row in rows if name in row]
        held_out = [row for row in rows if f"held_out_{name}" in row]
        axis.plot([row["step"] for row in logged], [row[name] for row in logged], label="training")
        axis.plot([row["step"] for row in held_out], [row[f"held_out_{name}"] for row in held_out], "o-", label="held out")
        # The first steps are far away from all the others.
        later = [row[name] for row in logged[len(logged) // 10 :]] + [row[f"held_out_{name}"] for row in held_out]
        spread = max(later) - min(later) or 1.0
        axis.set(xlabel="gradient steps", ylabel=name, ylim=(min(later) - 0.1 * spread, max(later) + 0.1 * spread))
        axis.legend()
    figure.tight_layout()
    return figure


def _sheet(rows: list[tuple[str, Frame]]) -> Figure:
    """Draws rows of frames, uint8 [columns, 64, 64, 3], each under its label."""
    columns = len(rows[0][1])
    figure = Figure(figsize=(1.3 * columns, 1.55 * len(rows)))
    # By hand: a tight layout would make every column as wide as the longest label.
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.05, hspace=0.25)
    for axes, (label, pictures) in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        for axis, picture in zip(axes, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
        axes[0].set_title(label, loc="left", fontsize=10)
    return figure


def sheet_frames(run: Run) -> Frame:
    """Returns the held-out frames of the sheets, uint8 [10, 64, 64, 3]."""
    store = EpisodeStore(run.stage_path("collect"))
    _, held_out = split_run(run, len(store.lengths), run.preset.vae.held_out_fraction)
    return held_out_frames(store, held_out, SHEET_COLUMNS, run.seed)


def draw_reconstructions(run: Run, vae: VAE) -> Figure:
    """Draws held-out frames above what V makes of them."""
    frames = sheet_frames(run)
    mu, _ = vae.encode_frames(torch.from_numpy(frames))
    return _sheet([("seen", frames), ("V's reconstruction", vae.decode_frames(mu).numpy())])


def draw_traversals(mu: Tensor, vae: VAE) -> Figure:
    """Draws the first of some frames, given as V sees them, float32 [N, Z], with one latent at a time moved from -3 to 3: the
    latents that differ most between them."""
    values: NDArray[np.float32] = np.linspace(-3, 3, 9, dtype=np.float32)
    rows = []
    for index in mu.var(0).argsort(descending=True)[:TRAVERSED].tolist():
        z = mu[:1].repeat(len(values), 1)
        z[:, index] = torch.from_numpy(values)
        rows.append((f"latent {index}, from -3 to 3", vae.decode_frames(z).numpy()))
    return _sheet(rows)


def draw_strips(strips: list[tuple[str, Frame]]) -> Figure:
    """Draws strips of frames over time, one under the other."""
    return _sheet(strips)
