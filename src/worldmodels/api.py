"""The front door's verbs, which the command line calls too: `evaluate`, `collect`, `import_episodes` and `reproduce`.

Nothing here starts a game or imports torch before it is needed. Errors are `WorldModelsError`s, each one line that names the
thing and the mend: `UserError` (a wrong name, value or shape), `BadFileError` (a damaged file), `EnvironmentFailure` (a game or
a disk that failed).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldmodels.base.errors import UserError
from worldmodels.config import (
    BEST_RECIPE,
    Backend,
    CollectConfig,
    Device,
    EvaluateConfig,
    LogKind,
    World,
    check_seed,
    of_recipe,
)
from worldmodels.envs.registry import get_task, tasks
from worldmodels.envs.task import Task
from worldmodels.runtime.interrupt import loading

if TYPE_CHECKING:
    from worldmodels.agent.agent import Agent
    from worldmodels.policies.outsider import FramePolicy


def evaluate(
    policy: Agent | FramePolicy | str | Path | None,
    task: str | Path | Task | Agent | None = None,
    world: World = "real",
    episodes: int = 100,
    seed: int = 0,
    *,
    temperature: float = 0.0,
    dream_dropout: float = 0.0,
    fast: bool = False,
    variant: str = "",
    num_slots: int = EvaluateConfig.num_slots,
    device: Device = "auto",
    num_workers: int = 0,
    backend: Backend = "local",
    address: str = "",
    played: Path | None = None,
) -> dict[str, Any]:
    """Scores an agent, or anybody's policy, on held-out seeds: episode i has seed ``seed`` + i.

    Args:
        policy: an `Agent`, or what `load` takes; an object with ``predict(frame, state, episode_start, deterministic)``, which
            is Stable-Baselines3's convention; a function frame → action; or None: actions drawn uniformly from the action
            space. Frames are uint8 [64, 64, 3], actions float32 [A]; ``predict`` is told to be deterministic.
        task: what to play, by name; an agent knows its own. For None also what `load` takes, whose dream may be played.
        world: ``"real"``, or ``"dream"``: an agent's M, which anybody else's policy cannot play.
        episodes: how many, at least 1.
        seed: of the first episode; seeds below 2**30 are never used in training.
        temperature: of the dream, 0.01 to 10; 0 is the agent's own.
        dream_dropout: the share of M that is left out of the dream, 0 to 0.9, by one mask an episode.
        fast: play the environment that training uses, where it is a faster copy of the official one.
        variant: another look of the real environment, a key of the task's ``variants``, or ``"plain"``; empty: as
            it was learned.
        num_slots: dreams side by side; ``device``: where to dream.
        num_workers: processes that play the real environment for an agent, 0: one per CPU core; a script that uses more than
            one needs ``if __name__ == "__main__":``. ``backend`` and ``address`` say where they are (docs/cluster.md).
            Anybody else's policy plays in this process, one episode after the other.
        played: a file that keeps an agent's episodes, so that a call that is killed and made again goes on.

    Returns:
        The result that ``worldmodels evaluate --json`` writes: ``mean``, ``std`` and ``ci95`` of the returns, ``episodes`` with
        each one's ``seed``, ``return`` and ``length``, and what was played.

    Raises:
        UserError: a value out of range, no agent, no task, or a policy that is none, or an action of another shape or not
            finite.
        EnvironmentFailure: the game fails again and again.

    Example:
        >>> import numpy as np, worldmodels as wm
        >>> agent = wm.load("take-cover")
        >>> result = wm.evaluate(agent, world="dream", episodes=2, num_slots=2)
        >>> result["task"], result["num_episodes"], [episode["seed"] for episode in result["episodes"]]
        ('take-cover', 2, [0, 1])
        >>> idle = wm.evaluate(lambda frame: np.zeros(3, np.float32), task="car-racing", episodes=1, fast=True)
        >>> idle["agent"], idle["mean"] < 0
        ('policy', True)
    """
    given = {
        "world": world,
        "agent": "random" if policy is None else "trained",
        "episodes": episodes,
        "seed": seed,
        "temperature": temperature,
        "dream_dropout": dream_dropout,
        "fast": fast,
        "variant": variant,
        "num_slots": num_slots,
        "device": device,
        "num_workers": num_workers,
        "backend": backend,
        "address": address,
    }
    # A caller's values may be NumPy's, and of any type.
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    config = EvaluateConfig.from_dict(plain, "evaluate")
    with loading():
        from worldmodels.stages.evaluate import evaluate

    return evaluate(config, _chance(task, world) if policy is None else _player(policy, task), played)


def _chance(task: str | Path | Task | Agent | None, world: World) -> Any:
    """Returns where chance plays: a task, or the agent whose dream it is."""
    from worldmodels.agent.agent import Agent
    from worldmodels.agent.load import load, task_of

    if task is None:
        raise UserError("name the task that the random policy plays: task='car-racing'")
    if isinstance(task, (Agent, Task)):
        return task
    return load(task) if world == "dream" else task_of(task)


def _player(policy: Any, task: str | Path | Task | Agent | None) -> Any:
    """Returns who plays what, checked."""
    from worldmodels.agent.agent import Agent
    from worldmodels.agent.load import load, task_of
    from worldmodels.search.outsider import Outsider

    agent = load(policy) if isinstance(policy, (str, Path)) else policy
    asked = task.task if isinstance(task, Agent) else task if task is None or isinstance(task, Task) else task_of(task)
    if not isinstance(agent, Agent):
        if asked is None:
            raise UserError("name the task that the policy plays: task='car-racing'")
        return Outsider(asked, agent)
    if asked is not None and not _same_task(asked, agent.task):
        raise UserError(f"an agent of {agent.task.name} cannot play {asked.name}")
    return agent


def _same_task(asked: Task, own: Task) -> bool:
    """Returns whether an agent's task is the one that is asked for, however its frames are made."""
    return asked == own or (asked.name == own.name and asked.seeing(own.frames_name) == own)


