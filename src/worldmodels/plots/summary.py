"""One picture of a run or a model to show to others: how C learned, what it scores, what V keeps, and what M dreams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from worldmodels.agent.agent import Agent
from worldmodels.base.pictures import in_rows
from worldmodels.base.types import Frame
from worldmodels.diagnostics.dreams import EVERY_STEPS, most_eventful
from worldmodels.diagnostics.statistics import score_text
from worldmodels.plots import style
from worldmodels.plots.evolution import (
    draw_generations,
    draw_histograms,
    draw_ppo,
    has_generations,
    has_ppo,
    return_unit,
)
from worldmodels.plots.vision import SHEET_COLUMNS, draw_loss, logged_losses, reconstructions, sheet_frames
from worldmodels.runs.layout import CARD
from worldmodels.runs.run import Run
from worldmodels.runs.scores import NAMES, checked_score, evaluations

#: White pixels between two frames of a strip.
GAP = 3
#: What stands for the curve of a run that has no C yet, the latest first.
STANDINS = (("rnn", "nll"), ("vae", "recon_loss"))


@dataclass(frozen=True)
class Shown:
    """What there is of a run, or of a model alone, as far as it has come."""

    name: str
    """The task."""
    what: str
    """What it is, in words: a scale and a seed, or a model."""
    run: Run | None = None
    agent: Agent | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    """The evaluations by name, each with ``mean``, ``std``, ``num_episodes`` and ``returns``."""
    target: str = ""
    """What commands call it: a task, or the folder as it was named; never the absolute folders above it."""


def shown_run(run: Run, agent: Agent | None) -> Shown:
    """Returns what there is of a run, and of its V, M and C."""
    target = run.path.resolve().name if run.path.is_absolute() or run.path == Path() else str(run.path)
    return Shown(run.task, f"{run.scale} scale, seed {run.seed}{_so_far(run, agent)}", run, agent, evaluations(run), target)


def _so_far(run: Run, agent: Agent | None) -> str:
    """Returns which parts of an unfinished run there are, in words; nothing of a finished one."""
    if run.done("controller") is not None:
        return ""
    has = {"V": agent is not None, "M": agent is not None and agent.can_dream, "C": has_generations(run) or has_ppo(run)}
    *first, last = [part for part, there in has.items() if there] or ["nothing"]
    return f", half-trained: {' and '.join([', '.join(first), last] if first else [last])} so far"


def shown_model(agent: Agent, what: str, target: str) -> Shown:
    """Returns what there is of a model's folder: V, M and C, and the scores beside them."""
    scores = agent.card.get("evaluation", {})
    # A file from elsewhere may have the means alone.
    rows = scores if isinstance(scores, Mapping) else {}
    given = {name: row for name, row in rows.items() if name in NAMES and "returns" in row}
    scored = {name: checked_score(Path(CARD), row) for name, row in given.items()}
    return Shown(agent.task.name, what, None, agent, scored, target)


def draw_summary(shown: Shown) -> Figure | None:
    """Draws what there is; None if that is nothing."""
    top: list[Callable[[SubFigure], None]] = []
    if (curve := _curve(shown.run)) is not None:
        top.append(curve)
    if shown.scores:
        top.append(lambda part: _draw_scores(part, shown))
    strips = _strips(shown)
    if not top and not strips:
        return None
    strip_heights = [0.6 + 1.15 * len(rows) for _, rows, _ in strips]
    heights = [height for height in (4.6 * bool(top), sum(strip_heights)) if height]
    figure = style.figure(13, 0.6 + sum(heights))
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if top:
        for part, draw in zip(parts[0].subfigures(1, len(top), squeeze=False)[0], top, strict=True):
            draw(part)
    if strips:
        axes = parts[-1].subplots(len(strips), 1, height_ratios=strip_heights, squeeze=False)[:, 0]
        for axis, strip in zip(axes, strips, strict=True):
            _draw_strip(axis, *strip)
    figure.suptitle(headline(shown), fontsize=19, fontweight="bold")
    return figure


def headline(shown: Shown) -> str:
    """Returns a line with the task, what it is, and the score."""
    words = f"{style.called(shown.name)}, {shown.what}"
    if "real" in shown.scores:
        words += f": {score_text(shown.scores['real'])} in the real environment"
        if "random" in shown.scores:
            words += f", chance {shown.scores['random']['mean']:,.0f}"
    elif "dream" in shown.scores:
        words += f": {score_text(shown.scores['dream'])} in the dream"
    return words


def _curve(run: Run | None) -> Callable[[SubFigure], None] | None:
    """Returns what draws how C learned, or before there is a C how M or V did; None before there is anything."""
    if run is None:
        return None
    for has, draw in ((has_generations, _draw_generations), (has_ppo, lambda part, of: draw_ppo(part.subplots(), of))):
        if has(run):
            return lambda part: draw(part, run)
    for stage, name in STANDINS:
        if logged_losses(run, stage, (name,)):
            return lambda part: draw_loss(part.subplots(), run, stage, name)
    return None


def _draw_generations(part: SubFigure, run: Run) -> None:
    axis: Axes = part.subplots()
    draw_generations(axis, run)
    axis.set_ylabel(f"return{return_unit(run.task)}")
    axis.set_title("How C learned")
    part.legend(loc="outside lower center", ncols=2, fontsize=10)


def _draw_scores(part: SubFigure, shown: Shown) -> None:
    returns: dict[str, Sequence[float]] = {name: row["returns"] for name, row in shown.scores.items()}
    draw_histograms(part.subplots(len(returns), 1, sharex=True, squeeze=False)[:, 0], returns, shown.name)
    part.supylabel("share of the episodes", fontsize=13)


Strip = tuple[str, list[tuple[str, Frame]], list[str]]


def _strips(shown: Shown) -> list[Strip]:
    """Returns the strips of frames: a title, rows of a name and frames each, and what stands below the frames."""
    agent, run = shown.agent, shown.run
    if agent is None:
        return []
    strips: list[Strip] = []
    if run is not None and run.done("collect"):
        rows = reconstructions(sheet_frames(run), agent.vae)
        strips.append(("V: frames that it was not trained on, and what it keeps of them", rows, []))
    if agent.can_dream:
        dream = most_eventful(agent, agent.temperature)
        first = dream.liveliest(SHEET_COLUMNS)
        frames = dream.frames[first : first + SHEET_COLUMNS]
        player = "the agent" if agent.solution is not None else "chance"
        title = f"M: {player} in a dream, temperature {agent.temperature:g}, seed {dream.seed}"
        strips.append((title, [("dreamt", frames)], [f"step {(first + i) * EVERY_STEPS}" for i in range(len(frames))]))
    elif run is None:
        mu = agent.world_model.initial.mu[:SHEET_COLUMNS]
        strips.append(("V: what it makes of latents", [("decoded", agent.vae.decode_frames(mu).numpy())], []))
    return strips


def _draw_strip(axis: Axes, title: str, rows: list[tuple[str, Frame]], below: list[str]) -> None:
    """Draws rows of frames as one picture, which keeps their pixels square."""
    height, width = rows[0][1].shape[1:3]
    columns = max(SHEET_COLUMNS, len(rows[0][1]))
    axis.imshow(in_rows([frames for _, frames in rows], columns, GAP, 255), interpolation="nearest")
    axis.set_anchor("NW")
    axis.set_title(title)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set_yticks([line * (height + GAP) + height / 2 for line in range(len(rows))], [name for name, _ in rows])
    axis.set_xticks([column * (width + GAP) + width / 2 for column in range(len(below))], below)
