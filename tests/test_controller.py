"""C: its size, the order of what it sees, and each slot with its own candidate's weights."""

import dataclasses

import numpy as np
import pytest
import torch

from worldmodels.envs.spec import get_task
from worldmodels.models.controller import ControllerPolicy, features, num_parameters
from worldmodels.rollout import EpisodeJob


def test_take_covers_controller_has_1088_parameters():
    assert num_parameters(get_task("take-cover")) == 1_088


def test_a_bias_adds_one_per_action():
    spec = dataclasses.replace(
        get_task("take-cover"), latent_size=32, hidden_size=256, action_size=3, controller_inputs="zh", controller_bias=True
    )
    assert num_parameters(spec) == 867  # CarRacing's


def test_features_come_in_the_order_of_their_name():
    z, hidden, cell = torch.full((2, 1), 1.0), torch.full((2, 2), 2.0), torch.full((2, 2), 3.0)
    assert features(z, hidden, cell, "zh").tolist() == [[1, 2, 2]] * 2
    assert features(z, hidden, cell, "zch").tolist() == [[1, 3, 3, 2, 2]] * 2


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("population", [1, 5])
def test_slots_act_as_a_plain_loop(bias, population):
    spec = dataclasses.replace(get_task("toy"), action_size=2, controller_bias=bias)
    rng = np.random.default_rng(0)
    solutions = rng.normal(size=(population, num_parameters(spec)))
    policy = ControllerPolicy(spec, torch.from_numpy(solutions))
    owner = rng.integers(population, size=6)
    jobs = [EpisodeJob(int(candidate), 0) for candidate in owner]
    policy.begin(np.ones(6, np.bool_), jobs)

    def check(owner):
        obs = rng.normal(size=(len(owner), spec.feature_size)).astype(np.float32)
        expected = []
        for row, candidate in zip(obs, owner, strict=True):
            solution = solutions[candidate]
            offset, matrix = (solution[:2], solution[2:]) if bias else (np.zeros(2), solution)
            expected.append(np.tanh(matrix.reshape(2, -1) @ row + offset))
        found = policy.act(obs)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    check(owner)
    # Two slots begin other candidates' episodes; the rest keep theirs.
    mask = np.array([0, 1, 0, 0, 1, 0], np.bool_)
    policy.begin(mask, [EpisodeJob(0, 0) if m else None for m in mask])
    owner[mask] = 0
    check(owner)
    keep = np.array([1, 0, 1, 1, 1, 0], np.bool_)
    policy.shrink(keep)
    check(owner[keep])