def collect(
    task: str | Task,
    scale: str = "smoke",
    run: str | Path | None = None,
    seed: int = 0,
    *,
    recipe: str = BEST_RECIPE,
    previous: str | Path | None = None,
    settings: CollectConfig | None = None,
) -> dict[str, Any]:
    """Plays a random policy, or with ``previous`` that run's agent, and records episodes: a run's first stage.

    The same call again goes on where it was stopped. One process works in a run's folder at a time. A script that calls this
    needs ``if __name__ == "__main__":``, since worker processes play.

    Args:
        task: what to play: a name (`tasks`) or a registered task.
        scale: whose settings are used: ``"smoke"``, ``"laptop"`` or ``"paper"``.
        run: the run's folder; None: ``runs/TASK-SCALE``, or ``runs/TASK-SCALE-RECIPE``.
        seed: the run's, which all of its randomness derives from, 0 to 2**30 - 1.
        recipe: whose settings of the scale: ``"best"`` or ``"original"``.
        previous: a finished run to go on from.
        settings: in place of the scale's.

    Returns:
        ``stage``, ``run``, ``outputs`` (each part's SHA-256), ``num_episodes``, ``num_frames`` and ``mean_length``.

    Raises:
        UserError: a wrong name or value, or the folder holds another run or is in use.
        EnvironmentFailure: the game or the disk fails.

    Example:
        >>> import worldmodels as wm
        >>> found = wm.collect("toy", run="runs/mine")
        >>> found["stage"], found["num_episodes"]
        ('collect', 12)
    """
    spec = _registered(task)
    spec.preset(scale, recipe)
    with loading():
        from worldmodels.stages.pipeline import make_stage

    before = None if previous is None else Path(previous)
    return make_stage("collect", run_folder(run, spec.name, scale, recipe), spec.name, scale, seed, before, settings, recipe)


def import_episodes(
    source: str | Path,
    *,
    task: str | Task | None = None,
    run: str | Path,
    scale: str = "laptop",
    seed: int = 0,
    recipe: str = BEST_RECIPE,
) -> dict[str, Any]:
    """Takes recordings made elsewhere for a new run's episodes, in place of `collect`: docs/recordings.md says which are read.

    All are checked before anything is written. The same call again goes on where it was stopped. One process works in a run's
    folder at a time.

    Args:
        source: a Minari dataset (its folder, or its name in Minari's own folder), a folder of .npz files or one of them, or a
            folder of videos (.mp4, .gif) or one of them, each with its actions beside it (.csv, .npy), a row a frame.
        task: whose recordings they are, a name (`tasks`) or a registered task; None: a task of these recordings alone, which
            has a dream and no real environment.
        run: the run's folder.
        scale: whose settings the later stages use: ``"smoke"``, ``"laptop"`` or ``"paper"``.
        seed: the run's, which all of its randomness derives from, 0 to 2**30 - 1.
        recipe: whose settings of the scale: ``"best"`` or ``"original"``.

    Returns:
        ``stage``, ``run``, ``task``, ``outputs`` (each part's SHA-256), ``num_episodes``, ``num_frames`` and ``mean_length``.

    Raises:
        UserError: a wrong name or value, recordings of another task, or the folder holds another run or is in use.
        BadFileError: a recording is damaged, or its arrays do not fit: the file and the line or the step are named.
        EnvironmentFailure: the disk fails.

    Example:
        >>> import os, numpy as np, worldmodels as wm
        >>> os.makedirs("recorded")
        >>> for number in range(2):
        ...     frames, actions = np.zeros((9, 96, 96, 3), np.uint8), np.zeros((9, 1), np.float32)
        ...     np.savez(f"recorded/{number}.npz", obs=frames, action=actions)
        >>> found = wm.import_episodes("recorded", task="toy", run="runs/imported")
        >>> found["task"], found["num_episodes"], found["num_frames"]
        ('toy', 2, 18)
    """
    spec = None if task is None else _registered(task)
    with loading():
        from worldmodels.stages.import_episodes import import_source

    return import_source(str(source), Path(run), None if spec is None else spec.name, scale, seed, recipe)


