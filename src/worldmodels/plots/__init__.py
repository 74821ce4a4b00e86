"""Every picture of a run, also of one that is half-trained, or of a model alone: what is there is drawn, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from matplotlib.figure import Figure

from worldmodels.agent.load import load
from worldmodels.agent.original import original_folder
from worldmodels.agent.target import is_model, pictures_folder, target_path
from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.plots.evolution import draw_curve, draw_scores
from worldmodels.plots.figures import save
from worldmodels.plots.memory import draw_open_loop, draw_open_loop_error
from worldmodels.plots.original_log import draw_original_log, original_logs
from worldmodels.plots.vision import draw_losses, draw_reconstructions, draw_traversals, sheet_frames
from worldmodels.runs.layout import CONFIG, WEIGHTS
from worldmodels.runs.run import Run


def figures(run: Run) -> Iterator[tuple[str, Figure | None]]:
    """Yields each picture's name and figure, None where the run has not come that far."""
    yield "vae-losses", draw_losses(run, "vae", ("recon_loss", "kl_loss"))
    yield "rnn-losses", draw_losses(run, "rnn", ("nll", "done_loss", "reward_loss"))
    yield "curve", draw_curve(run)
    yield "scores", draw_scores(run)
    if not (run.stage_path("vae") / WEIGHTS).exists():
        return
    agent = load(run.path, finished=False)
    if run.done("collect"):
        yield "reconstructions", draw_reconstructions(run, agent.vae)
        mu, _ = agent.vae.encode_frames(torch.from_numpy(sheet_frames(run)))
        yield "traversals", draw_traversals(mu, agent.vae)
    if agent.can_dream:
        yield "open-loop", draw_open_loop(run, agent.world_model)
        yield "open-loop-error", draw_open_loop_error(run, agent.world_model)


def plot(target: str, out: Path | None = None) -> list[Path]:
    """Draws all there is of a run, or of a model alone what V's latents are; returns the pictures' paths.

    Args:
        target: see `target_path`; also a folder with the original's training logs, which are curves of their own.
        out: the folder to draw into; None: ``plots`` in the run's or model's, and of a shipped model ``TASK-plots`` here,
            of one on the Hub ``REPO-plots``.

    Raises:
        UserError: there is neither a run nor a model, or nothing to draw yet, or ``out`` is no folder.
    """
    path = target_path(target)
    if out is None:
        out = pictures_folder(target, path)
    files.check_folder(out)
    drawn: dict[str, Figure] = {}
    no_run = not (path / CONFIG).exists()
    if no_run:
        drawn = {log.name.removesuffix(".json"): draw_original_log(log) for log in original_logs(path)}
    if is_model(path) or (no_run and original_folder(path) == path):
        model = load(path).world_model
        drawn["traversals"] = draw_traversals(model.initial.mu, model.vae)
    elif not drawn:
        drawn = {name: figure for name, figure in figures(Run.open(path)) if figure is not None}
    if not drawn:
        raise UserError(f"{path}: nothing to draw yet; 'worldmodels train-vae --run {path}' makes the first curve")
    return [save(figure, out / f"{name}.{kind}") for name, figure in drawn.items() for kind in ("png", "svg")]
