"""The command line as a user types it: exit codes, one line for every mistake, and JSON that a program may read."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
from conftest import run_cli

from worldmodels.base.files import sha256_of
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.cli import main
from worldmodels.cli.commands import COMMANDS
from worldmodels.stages.evaluate import PlayedEpisodes


def fails(capsys, code, *args):
    """Runs a command that must fail with one line on stderr and nothing written; returns the line."""
    assert main([str(a) for a in args]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("worldmodels: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_no_command_shows_the_help(capsys):
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in COMMANDS)
    assert main(["--help"]) == 0


@pytest.mark.parametrize("verb", list(COMMANDS))
def test_every_command_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"worldmodels {verb}" in said
    # What only shows or draws has no result for a program to read.
    assert ("--json" in said) == (verb not in ("play", "watch", "video", "plot", "export", "completion"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["evalute", "x"], "there is no command 'evalute'; did you mean 'evaluate'?"),
        (["reproduce", "takecover"], "there is no task 'takecover'; did you mean 'take-cover'?"),
        (["reproduce", "toy", "--scale", "smok"], "no scale 'smok'; did you mean 'smoke'?"),
        (["reproduce", "toy", "--sed", "1"], "--seed"),
        (["reproduce", "toy", "--seed", "many"], "--seed"),
        (["reproduce"], "none is named"),
        (["collect", "--run", "new", "--task", "tyo"], "did you mean 'toy'?"),
        (["collect", "--run", "new", "--task", "toy", "--scale", "smokey"], "did you mean 'smoke'?"),
        (["collect", "--run", "new", "--task", "toy", "--num-episode", "3"], "--num-episodes"),
        (["collect", "--task", "toy"], "--run"),
        (["collect", "--run", "new", "--task", "toy", "--num-episodes", "0"], "num_episodes is 0; it must lie between 2"),
        (["collect", "--run", "new", "--task", "toy", "--num-workers", "-1"], "num_workers"),
        (["train-controller", "--run", "new", "--task", "toy", "--population-size", "1"], "population_size is 1"),
        (["evaluate", "new"], "new: no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, 2, *args)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--temperature", "0.001", "temperature is 0.001; it must lie between 0.01 and 10"),
        ("--temperature", "-1", "temperature is -1.0"),
        ("--temperature", "nan", "temperature is nan"),
        ("--episodes", "0", "episodes is 0"),
        ("--num-slots", "0", "num_slots is 0"),
        ("--seed", "-1", "seed is -1"),
        ("--world", "dreem", "dream"),
    ],
)
def test_a_senseless_evaluation_is_refused(toy_run, capsys, flag, value, message):
    assert message in fails(capsys, 2, "evaluate", toy_run, flag, value)


def test_as_a_program(tmp_path):
    """In a process of its own: the exit code, one line, no traceback, no files."""
    wrong = run_cli("reproduce", "toyy", cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr == "worldmodels: there is no task 'toyy'; did you mean 'toy'?\n"
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_without_unicode(tmp_path):
    wrong = run_cli("reproduce", cwd=tmp_path, env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert wrong.returncode == 2
    assert "---" not in wrong.stderr


def test_tasks_as_json(tmp_path, capsys):
    assert main(["tasks", "--json", str(tmp_path / "tasks.json")]) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "tasks.json").read_text())}
    assert rows["take-cover"]["scales"] == ["smoke", "laptop", "paper"]
    assert rows["take-cover"]["recipes"] == ["best", "original"]
    assert rows["toy"]["env"] == "worldmodels-toy/MovingDot-v0"
    assert "take-cover" in capsys.readouterr().out


def evaluate(path, tmp_path, *args):
    file = tmp_path / "result.json"
    assert main(["evaluate", str(path), "--json", str(file), "--episodes", "5", *args]) == 0
    return json.loads(file.read_text())


@pytest.mark.parametrize("world", ["real", "dream"])
def test_an_evaluation_says_what_was_measured(toy_run, tmp_path, world):
    result = evaluate(toy_run, tmp_path, "--world", world, "--seed", "70", "--temperature", "1.3")
    assert (result["task"], result["world"], result["num_episodes"]) == ("toy", world, 5)
    assert result["temperature"] == (1.3 if world == "dream" else None)
    assert result["env"]["id"].startswith("worldmodels-toy/MovingDot")
    assert {"torch", "gymnasium", "numpy", "vizdoom"} <= set(result["env"]["versions"])
    assert isinstance(result["env"]["settings"], dict)
    assert [e["seed"] for e in result["episodes"]] == [70, 71, 72, 73, 74]
    returns = [e["return"] for e in result["episodes"]]
    assert returns == [e["length"] for e in result["episodes"]]
    assert result["mean"] == pytest.approx(sum(returns) / 5)
    assert result["std"] == pytest.approx((sum((r - result["mean"]) ** 2 for r in returns) / 4) ** 0.5)
    half = 1.96 * result["std"] / 5**0.5
    assert result["ci95"] == pytest.approx([result["mean"] - half, result["mean"] + half], rel=1e-3)
    for part in ("vae", "rnn", "controller"):
        assert result["sha256"][part] == sha256_of(toy_run / "model" / f"{part}.safetensors")


@pytest.mark.parametrize("world", ["real", "dream"])
def test_a_run_and_its_model_score_the_same(toy_run, tmp_path, world):
    moved = Path(shutil.copytree(toy_run / "model", tmp_path / "un modèle à moi"))
    whole = evaluate(toy_run, tmp_path, "--world", world)
    assert evaluate(moved, tmp_path, "--world", world) == whole


@pytest.mark.parametrize("world", ["real", "dream"])
def test_a_killed_evaluation_goes_on(toy_run, tmp_path, world, monkeypatch, capsys):
    """With what was played kept beside the result: no episode is played twice, and the end is the unbroken one's."""
    whole = evaluate(toy_run, tmp_path / "whole", "--world", world)
    add, added = PlayedEpisodes.add, []

    def add_two(self, result):
        if len(added) == 2:
            raise KeyboardInterrupt
        add(self, result)
        added.append(result.job.seed)

    monkeypatch.setattr(PlayedEpisodes, "add", add_two)
    file = tmp_path / "result.json"
    assert main(["evaluate", str(toy_run), "--json", str(file), "--episodes", "5", "--world", world]) == 130
    assert "to go on: worldmodels evaluate" in capsys.readouterr().err
    kept = file.with_name("result.json.played.jsonl")
    with kept.open("a") as torn:
        torn.write('{"seed": 4, "ret')
    # Of another question, one that this seed's episode must not be taken from.
    other = {"seed": next(s for s in range(5) if s not in added), "return": -99.0, "length": 1, "question": "another"}
    kept.write_text(json.dumps(other) + "\n" + kept.read_text())
    monkeypatch.setattr(PlayedEpisodes, "add", lambda self, result: added.append(result.job.seed))
    assert evaluate(toy_run, tmp_path, "--world", world) == whole
    assert sorted(added) == [0, 1, 2, 3, 4]
    assert "goes on at 2 of 5 episodes" in capsys.readouterr().err
    assert not kept.exists()