def reproduce(
    task: str | Task,
    scale: str = "smoke",
    run: str | Path | None = None,
    seed: int = 0,
    *,
    recipe: str = BEST_RECIPE,
    device: Device = "auto",
    backend: Backend = "local",
    address: str = "",
    log: LogKind = "tensorboard",
) -> dict[str, Any]:
    """Makes the whole experiment: collects, trains V, encodes, trains M, evolves C, and scores it, with pictures and a video.

    It prints a table of the scores. The same call again goes on where it was stopped. One process works in a run's folder at a
    time. A script that calls this needs ``if __name__ == "__main__":``, since worker processes play.

    Args:
        task: what to learn: a name (`tasks`) or a registered task.
        scale: ``"smoke"`` (minutes), ``"laptop"`` (hours) or ``"paper"`` (a large machine).
        run: the run's folder; None: ``runs/TASK-SCALE``, or ``runs/TASK-SCALE-RECIPE``.
        seed: that all of the run's randomness derives from, 0 to 2**30 - 1.
        recipe: whose settings of the scale: ``"best"``, or ``"original"``, the paper's and its code's.
        device: where V, M and the dream compute; auto is the GPU if there is one.
        backend: who plays the real environment, ``"local"`` or ``"ray"``; ``address`` is the Ray cluster's.
        log: where the curves are shown meanwhile: ``"tensorboard"``, ``"wandb"`` or ``"trackio"``.

    Returns:
        ``task``, ``scale``, ``seed``, ``evaluations`` (each a result of `evaluate` without its episodes), ``files`` and
        ``seconds``: what ``evaluation/results.json`` holds.

    Raises:
        UserError: a wrong name or value, or the folder holds another run or is in use.
        EnvironmentFailure: the game or the disk fails.

    Example:
        >>> import contextlib, sys, worldmodels as wm
        >>> with contextlib.redirect_stdout(sys.stderr):  # it prints a table
        ...     summary = wm.reproduce("toy", run="runs/mine")
        >>> sorted(summary["evaluations"])
        ['dream', 'random', 'real']
        >>> wm.load("runs/mine").task.name
        'toy'
    """
    check_seed(seed)
    spec = _registered(task)
    spec.preset(scale, recipe)
    with loading():
        from worldmodels.envs.sizing import preset_of
        from worldmodels.experiments.reproduce import reproduce
        from worldmodels.models.precision import pick_device
        from worldmodels.runs.boards.board import check_board
        from worldmodels.runs.lock import RunLock
        from worldmodels.runs.run import Run

    pick_device(device)
    check_board(log)
    path = run_folder(run, spec.name, scale, recipe)
    with RunLock(path):
        found = Run.open_or_create(path, spec.name, scale, seed, preset_of(spec, scale, path, recipe), recipe=recipe)
        placed = found.preset.on(device=device, backend=backend, address=address, log=log)
        return reproduce(dataclasses.replace(found, preset=placed))


def _registered(task: str | Task) -> Task:
    """Returns a registered task. Raises `UserError` for one that is none."""
    found = get_task(task.name if isinstance(task, Task) else task)
    if isinstance(task, Task) and task not in (found, tasks()[task.name]):
        raise UserError(f"the task '{task.name}' is not the registered one of this name; give it another name and register it")
    return found


def run_folder(run: str | Path | None, task: str, scale: str, recipe: str) -> Path:
    """Returns the folder of a run: the one that is named, or the usual one."""
    return Path("runs") / f"{task}-{scale}{of_recipe(recipe)}" if run is None else Path(run)
