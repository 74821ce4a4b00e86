"""Videos without a display: a session's panels, frame by frame into the encoder, so that any length needs the same memory."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load
from worldmodels.base.pictures import in_rows
from worldmodels.config import PlayConfig, VideoConfig
from worldmodels.diagnostics.dreams import EVERY_STEPS, most_eventful
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.threads import threads_for
from worldmodels.viewer.encoder import check_ending, encoding
from worldmodels.viewer.look import TEXT
from worldmodels.viewer.panels import Panels, to_array
from worldmodels.viewer.session import Session

#: A GIF shows every second step: it has no better clock than hundredths of a second, and is large as it is.
GIF_EVERY_STEPS = 2
#: Pixels between the tiles of a grid.
GAP = 8
#: A dream whose seed is not given is filmed from where so many frames, `EVERY_STEPS` apart, change the most.
OPENING_FRAMES = 10


def write_video(settings: VideoConfig, target: str, out: Path) -> None:
    """Shows the agent of ``target`` for ``settings.steps`` steps; an episode that ends is followed by the next seed's.

    Raises:
        UserError: there is nothing to show, or no such kind of file.
    """
    check_ending(out)
    record(load(target, finished=False), settings, out)


def record(agent: Agent, settings: VideoConfig, out: Path, one_episode: bool = False) -> None:
    """Records ``settings.steps`` steps, or until the first episode is over."""
    agent = agent.varied(settings.variant)
    seed, not_shown = _opening(agent, settings)
    every = GIF_EVERY_STEPS if out.suffix == ".gif" else 1
    progress = Progress("video", settings.steps, "steps")
    with contextlib.ExitStack() as opened:
        opened.enter_context(threads_for(1))
        sessions: list[Session] = []
        for i in range(settings.grid):
            play = PlayConfig(
                world=settings.world,
                player="agent",
                seed=seed + i,
                temperature=settings.temperature,
                dream_dropout=settings.dream_dropout,
                device=settings.device,
            )
            sessions.append(opened.enter_context(contextlib.closing(Session(agent, play))))
        while sessions[0].episode.steps < not_shown and not sessions[0].episode.over:
            sessions[0].step()
        panels = [Panels(session) for session in sessions]
        first = _tiled(panels, settings.grid)
        with encoding(out, (first.shape[1], first.shape[0]), agent.task.play.render_fps / every) as encoder:
            encoder.write(first)
            for step in range(1, settings.steps + 1):
                for session in sessions:
                    if session.episode.over:
                        session.restart(session.episode.seed + settings.grid)
                    session.step()
                if step % every == 0:
                    encoder.write(_tiled(panels, settings.grid))
                progress.update(step)
                if one_episode and sessions[0].episode.over:
                    break
    progress.finish(f"{out}")


def _opening(agent: Agent, settings: VideoConfig) -> tuple[int, int]:
    """Returns the first episode's seed and how many steps of it are played before the film begins: what is asked for, else 0,
    and of dreams the one that shows most, from where it does."""
    if settings.seed is not None:
        return settings.seed, 0
    if settings.world == "real" or not agent.can_dream:
        return 0, 0
    dream = most_eventful(agent, settings.temperature or agent.temperature)
    return dream.seed, dream.liveliest(OPENING_FRAMES) * EVERY_STEPS if settings.grid == 1 else 0


def _tiled(panels: list[Panels], grid: int) -> NDArray[np.uint8]:
    """Returns one session's panels, or of several only their worlds' own pictures, as square as can be, with gaps between."""
    if grid == 1:
        return to_array(panels[0].draw())
    tiles = [to_array(panel.draw_world()) for panel in panels]
    across = math.ceil(math.sqrt(grid))
    return in_rows([tiles[first : first + across] for first in range(0, grid, across)], across, GAP, TEXT)
