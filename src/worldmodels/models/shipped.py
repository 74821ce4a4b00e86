"""Finds the model that a word on the command line means: a task's shipped agent, a model's folder or a run's folder."""

from __future__ import annotations

from pathlib import Path

from worldmodels.envs import plugins
from worldmodels.envs.spec import tasks
from worldmodels.errors import UserError, nearest
from worldmodels.run import Run

#: The agents that come with the package, a model's folder a task.
SHIPPED = Path(__file__).parent.parent / "shipped"


def model_folder(target: str) -> Path:
    """Returns the model's folder that ``target`` means; the name of a task means the agent shipped for it.

    Raises:
        UserError: there is no such folder or shipped agent, or the run there has no finished controller.
    """
    found = tasks()
    if target in found:
        folder = SHIPPED / target
        if not folder.is_dir():
            raise UserError(f"no agent is shipped for {target}; 'worldmodels reproduce {target}' trains one")
        return folder
    path = Path(target)
    if not path.exists():
        why = plugins.why_missing(target)
        raise UserError(
            why or f"{target}: no such folder and no such task{nearest(target, found)}; give a run, a model or a task"
        )
    if (path / "vae.safetensors").exists():
        return path
    Run.open(path).require("controller")
    return path / "model"
