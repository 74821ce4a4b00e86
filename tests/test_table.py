"""The paper's tables: resumed, equal, and refused where they would mix."""

import dataclasses
import itertools
import json
import shutil
from typing import get_args

import pytest

from worldmodels.cli import main
from worldmodels.config import Optimizer
from worldmodels.envs.registry import get_task
from worldmodels.experiments import table


def without_times(result):
    return {**result, "seconds": 0, "rows": [{**row, "seconds": 0} for row in result["rows"]]}


@pytest.fixture(scope="module")
def temperatures(toy_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "temperature"
    assert main(["table", "temperature", "--model", str(toy_run), "--num-generations", "2", "--run", str(path)]) == 0
    return path


def test_every_temperature_gets_a_controller_of_its_own(temperatures):
    result = json.loads((temperatures / "table.json").read_text())
    assert [row["controller"]["temperature"] for row in result["rows"]] == [0.01, 0.1, 0.5, 1.0, 1.15, 1.3]
    solutions = {(temperatures / row["row"] / "model" / "controller.safetensors").read_bytes() for row in result["rows"]}
    assert len(solutions) > 1
    for row in result["rows"]:
        dream = json.loads((temperatures / row["row"] / "evaluation" / "dream.json").read_text())
        assert dream["temperature"] == row["controller"]["temperature"]
        assert dream["mean"] == row["dream"]["mean"]
    assert (temperatures / "table.png").stat().st_size > 5000
    assert "| τ 1.15 |" in (temperatures / "table.md").read_text()


def test_rows_are_evolved_along_every_weight(toy_run, tmp_path, monkeypatch):
    """A scale that searches along components has a table, too: a row has no episodes to take components from."""
    preset = get_task("toy").presets["laptop"]
    along = dataclasses.replace(preset, controller=dataclasses.replace(preset.controller, num_components=3, sigma=0.3))
    monkeypatch.setitem(get_task("toy").presets, "laptop", along)
    monkeypatch.setattr(table, "TEMPERATURES", (1.0,))
    path = tmp_path / "table"
    command = ["table", "temperature", "--model", str(toy_run), "--scale", "laptop", "--num-generations", "1"]
    assert main([*command, "--run", str(path)]) == 0
    for row in json.loads((path / "table.json").read_text())["rows"]:
        assert (row["controller"]["num_components"], row["controller"]["sigma"]) == (0, 0.1)


def test_a_table_goes_on_where_it_stopped(temperatures, toy_run, tmp_path):
    """Rows that are done stay as they are; one that was cut off, and one never begun, end with the same bytes."""
    path = shutil.copytree(temperatures, tmp_path / "table")
    whole = json.loads((path / "table.json").read_text())
    shutil.rmtree(path / "tau-1.30")
    cut = path / "tau-1.15"
    shutil.rmtree(cut / "model")
    shutil.rmtree(cut / "evaluation")
    (cut / "controller" / "DONE").unlink()
    history = (cut / "controller" / "history.jsonl").read_text().splitlines(keepends=True)
    (cut / "controller" / "history.jsonl").write_text("".join(history[:1]))
    (path / "table.json").unlink()
    assert main(["table", "temperature", "--model", str(toy_run), "--num-generations", "2", "--run", str(path)]) == 0
    assert without_times(json.loads((path / "table.json").read_text())) == without_times(whole)


def test_a_finished_table_is_left_as_it_is(temperatures, toy_run):
    def state():
        found = [path for path in temperatures.rglob("*") if path.is_file() and path.name != ".lock"]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    before = state()
    assert main(["table", "temperature", "--model", str(toy_run), "--num-generations", "2", "--run", str(temperatures)]) == 0
    assert state() == before


def test_the_ablation_shows_what_c_sees(toy_run, tmp_path, capsys):
    path = tmp_path / "ablation"
    asked = ["table", "ablation", "--model", str(toy_run), "--run", str(path), "--fast"]
    assert main([*asked, "--num-generations", "-1"]) == 2
    assert main([*asked, "--num-generations", "2"]) == 0
    rows = json.loads((path / "table.json").read_text())["rows"]
    assert [row["controller"]["inputs"] for row in rows] == ["z", "z+hidden", "zh"]
    assert [row["controller"]["num_generations"] for row in rows] == [2] * 3
    assert [row["parameters"] for row in rows] == [4 + 1, 40 * (4 + 1) + 40 + 1, 4 + 8 + 1]
    assert "random policy" in capsys.readouterr().out


def test_optimizers_are_compared_at_equal_steps(toy_run, tmp_path, capsys):
    path = tmp_path / "optimizers"
    asked = ["table", "optimizers", "--model", str(toy_run), "--run", str(path), "--fast"]
    assert main(asked) == 2
    assert "say how many with --max-steps" in capsys.readouterr().err
    assert not path.exists()
    assert main([*asked, "--max-steps", "1500"]) == 0
    rows = json.loads((path / "table.json").read_text())["rows"]
    assert [row["controller"]["optimizer"] for row in rows] == list(get_args(Optimizer))
    for row in rows:
        history = (path / row["row"] / "controller" / "history.jsonl").read_text().splitlines()
        *before, all_steps = itertools.accumulate(json.loads(line)["steps"] for line in history)
        assert all(steps < 1500 for steps in before)
        assert all_steps >= 1500
    assert "had played 1,500 steps" in (path / "table.md").read_text()


def test_another_models_rows_are_refused(temperatures, toy_copy, tmp_path, capsys):
    path = shutil.copytree(temperatures, tmp_path / "table")
    config = toy_copy / "model" / "config.json"
    model = json.loads(config.read_text())
    other = tmp_path / "other"
    assert main(["reproduce", "toy", "--seed", "1", "--run", str(other)]) == 0
    assert model["sha256"] != json.loads((other / "model" / "config.json").read_text())["sha256"]
    capsys.readouterr()
    assert main(["table", "temperature", "--model", str(other), "--num-generations", "2", "--run", str(path)]) == 2
    assert "made from other inputs (vae, rnn, initial_latents)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["table", "temprature"], "did you mean 'temperature'?"),
        (["table", "ablation", "--model", "take-cove"], "did you mean 'take-cover'?"),
        (["evaluate", "toy"], "no agent is shipped for toy; 'worldmodels reproduce toy' trains one"),
    ],
)
def test_a_misspelt_name_gets_one_line(args, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(args) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
