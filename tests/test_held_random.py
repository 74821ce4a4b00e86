"""The data's random policy: the original's, and what a bias and a spread per episode change."""

import numpy as np
import pytest

from worldmodels.cli import main
from worldmodels.config import RandomPolicyConfig
from worldmodels.envs.held_random import held_random_policy

NOTHING = np.zeros((64, 64, 3), np.uint8)


def actions(seed, steps=400, **settings):
    policy = held_random_policy(np.random.default_rng(seed), RandomPolicyConfig(**settings), 1)
    return np.array([float(policy(NOTHING)[0]) for _ in range(steps)])


def lengths_of_holds(found):
    changes = np.flatnonzero(np.diff(found)) + 1
    return np.diff([0, *changes])


def test_the_originals_policy():
    found = np.concatenate([actions(seed) for seed in range(20)])
    assert -1 <= found.min() < -0.98
    assert 0.98 < found.max() <= 1
    assert abs(found.mean()) < 0.05
    holds = lengths_of_holds(actions(0, 5_000))
    assert set(holds.tolist()) == set(range(1, 11))


def test_the_originals_holds():
    """Its `extract.py`, line by line: a new action where the frame's number is a multiple of the last number drawn."""
    rng, expected, repeat = np.random.default_rng(7), [], 1
    for frame in range(20_000):
        if frame % repeat == 0:
            action = float(np.float32(rng.uniform(-1, 1, 1)[0]))
            repeat = rng.integers(1, 11)
        expected.append(action)
    found = actions(7, 20_000, hold="remainder")
    assert found.tolist() == expected
    assert lengths_of_holds(found).mean() == pytest.approx(3.63, abs=0.15)
    assert lengths_of_holds(actions(7, 20_000)).mean() == pytest.approx(5.5, abs=0.15)


def test_a_bias_in_every_second_episode():
    means = np.array([actions(seed, bias_scale=1.2).mean() for seed in range(200)])
    assert 0.25 < (np.abs(means) > 0.3).mean() < 0.5  # |bias| > 0.3 in three quarters of the half that has one


def test_a_spread_lets_some_episodes_stand_still():
    """Stay is |action| < 1/3: hardly ever for a whole episode without a spread, now and then with one."""

    def share_that_stays(min_action_scale):
        found = [actions(seed, bias_scale=1.2, min_action_scale=min_action_scale, max_hold_steps=30) for seed in range(300)]
        return np.mean([(np.abs(episode) < 1 / 3).mean() > 0.95 for episode in found])

    assert share_that_stays(1.0) == 0
    assert 0.02 < share_that_stays(0.0) < 0.2


def test_an_impossible_spread_is_refused(tmp_path, capsys):
    assert main(["collect", "--run", str(tmp_path / "run"), "--min-action-scale", "2"]) == 2
    assert "min_action_scale is 2" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_actions(seed):
    settings = {"bias_scale": 1.2, "min_action_scale": 0.0}
    np.testing.assert_array_equal(actions(seed, **settings), actions(seed, **settings))
