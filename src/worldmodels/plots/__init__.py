"""Every picture of a run, also of one that is half-trained: what is there is drawn, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from worldmodels.errors import UserError
from worldmodels.plots.evolution import draw_curve, draw_scores
from worldmodels.plots.figures import save
from worldmodels.plots.memory import draw_open_loop, draw_open_loop_error
from worldmodels.plots.vision import draw_losses, draw_reconstructions, draw_traversals
from worldmodels.run import Run
from worldmodels.viewer.parts import find_parts


def figures(run: Run) -> Iterator[tuple[str, Figure | None]]:
    """Yields each picture's name and figure, None where the run has not come that far."""
    yield "vae-losses", draw_losses(run, "vae", ("recon_loss", "kl_loss"))
    yield "rnn-losses", draw_losses(run, "rnn", ("nll", "done_loss", "reward_loss"))
    yield "curve", draw_curve(run)
    yield "scores", draw_scores(run)
    if not (run.stage_path("vae") / "model.safetensors").exists():
        return
    parts = find_parts(str(run.path))
    if run.done("collect"):
        yield "reconstructions", draw_reconstructions(run, parts.world_model.vae)
        yield "traversals", draw_traversals(run, parts.world_model.vae)
    if parts.can_dream:
        yield "open-loop", draw_open_loop(run, parts.world_model)
        yield "open-loop-error", draw_open_loop_error(run, parts.world_model)


def plot(path: Path, out: Path) -> list[Path]:
    """Draws all there is of the run at ``path`` into ``out``; returns the pictures' paths.

    Raises:
        UserError: there is no run, or nothing to draw yet.
    """
    run = Run.open(path)
    drawn = [
        save(figure, out / f"{name}.{kind}") for name, figure in figures(run) if figure is not None for kind in ("png", "svg")
    ]
    if not drawn:
        raise UserError(f"{path}: nothing to draw yet; 'worldmodels train-vae --run {path}' makes the first curve")
    return drawn
