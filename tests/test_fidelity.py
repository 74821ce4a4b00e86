"""The instrument that tells a true dream from a false one."""

import json

import numpy as np
import pytest
import torch

from conftest import latent_store
from worldmodels.cli import main
from worldmodels.envs.spec import get_task
from worldmodels.open_loop import HORIZON, WARM_UP_STEPS, open_loop_error
from worldmodels.stages.fidelity import rank_correlation


def test_rank_correlation_is_spearmans():
    assert rank_correlation([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert rank_correlation([1, 1, 2], [5, 5, 9]) == pytest.approx(1)  # ties


def test_a_finished_run_is_measured(toy_copy, tmp_path, capsys):
    path = tmp_path / "fidelity.json"
    command = ["fidelity", str(toy_copy), "--real-episodes", "6", "--dream-episodes", "8", "--json", str(path)]
    assert main(command) == 0
    first = path.read_bytes()
    result = json.loads(first)
    names = [row["policy"] for row in result["policies"]]
    assert names[:3] == ["stay", "always left", "held random"]
    assert any("early (generation 1)" in name for name in names)
    assert names[-1] == "C, kept"
    assert -1 <= result["rank_correlation"] <= 1
    # A dot that is pushed to the left all the time leaves the screen sooner than one that is left alone.
    real = {row["policy"]: row["real"]["mean"] for row in result["policies"]}
    assert real["always left"] < real["stay"]
    assert (toy_copy / "evaluation" / "fidelity.png").stat().st_size > 5000
    assert "rank correlation" in capsys.readouterr().out
    assert main(command) == 0
    assert path.read_bytes() == first


def test_an_unfinished_run_is_refused(tmp_path, capsys):
    assert main(["fidelity", str(tmp_path)]) == 2
    assert "no run is here" in capsys.readouterr().err


def test_open_loop_error_of_a_known_world(toy_world_model, tmp_path):
    """In a world that stands still, standing still is right at every horizon, and an untrained M is not."""
    lengths = np.full(3, WARM_UP_STEPS + HORIZON + 1)
    size = get_task("toy").latent_size
    store = latent_store(tmp_path, lengths, size, mu=np.repeat(np.arange(3.0), lengths)[:, None] * np.ones(size))
    errors = open_loop_error(toy_world_model, store, np.arange(3))
    assert errors["standing_still"] == [0.0] * HORIZON
    # Rolled by one: the episodes' constants 0, 1, 2 against 2, 0, 1.
    assert errors["another_episode"] == pytest.approx([float(torch.tensor([4.0, 1, 1]).mean().sqrt())] * HORIZON)
    assert min(errors["m"]) > 0
