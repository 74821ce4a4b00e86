"""A run and a model from before settings were grouped and sizes were settings, written by the code of that time."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

import worldmodels as wm
from worldmodels.cli import main
from worldmodels.models.sizes import own_sizes
from worldmodels.runs.run import VERBS

#: The toy task's. V's weights are zeros, so that the archive is small; checkpoints and pictures are left out.
ARCHIVE = Path(__file__).parent / "data" / "older_run.tar.xz"


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    path = tmp_path_factory.mktemp("older")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(path, filter="data")
    return path / "run"


def test_every_stage_is_seen_as_finished(older, capsys):
    files = {file: file.stat().st_mtime_ns for file in older.rglob("*") if file.is_file()}
    for verb in VERBS.values():
        assert main([verb, "--run", str(older)]) == 0, verb
    assert {file: file.stat().st_mtime_ns for file in files} == files
    assert main(["inspect", str(older)]) == 0
    assert "nothing wrong found" in capsys.readouterr().out


def test_it_is_reproduced_without_work(older, tmp_path):
    """Its weights and its scores stay as they are; the pictures, which are not in the archive, are drawn."""
    run = shutil.copytree(older, tmp_path / "run")
    assert main(["reproduce", "toy", "--run", str(run)]) == 0
    for name in ("vae/model", "rnn/model", "controller/best"):
        assert (run / f"{name}.safetensors").stat().st_mtime_ns == (older / f"{name}.safetensors").stat().st_mtime_ns
    for name in ("dream", "real", "random"):
        assert (run / "evaluation" / f"{name}.json").read_bytes() == (older / "evaluation" / f"{name}.json").read_bytes()
    assert (run / "evaluation" / "curve.png").exists()


@pytest.mark.parametrize("folder", ["", "model"])
def test_its_agent_scores_what_it_scored(older, folder):
    recorded = json.loads((older / "evaluation" / "dream.json").read_text())
    agent = wm.load(older / folder)
    assert agent.world_model.sizes == own_sizes(agent.task)
    found = wm.evaluate(agent, world="dream", episodes=recorded["num_episodes"], num_slots=3)
    assert found["episodes"] == recorded["episodes"]


def test_other_settings_are_refused_by_name(older, tmp_path, capsys):
    run = shutil.copytree(older, tmp_path / "run")
    for flags, said in (("--hidden-size 12", "hidden_size"), ("--learning-rate 0.5", "learning_rate")):
        assert main(["train-rnn", "--run", str(run), *flags.split()]) == 2
        assert said in capsys.readouterr().err
