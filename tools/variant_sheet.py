"""Draws every look of CarRacing and TakeCover, the same instant of the same game: ``python -m tools.variant_sheet``.

Above is the picture for people, below what V sees of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tools import made_by
from worldmodels.base.types import Frame
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import Task
from worldmodels.plots import style
from worldmodels.plots.figures import save

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "results/variants.png"
#: The seed and the number of steps of each game, chosen so that there is something to be seen, and the action that is held.
SCENES = {"car-racing": (4, 70, (0.0, 0.06, 0.0)), "take-cover": (3, 75, (0.0,))}
COLUMNS = 4


def seen(task: Task, seed: int, num_steps: int, action: tuple[float, ...]) -> tuple[Frame, Frame]:
    """Returns the picture for people after so many steps, uint8 [rows, columns, 3], and V's frame, uint8 [64, 64, 3]."""
    env = task.make_env(render_mode="rgb_array")
    frame, _ = env.reset(seed=seed)
    for _ in range(num_steps):
        frame = env.step(np.array(action, np.float32))[0]
    picture = env.render()
    env.close()
    assert isinstance(picture, np.ndarray)
    return picture, frame


def main() -> None:
    """Writes the sheet."""
    looks = [(get_task(name), variant) for name in SCENES for variant in ("", *get_task(name).variants)]
    rows = -(-len(looks) // COLUMNS)
    figure = style.figure(3 * COLUMNS, 4.6 * rows)
    axes = figure.subplots(2 * rows, COLUMNS, gridspec_kw={"height_ratios": [2, 3] * rows})
    for axis in axes.flat:
        axis.set_axis_off()
    for index, (task, variant) in enumerate(looks):
        row, column = divmod(index, COLUMNS)
        picture, frame = seen(task.varied(variant), *SCENES[task.name])
        axes[2 * row, column].imshow(picture)
        axes[2 * row, column].set_title(f"{style.called(task.name)}: {variant or 'plain'}")
        axes[2 * row + 1, column].imshow(frame)
    save(figure, ROOT / PICTURE)
    made_by.record([PICTURE])


if __name__ == "__main__":
    main()
