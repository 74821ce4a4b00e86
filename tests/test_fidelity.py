"""The instrument that tells a true dream from a false one."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import follow_the_action, latent_store, random_world_model

from worldmodels.cli import main
from worldmodels.diagnostics.hits import hits_foreseen
from worldmodels.diagnostics.open_loop import HORIZON, WARM_UP_STEPS, open_loop_error
from worldmodels.diagnostics.statistics import rank_correlation
from worldmodels.envs.registry import get_task


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


def a_world_with_hits(tmp_path, logit_of, lengths, damage):
    """A store with these hits, and an M whose hidden state's first number follows the last action."""
    size = get_task("toy-walls").latent_size
    model = random_world_model(get_task("toy-walls"))
    follow_the_action(model, *logit_of)
    rng = np.random.default_rng(0)
    action = np.where(damage, 1.0, -1.0)[:, None] if logit_of[1] else rng.uniform(-1, 1, (len(damage), 1))
    return model, latent_store(tmp_path, lengths, size, action=action, damage=damage * 20.0)


def test_an_m_that_knows_every_hit_has_foreseen_all(tmp_path):
    lengths = np.array([40, 7, 60])
    damage = np.zeros(lengths.sum())
    damage[[3, 39, 46, 47, 90]] = 1  # first steps, last steps, and in the middle
    model, store = a_world_with_hits(tmp_path, (0.0, 9.0), lengths, damage)
    found = hits_foreseen(model, store, np.array([2, 0, 1]), 0)
    assert (found.num_steps, found.num_hits, found.hit_recall) == (107, 5, 1.0)
    assert found.expected_hits == pytest.approx(5, abs=0.1)
    assert found.entropy_explained > 0.99


def test_an_m_that_knows_the_rate_alone_explains_nothing(tmp_path):
    """Its chances add up over 13 steps in the middle of an episode, and over fewer at its ends."""
    lengths, rate = np.array([100, 100]), 0.05
    damage = np.zeros(200)
    damage[[0, 20, 30, 40, 99, 100, 105, 130, 140, 199]] = 1
    model, store = a_world_with_hits(tmp_path, (math.log(rate / (1 - rate)), 0.0), lengths, damage)
    found = hits_foreseen(model, store, np.arange(2), 0)
    assert found.expected_hits == pytest.approx(10, rel=1e-3)
    assert found.entropy_explained == pytest.approx(0, abs=1e-4)
    # 13 · 0.05 is enough; at the ends there are 7 steps, and 12 around step 5
    assert found.hit_recall == 0.6
    only_second = hits_foreseen(model, store, np.array([1]), 0)
    assert (only_second.num_hits, only_second.num_steps) == (5, 100)


def test_without_hits_there_is_nothing_to_foresee(tmp_path):
    model, store = a_world_with_hits(tmp_path, (-3.0, 0.0), np.array([9]), np.zeros(9))
    found = hits_foreseen(model, store, np.array([0]), 0)
    assert (found.num_hits, found.hit_recall, found.entropy_explained) == (0, None, None)
    assert found.expected_hits == pytest.approx(9 / (1 + math.exp(3)), rel=1e-3)
