"""What a word means is the same for every command: a task, a run, a model, or the folder of `worldmodels iterate`."""

import json
import shutil

import pytest

from worldmodels.agent.target import SHIPPED, target_path
from worldmodels.cli import main


@pytest.fixture(scope="module")
def rounds(toy_run, tmp_path_factory):
    """The folder of three rounds: the last one has only begun."""
    path = tmp_path_factory.mktemp("rounds")
    for name in ("round-2", "round-10"):
        shutil.copytree(toy_run, path / name)
    shutil.copytree(toy_run, path / "round-11", ignore=shutil.ignore_patterns("controller", "model"))
    return path


def test_the_newest_finished_round(rounds, toy_run, tmp_path):
    assert target_path(str(rounds)) == rounds / "round-10"
    assert target_path(str(rounds / "round-11")) == rounds / "round-11"
    assert target_path("take-cover") == SHIPPED / "take-cover"
    assert target_path(str(toy_run)) == toy_run
    shutil.copytree(rounds / "round-11", tmp_path / "round-0")
    assert target_path(str(tmp_path)) == tmp_path / "round-0"


COMMANDS = {
    "evaluate": ["--episodes", "2", "--num-workers", "1"],
    "video": ["--world", "dream", "--steps", "2", "--out", "x.gif"],
    "fidelity": ["--real-episodes", "2", "--dream-episodes", "2", "--num-workers", "1"],
    "inspect": [],
    "plot": [],
}


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("what", ["run", "rounds", "model"])
def test_every_command_takes_it(rounds, toy_run, tmp_path, monkeypatch, capsys, verb, what):
    monkeypatch.chdir(tmp_path)
    target = {"run": toy_run, "rounds": rounds, "model": toy_run / "model"}[what]
    code = main([verb, str(target), *COMMANDS[verb]])
    err = capsys.readouterr().err
    if (verb, what) == ("fidelity", "model"):
        assert code == 2
        assert err == (
            f"worldmodels: {target}: a model alone; the latents and the evolution that fidelity measures with are a run's: "
            f"'worldmodels reproduce TASK' makes one\n"
        )
    else:
        assert code == 0, err
    shutil.rmtree(toy_run / "plots", ignore_errors=True)
    shutil.rmtree(toy_run / "model" / "plots", ignore_errors=True)


def test_a_tasks_name_is_its_shipped_agent(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "car-racing", "--json", "facts.json"]) == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["kind"], facts["task"], facts["health"]) == ("model", "car-racing", [])
    capsys.readouterr()
    assert main(["plot", "car-racing"]) == 0
    said = capsys.readouterr()
    names = ["traversals.png", "traversals.svg", "summary.png", "summary.svg", "report.html"]
    assert said.out.split() == [f"car-racing-plots/{name}" for name in names]
    assert said.err.endswith("car-racing: a model alone: losses, curves and frames are a run's, and are not drawn\n")
    assert main(["fidelity", "car-racing"]) == 2
    assert "'worldmodels reproduce car-racing' makes one" in capsys.readouterr().err
    for verb, flags in (("inspect", []), ("plot", []), ("fidelity", []), ("video", ["--out", "x.mp4"]), ("evaluate", [])):
        assert main([verb, "toy", *flags]) == 2
        assert "no agent is shipped for toy" in capsys.readouterr().err


def test_a_folder_named_as_a_task_that_no_agent_is_shipped_for(toy_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for task in ("toy", "take-cover"):
        shutil.copytree(toy_run, tmp_path / task)
    assert str(target_path("toy")) == "toy"
    assert target_path("take-cover") == SHIPPED / "take-cover"


def test_where_it_dreams(toy_run, tmp_path, capsys):
    """The same dream wherever the command is told to dream; without a GPU, one is refused."""
    for device in ("cpu", "auto"):
        out = tmp_path / f"{device}.gif"
        assert main(["video", str(toy_run), "--world", "dream", "--steps", "3", "--out", str(out), "--device", device]) == 0
    for verb in ("play", "video", "fidelity"):
        assert main([verb, "--help"]) == 0
        assert "--device auto|cpu|cuda" in capsys.readouterr().out
