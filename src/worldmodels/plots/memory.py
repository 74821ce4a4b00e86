"""M in pictures: its dreams beside what really came, and its error against the horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldmodels.data.latents import LatentStore
from worldmodels.data.run_data import split_run
from worldmodels.diagnostics.open_loop import HORIZON, WARM_UP_STEPS, long_enough, open_loop, open_loop_error
from worldmodels.models.world_model import WorldModel
from worldmodels.plots import style
from worldmodels.plots.vision import draw_strips
from worldmodels.runs.run import Run

#: Episodes whose frames are shown, and frames of each.
STRIP_EPISODES, STRIP_FRAMES = 3, 10


def _held_out(run: Run) -> tuple[LatentStore, list[int]]:
    """Returns the latents and the held-out episodes that are long enough to leave M alone in."""
    store = LatentStore(run.stage_path("encode"))
    _, held_out = split_run(run, store.num_episodes, run.preset.rnn.held_out_fraction)
    return store, long_enough(store, held_out, WARM_UP_STEPS, HORIZON)


def draw_open_loop(run: Run, world_model: WorldModel) -> Figure | None:
    """Draws what really came above what M dreamt, after it was told the first steps; None if no episode is long enough."""
    store, episodes = _held_out(run)
    if not episodes:
        return None
    predicted, real, _ = open_loop(world_model, store, episodes[:STRIP_EPISODES], WARM_UP_STEPS, HORIZON)
    steps = np.linspace(0, HORIZON - 1, STRIP_FRAMES).astype(int)
    strips = []
    for told, dreamt in zip(real[:, steps], predicted[:, steps], strict=True):
        strips.append((f"what came, through V: {steps[0] + 1} to {steps[-1] + 1} steps on", told))
        strips.append(("what M dreamt, left alone", dreamt))
    title = f"{style.called(run.task)}: M dreams on without looking, held-out episodes"
    return draw_strips(title, [(label, world_model.vae.decode_frames(z.contiguous()).numpy()) for label, z in strips])


def draw_open_loop_error(run: Run, world_model: WorldModel) -> Figure | None:
    """Draws M's error against the horizon; None if too few episodes are long enough."""
    store, episodes = _held_out(run)
    errors = open_loop_error(world_model, store, np.array(episodes, np.int64))
    if not errors["m"]:
        return None
    figure = style.figure(8, 5)
    draw_errors(figure.subplots(), errors)
    return figure


def draw_errors(axis: Axes, errors: Mapping[str, Sequence[float]]) -> None:
    """Draws errors against the horizon, M's first, then what knows nothing of the future."""
    kinds = {"m": ("M", "-"), "standing_still": ("standing still: the last frame seen", "--")}
    kinds["another_episode"] = ("another episode's frames", ":")
    for name, values in errors.items():
        label, line = kinds.get(name, (name.replace("_", " "), "-."))
        axis.plot(range(1, len(values) + 1), values, line, label=label)
    axis.set(xlabel="steps since M last saw a frame", ylabel="error of z (root mean square)", ylim=(0, None))
    axis.set_title("How far M's dream strays from what came")
    axis.legend()
