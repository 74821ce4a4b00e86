"""Finds what a word on the command line means: a task's shipped agent, a model's folder, a run's folder, or rounds of runs."""

from __future__ import annotations

from pathlib import Path

from worldmodels.agent import hub
from worldmodels.base import files
from worldmodels.base.errors import UserError, did_you_mean, nearest
from worldmodels.envs import plugins
from worldmodels.envs.registry import is_task, tasks
from worldmodels.runs import task_file
from worldmodels.runs.env_task import EnvTask
from worldmodels.runs.layout import CONFIG, DONE, MODEL, VAE
from worldmodels.runs.run import Run, nearest_run

#: The agents that come with the package, a model's folder a task.
SHIPPED = Path(__file__).parent.parent / "shipped"


def target_path(target: str) -> Path:
    """Returns the path that ``target`` means, the same for every command.

    A task's name means the folder of the agent that is shipped for it, where there is one, the folder of `worldmodels iterate`
    the newest of its rounds that has a finished controller (the newest of all if none has), ``hf://user/repo`` what is loaded
    of the Hub (see `hub.downloaded` for the errors), anything else itself.

    Raises:
        UserError: there is no such path or shipped agent.
    """
    if hub.is_address(target):
        return hub.downloaded(target)
    found, path = tasks(), Path(target)
    if target in found and (SHIPPED / target).is_dir():
        return SHIPPED / target
    try:
        there = path.exists()
    except OSError as error:  # a name that no file system takes
        raise UserError(f"{target[:40]}…: cannot be looked for ({error.strerror}); give a run, a model or a task") from error
    if not there:
        if is_task(target):
            base, _, variant = target.rpartition(".")
            facts = task_file.known.get(target)
            named = f"--env {facts.env_id}" if isinstance(facts, EnvTask) else target
            mend = f"'worldmodels reproduce {named}' trains one"
            if base and (SHIPPED / base).is_dir():
                mend += f"; evaluate, play, watch and video take {base} with --variant {variant}"
            raise UserError(f"no agent is shipped for {target}; {mend}")
        if why := plugins.why_missing(target):
            raise UserError(why)
        files.check_folder(path.parent)
        near = did_you_mean(target, found) or nearest_run(path) or nearest(target, found)
        raise UserError(f"{target}: no such folder and no such task{near}; give a run, a model or a task")
    return path if (path / CONFIG).exists() else _newest_round(path) or path


def open_runs(target: str, needed: str) -> list[Run]:
    """Opens the run that ``target`` means, of the folder of `worldmodels iterate` every round. Raises what `open_run` does."""
    path = Path(target)
    rounds = [] if (path / CONFIG).exists() else _rounds(path)
    return [Run.open(found) for found in rounds] or [open_run(target, needed)]


def _rounds(path: Path) -> list[Path]:
    """Returns the rounds of `worldmodels iterate` in a folder, the oldest first."""
    found = [file.parent for file in path.glob("round-*/config.json") if file.parent.name[len("round-") :].isdecimal()]
    return sorted(found, key=lambda folder: int(folder.name[len("round-") :]))


def _newest_round(path: Path) -> Path | None:
    """Returns the newest finished round of `worldmodels iterate` in a folder, the newest if none is finished, or None."""
    rounds = _rounds(path)
    finished = [folder for folder in rounds if (folder / "controller" / DONE).exists()]
    return finished[-1] if finished else rounds[-1] if rounds else None


def pictures_folder(target: str, path: Path) -> Path:
    """Returns where pictures of ``target``, found at ``path``, go unless told otherwise: into a run or a model of the user's
    own; of what is shipped or on the Hub into a folder here."""
    if path.is_relative_to(SHIPPED) or hub.is_address(target):
        return Path(f"{target.rstrip('/').rsplit('/', 1)[-1]}-plots")
    return path / "plots"


def is_model(path: Path) -> bool:
    """Returns whether a path is the folder of a model alone, without the stages of a run."""
    return (path / VAE).exists()


def model_folder(target: str) -> Path:
    """Returns the model's folder that ``target`` means (see `target_path`).

    Raises:
        UserError: there is no such folder or shipped agent, or the run there has no finished controller.
    """
    path = target_path(target)
    if is_model(path):
        return path
    Run.open(path).require("controller")
    return path / MODEL


def open_run(target: str, needed: str) -> Run:
    """Opens the run that ``target`` means.

    Args:
        needed: what of a run is needed that a model alone does not have, in words.

    Raises:
        UserError: there is none, or it is a model alone.
    """
    path = target_path(target)
    if is_model(path):
        mend = f"'worldmodels reproduce {target if is_task(target) else 'TASK'}' makes one"
        raise UserError(f"{target}: a model alone; {needed} are a run's: {mend}")
    return Run.open(path)
