"""A shipped agent is made again by documented commands: they parse, they say what was recorded, and they run to the end."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools import make_again
from worldmodels.agent.target import SHIPPED
from worldmodels.cli import main
from worldmodels.config import RandomPolicyConfig
from worldmodels.envs.registry import get_task
from worldmodels.runs.run import VERBS, Run

ROOT = Path(__file__).parent.parent


FOLDERS = sorted(SHIPPED.iterdir())


def rounds_of(folder):
    return json.loads((folder / "training.json").read_text())["rounds"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_command_of_a_card_is_taken(folder, tmp_path, monkeypatch, capsys):
    """Each is parsed and checked as the program does it; a folder in place of its --json file stops it before it works."""
    monkeypatch.chdir(tmp_path)
    card = (folder / "MODEL_CARD.md").read_text()
    shown = [line.split()[1:] for line in card.splitlines() if line.startswith("worldmodels ")]
    rounds = rounds_of(folder)
    assert len(shown) == len(VERBS) * len(rounds) > 0
    for number, record in enumerate(rounds):
        config = record["config"]
        run = Path(f"runs/{folder.name}-shipped/round-{number}")
        preset = get_task(config["task"]).preset(config["scale"])
        previous = run.parent / f"round-{number - 1}" if number else None
        mine = [args for args in shown if args[args.index("--run") + 1] == str(run)]
        assert [args[0] for args in mine] == list(VERBS.values())
        for args in mine:
            if args[0] != "collect":
                Run.open_or_create(run, config["task"], config["scale"], config["seed"], preset, previous).save()
            assert main([*args, "--json", str(tmp_path)]) == 2
            assert f"{tmp_path}: " in capsys.readouterr().err, args


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_was_done_by_hand_has_a_stand_in(folder):
    for record in rounds_of(folder):
        assert bool(record.get("by_hand")) <= ("why" in record.get("again", {}))


def test_the_commands_make_runs_of_the_recorded_settings(tmp_path):
    """Two rounds at toy size, by the program itself: older records, a setting that has gone, a stage that was done by hand."""
    preset = get_task("toy-walls").preset("smoke")
    stages = {
        "collect": dataclasses.replace(preset.collect, num_episodes=8, random=RandomPolicyConfig(max_hold_steps=5)),
        "vae": dataclasses.replace(preset.vae, num_steps=6, validate_every_steps=3, quartic_weight=2.0),
        "encode": preset.encode,
        "rnn": dataclasses.replace(preset.rnn, num_steps=6, validate_every_steps=3),
        "controller": dataclasses.replace(preset.controller, num_generations=1, ppo_iterations=0),
    }
    second = {**stages, "collect": dataclasses.replace(stages["collect"], policy="agent", max_noise=0.25)}
    rounds = [
        {"config": {"task": "toy-walls", "scale": "smoke", "seed": seed, "stages": {k: v.to_dict() for k, v in asked.items()}}}
        for seed, asked in ((3, stages), (7, second))
    ]
    del rounds[0]["config"]["stages"]["encode"]["mirror_episodes"]  # a setting that came later
    rounds[1]["config"]["stages"]["controller"]["lookahead_rounds"] = 3
    with pytest.raises(ValueError, match="lookahead_rounds"):
        make_again.commands(rounds, tmp_path)
    rounds[1]["again"] = {"why": "looking ahead has gone", "controller": {"num_generations": 0, "ppo_iterations": 4}}

    assert make_again.make(rounds, tmp_path) == 0
    for number, asked in enumerate((stages, second)):
        run = Run.open(tmp_path / f"round-{number}")
        assert run.seed == (3, 7)[number]
        run.require("controller")
        for stage in ("collect", "vae", "encode", "rnn"):
            assert getattr(run.preset, stage).fingerprint_fields() == asked[stage].fingerprint_fields()
    assert (run.preset.controller.num_generations, run.preset.controller.ppo_iterations) == (0, 4)
    assert run.previous is not None
    assert run.previous.path.resolve() == (tmp_path / "round-0").resolve()


def test_an_unknown_task_is_named():
    done = subprocess.run(
        [sys.executable, "-m", "tools.make_again", "tak-cover"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert "take-cover" in done.stderr
    assert "Traceback" not in done.stderr