def test_damaged_episodes_of_an_evaluation_are_named(toy_run, tmp_path, capsys):
    kept = tmp_path / "x.json.played.jsonl"
    kept.write_text('{"seed": 1, "return": "many", "length": 3}\n')
    assert "'return' is 'many' in row 1" in fails(capsys, 3, "evaluate", toy_run, "--json", tmp_path / "x.json")


def test_a_random_agent_needs_no_model(toy_run, tmp_path):
    result = evaluate(toy_run, tmp_path, "--agent", "random")
    assert result["sha256"] is None
    assert result["agent"] == "random"


def test_an_impossible_json_is_found_at_the_start(toy_run, capsys):
    assert "x.json" in fails(capsys, 2, "evaluate", toy_run, "--json", toy_run / "config.json" / "x.json")


def test_a_stages_changed_settings_are_refused(toy_copy, capsys):
    before = (toy_copy / "config.json").read_bytes()
    line = fails(capsys, 2, "train-rnn", "--run", toy_copy, "--num-steps", "31")
    assert "made with other settings" in line
    assert (toy_copy / "config.json").read_bytes() == before


def test_a_stages_changed_settings_are_named(toy_copy, capsys):
    assert "num_steps" in fails(capsys, 2, "train-rnn", "--run", toy_copy, "--num-steps", "31")


@pytest.mark.parametrize(("flag", "value"), [("--seed", "9"), ("--scale", "laptop")])
def test_another_run_in_the_same_folder_is_refused(toy_copy, capsys, flag, value):
    assert "use another --run" in fails(capsys, 2, "reproduce", "toy", "--run", toy_copy, flag, value)


def test_an_unfinished_run_names_the_command_that_is_missing(toy_copy, capsys):
    (toy_copy / "controller" / "DONE").unlink()
    assert "worldmodels train-controller --run" in fails(capsys, 2, "evaluate", toy_copy)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def claim(model, part):
    """Makes the model's configuration vouch for a part as it is now."""
    config = json.loads((model / "config.json").read_text())
    config["sha256"][part] = sha256_of(model / f"{part}.safetensors")
    (model / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("part", ["vae", "rnn", "controller", "initial_latents"])
def test_a_pickle_is_refused_and_does_not_run(toy_copy, tmp_path, capsys, part):
    canary = tmp_path / "canary"
    (toy_copy / "model" / f"{part}.safetensors").write_bytes(pickle.dumps(Canary(canary)))
    claim(toy_copy / "model", part)
    assert f"{part}.safetensors" in fails(capsys, 3, "evaluate", toy_copy)
    assert not canary.exists()


def test_damaged_weights_are_a_bad_file(toy_copy, capsys):
    path = toy_copy / "vae" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    shutil.rmtree(toy_copy / "latents")
    assert "vae/model.safetensors" in fails(capsys, 3, "encode", "--run", toy_copy)


def test_a_truncated_part_of_a_model_is_a_bad_file(toy_copy, capsys):
    path = toy_copy / "model" / "rnn.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "rnn.safetensors" in fails(capsys, 3, "evaluate", toy_copy)


def test_a_part_of_another_model_is_refused_by_its_hash(toy_copy, capsys):
    path = toy_copy / "model" / "rnn.safetensors"
    old = sha256_of(path)
    save_tensors(path, {name: tensor + 0.01 for name, tensor in load_tensors(path).items()})
    line = fails(capsys, 2, "evaluate", toy_copy)
    assert old[:12] in line
    assert sha256_of(path)[:12] in line


def test_a_model_of_another_shape_is_refused_with_both(toy_copy, capsys):
    path = toy_copy / "model" / "rnn.safetensors"
    tensors = load_tensors(path)
    tensors["bias"] = tensors["bias"][:-1].clone()
    save_tensors(path, tensors)
    claim(toy_copy / "model", "rnn")
    line = fails(capsys, 2, "evaluate", toy_copy)
    assert "(31,)" in line
    assert "(32,)" in line


def test_a_controller_that_is_no_number_is_refused(toy_copy, capsys):
    path = toy_copy / "model" / "controller.safetensors"
    save_tensors(path, {name: part + float("inf") for name, part in load_tensors(path).items()})
    claim(toy_copy / "model", "controller")
    assert "controller.safetensors" in fails(capsys, 3, "evaluate", toy_copy)
