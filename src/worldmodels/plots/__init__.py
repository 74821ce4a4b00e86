"""Every picture of a run, also of one that is half-trained, or of a model alone: what is there is drawn, as PNG and SVG, and a
page shows it all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from matplotlib.figure import Figure

from worldmodels.agent import hub
from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load
from worldmodels.agent.original import is_original
from worldmodels.agent.target import SHIPPED, is_model, pictures_folder, target_path
from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.plots.evolution import draw_curve, draw_scores
from worldmodels.plots.figures import save
from worldmodels.plots.memory import draw_open_loop, draw_open_loop_error
from worldmodels.plots.original_log import draw_original_log, original_logs
from worldmodels.plots.page import write_page
from worldmodels.plots.summary import draw_summary, shown_model, shown_run
from worldmodels.plots.vision import draw_losses, draw_reconstructions, draw_traversals, sheet_frames
from worldmodels.runs.layout import CONFIG, WEIGHTS
from worldmodels.runs.run import Run

#: The one picture and the page that show all of a run or a model.
SUMMARY, PAGE = "summary", "report.html"


def figures(run: Run, agent: Agent | None) -> Iterator[tuple[str, Figure | None]]:
    """Yields each picture's name and figure, None where the run has not come that far.

    Args:
        agent: V, and M and C as far as there are any; None: there is no V yet.
    """
    yield "vae-losses", draw_losses(run, "vae", ("recon_loss", "kl_loss"))
    yield "rnn-losses", draw_losses(run, "rnn", ("nll", "done_loss", "reward_loss"))
    yield "curve", draw_curve(run)
    yield "scores", draw_scores(run)
    if agent is None:
        return
    if run.done("collect"):
        yield "reconstructions", draw_reconstructions(run, agent.vae)
        mu, _ = agent.vae.encode_frames(torch.from_numpy(sheet_frames(run)))
        yield "traversals", draw_traversals(mu, agent.vae)
    elif agent.can_dream:  # its episodes are cleaned away
        yield "traversals", draw_traversals(agent.world_model.initial.mu, agent.vae)
    if agent.can_dream and run.done("encode"):
        yield "open-loop", draw_open_loop(run, agent.world_model)
        yield "open-loop-error", draw_open_loop_error(run, agent.world_model)


def plot(target: str, out: Path | None = None) -> list[Path]:
    """Draws all there is of a run, or of a model alone what V's latents are, its dream and its scores; writes a page with all
    of that, which needs no other file; returns the paths, the page's last.

    Args:
        target: see `target_path`; also one of the original's training logs, or a folder with some: curves of their own.
        out: the folder to draw into; None: ``plots`` in the run's or model's, and of a shipped model ``TASK-plots`` here,
            of one on the Hub ``REPO-plots``.

    Raises:
        UserError: there is neither a run nor a model, or nothing to draw yet, or ``out`` is no folder.
    """
    path = target_path(target)
    if out is None:
        out = pictures_folder(target, path.parent if path.is_file() and original_logs(path) else path)
    files.check_folder(out)
    drawn: dict[str, Figure] = {}
    shown = None
    no_run = not (path / CONFIG).exists()
    if no_run:
        drawn = {log.name.removesuffix(".json"): draw_original_log(log) for log in original_logs(path)}
    if is_model(path) or (no_run and is_original(path)):
        agent = load(path)
        drawn["traversals"] = draw_traversals(agent.world_model.initial.mu, agent.vae)
        called = target if hub.is_address(target) or not Path(target).is_absolute() else path.name
        shown = shown_model(agent, "the shipped agent" if path.is_relative_to(SHIPPED) else "a model", called)
    elif not drawn:
        run = Run.open(path)
        so_far = load(run.path, finished=False) if (run.stage_path("vae") / WEIGHTS).exists() else None
        drawn = {name: figure for name, figure in figures(run, so_far) if figure is not None}
        shown = shown_run(run, so_far)
    if not drawn:
        verb = "collect" if Run.open(path).done("collect") is None else "train-vae"
        raise UserError(f"{path}: nothing to draw yet; 'worldmodels {verb} --run {path}' comes next")
    summary = draw_summary(shown) if shown is not None else None
    if summary is not None:
        drawn[SUMMARY] = summary
    paths = [save(figure, out / f"{name}.{kind}") for name, figure in drawn.items() for kind in ("png", "svg")]
    if shown is not None:
        paths.append(write_page(shown, [path for path in paths if path.suffix == ".png"], out / PAGE))
    return paths
