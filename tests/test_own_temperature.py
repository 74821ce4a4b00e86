"""A dream is at the agent's own temperature, of its training or scoring, unless another is asked for; results say which."""

import json
import shutil
from pathlib import Path

import gymnasium as gym
import pytest

from worldmodels.agent.load import load, load_model
from worldmodels.agent.target import SHIPPED
from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.config import EvaluateConfig, FidelityConfig, PlayConfig, Preset, VideoConfig
from worldmodels.runs.run import Run
from worldmodels.stages import evaluate
from worldmodels.viewer.session import Session

ROOT = Path(__file__).parent.parent


def change(path, **changes):
    """Changes keys of a JSON file; None takes one away."""
    found = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


@pytest.fixture
def cold(toy_run, tmp_path):
    """A model whose own temperature is not the default of anything."""
    folder = Path(shutil.copytree(toy_run / "model", tmp_path / "cold"))
    change(folder / "config.json", temperature=0.7)
    return folder


def dreamt(target, path, *args):
    assert main(["evaluate", str(target), "--world", "dream", "--episodes", "6", "--json", str(path), *args]) == 0
    return json.loads(path.read_text())


def test_an_evaluation_in_the_dream(cold, tmp_path, capsys):
    own = dreamt(cold, tmp_path / "own.json")
    assert "toy, dream at τ 0.7, trained: " in capsys.readouterr().out
    assert (own["temperature"], own["own_temperature"]) == (0.7, 0.7)
    assert dreamt(cold, tmp_path / "same.json", "--temperature", "0.7") == own
    other = dreamt(cold, tmp_path / "other.json", "--temperature", "1.3")
    assert "toy, dream at τ 1.3 (the agent's own is 0.7), trained: " in capsys.readouterr().out
    assert (other["temperature"], other["own_temperature"]) == (1.3, 0.7)


def test_the_real_environment_has_none(toy_run, tmp_path, capsys):
    path = tmp_path / "real.json"
    assert main(["evaluate", str(toy_run), "--episodes", "2", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert result["temperature"] is result["own_temperature"] is None
    assert "τ" not in capsys.readouterr().out


def test_the_gymnasium_environment(cold):
    with gym.make("worldmodels-toy/MovingDotDream-v0", model=cold) as env:
        assert env.unwrapped.temperature == 0.7
    with gym.make("worldmodels-toy/MovingDotDream-v0", model=cold, temperature=1.3) as env:
        assert env.unwrapped.temperature == 1.3


def test_what_is_played_and_filmed(cold, toy_copy):
    change(toy_copy / "config.json", stages=with_controller(toy_copy, temperature=0.9))
    (toy_copy / "controller" / "DONE").unlink()  # half-trained: there is no model yet
    for target, own in ((cold, 0.7), (toy_copy, 0.9)):
        for asked, expected in ((0.0, own), (1.3, 1.3)):
            session = Session(load(target, finished=False), PlayConfig(world="dream", player="agent", temperature=asked))
            assert session.temperature == expected
            session.close()


def with_controller(run, **changes):
    """A run's stages with other settings of the controller."""
    stages = json.loads((run / "config.json").read_text())["stages"]
    return {**stages, "controller": stages["controller"] | changes}


def test_fidelity(toy_copy, tmp_path, capsys):
    change(toy_copy / "config.json", stages=with_controller(toy_copy, temperature=0.9))
    path = tmp_path / "fidelity.json"
    command = ["fidelity", str(toy_copy), "--real-episodes", "2", "--dream-episodes", "2", "--json", str(path)]
    for flags, found, said in (([], 0.9, "τ 0.9 beside"), (["--temperature", "2"], 2.0, "τ 2 (the agent's own is 0.9)")):
        assert main([*command, *flags]) == 0
        result = json.loads(path.read_text())
        assert (result["temperature"], result["own_temperature"]) == (found, 0.9)
        assert said in " ".join(capsys.readouterr().out.split())


def test_a_run_leaves_its_own_with_its_model(toy_run):
    assert load_model(toy_run / "model").temperature == Run.open(toy_run).preset.controller.temperature


def test_an_older_models_is_its_runs_or_its_tasks(toy_copy, tmp_path):
    change(toy_copy / "model" / "config.json", temperature=None)
    change(toy_copy / "config.json", stages=with_controller(toy_copy, temperature=0.9))
    assert load_model(toy_copy / "model").temperature == 0.9
    alone = Path(shutil.copytree(toy_copy / "model", tmp_path / "alone"))
    assert load_model(alone).temperature == 1.15


@pytest.mark.parametrize("wrong", ["warm", True, 0, 11, float("nan"), [1]])
def test_a_senseless_one_in_a_model_is_named(cold, wrong, capsys):
    change(cold / "config.json", temperature=wrong)
    assert main(["evaluate", str(cold), "--world", "dream"]) == 3
    assert f"{cold}/config.json: 'temperature' is {wrong!r}; expected a number from 0.01 to 10" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [EvaluateConfig, FidelityConfig, PlayConfig, VideoConfig])
def test_zero_stands_for_it_and_nothing_else_does(kind):
    assert kind().temperature == 0
    kind().validate()
    for wrong in (0.001, -1.0, 11.0, float("nan")):
        with pytest.raises(UserError, match=r"^temperature is .*; it must lie between 0\.01 and 10"):
            kind(temperature=wrong).validate()


@pytest.mark.parametrize("folder", sorted(SHIPPED.iterdir()), ids=lambda folder: folder.name)
def test_a_shipped_agents_is_that_of_its_card(folder):
    model, scores = load_model(folder), json.loads((folder / "evaluation.json").read_text())
    assert model.temperature == scores["dream"]["temperature"]
    assert f"in its dream, τ {model.temperature:g} |" in (folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("results/*/*/config.json")), ids=lambda path: f"{path.parent}")
def test_older_runs_can_be_read(path):
    stages = json.loads(path.read_text())["stages"]
    assert Preset.from_dict(stages, str(path)).evaluate.temperature == stages["evaluate"]["temperature"]


@pytest.mark.parametrize("temperature", [1.15, 0.0])
@pytest.mark.parametrize(("name", "changes"), [("random", {"agent": "random"}), ("real", {}), ("dream", {"world": "dream"})])
def test_what_older_runs_have_scored_is_not_played_again(toy_copy, name, changes, temperature):
    """Their evaluation's settings name 1.15, also for the real environment; those of a table's rows are today's."""
    path = toy_copy / "evaluation" / f"{name}.json"
    older = json.loads(path.read_text())
    older["asked"]["config"]["temperature"] = 1.15
    files.write_json(path, older | {"mean": -99.0})
    run = Run.open(toy_copy)
    fields = {**run.preset.evaluate.to_dict(), **changes, "temperature": temperature}
    assert evaluate.run(EvaluateConfig(**fields), run, name)["mean"] == -99.0
    if name == "dream":
        assert evaluate.run(EvaluateConfig(**{**fields, "temperature": 2.0}), run, name)["mean"] != -99.0
