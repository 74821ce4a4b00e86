"""Makes a shipped agent again from nothing: ``python -m tools.make_again TASK [--run FOLDER]``, or ``make shipped TASK=…``.

The commands are those of the agent's card. They come from the record of its rounds, ``training.json`` beside its weights:
every setting that is not the scale's preset of today is a flag. Where a round cannot be repeated (it was done by hand, or what
did it has gone), its entry "again" holds what stands in for it: {"why": words, stage: {setting: value}}. Finished stages are
passed over, so that the same call goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from worldmodels.agent.target import model_folder
from worldmodels.base import files
from worldmodels.base.errors import WorldModelsError
from worldmodels.cli import main as call
from worldmodels.config import Config
from worldmodels.envs.registry import get_task
from worldmodels.runs.run import VERBS


def flag(name: str, value: Any) -> list[str]:
    """Returns a setting as the command line takes it."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    return [f"--{dashed}", str(value)]


def settings_flags(preset: Config, recorded: dict[str, Any], again: dict[str, Any]) -> list[str]:
    """Returns the flags that turn a stage's preset into what was recorded, or into what stands in for it.

    A setting that the record lacks had its default value. Raises `ValueError` for a recorded one that has gone, unless
    ``again`` says what stands in for it.
    """
    recorded = preset.named_today(recorded, "the record")
    settings = {setting.name: setting for setting in preset.settings()}
    gone = [name for name, value in recorded.items() if value and name not in settings]
    if gone and not again:
        raise ValueError(f"the settings {', '.join(gone)} have gone; say under 'again' what stands in for them")
    flags = []
    for name, setting in settings.items():
        value = again.get(name, recorded.get(name, setting.default))
        if setting.marks.get("own") and not value:  # the task's own, which the preset says
            continue
        if value != setting.value and not setting.marks.get("runtime"):
            flags += flag(name, value)
    return flags


def commands(rounds: list[dict[str, Any]], folder: Path) -> list[list[str]]:
    """Returns the arguments of `worldmodels` that make all rounds, each in its own folder under ``folder``, in their order."""
    made = []
    for number, record in enumerate(rounds):
        config, again = record["config"], record.get("again", {})
        preset = get_task(config["task"]).preset(config["scale"])
        for stage, verb in VERBS.items():
            args = [verb, "--run", str(folder / f"round-{number}")]
            if stage == "collect":
                args += ["--task", config["task"], "--scale", config["scale"], "--seed", str(config["seed"])]
                args += ["--previous", str(folder / f"round-{number - 1}")] if number else []
            made.append(args + settings_flags(getattr(preset, stage), config["stages"][stage], again.get(stage, {})))
    return made


def describe(rounds: list[dict[str, Any]], task: str) -> list[str]:
    """Returns a card's lines about how its agent is made again."""
    folder = Path("runs") / f"{task}-shipped"
    why = [f"- Round {number}: {record['again']['why']}" for number, record in enumerate(rounds) if "again" in record]
    departures = ["What was not made by today's commands, and what stands in for it:", "", *why, ""] if why else []
    return [
        "## Made again",
        "",
        f"`make shipped TASK={task}` runs the commands below one after the other, and goes on where it was stopped.",
        "They are made from `training.json`; a setting that is not named is the scale's. The code has changed since, so",
        "they make an agent of the same kind, not the same bytes. Nobody has run them all again: its score is not known.",
        "",
        *departures,
        "```",
        *(shlex.join(["worldmodels", *args]) for args in commands(rounds, folder)),
        f"python -m tools.ship_model {folder / f'round-{len(rounds) - 1}'}",
        "```",
        "",
        "The last line scores the agent and puts it in this one's place; `make shipped` leaves that to you.",
        "",
    ]


def make(rounds: list[dict[str, Any]], folder: Path) -> int:
    """Runs the commands in turn; returns 0, or the exit code of the first that fails."""
    for args in commands(rounds, folder):
        print(shlex.join(["worldmodels", *args]), flush=True)
        if code := call(args):
            return code
    return 0


def main() -> int:
    """Makes the agent of a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("--run", type=Path, help="the folder of all rounds (default: runs/TASK-shipped)")
    parsed = parser.parse_args()
    try:
        record = files.read_json(model_folder(parsed.task) / "training.json")
    except WorldModelsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return make(record["rounds"], parsed.run or Path("runs") / f"{parsed.task}-shipped")


if __name__ == "__main__":
    sys.exit(main())
