"""C: its size, the order of what it sees, and each slot with its own candidate's weights."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

from worldmodels.config import ControllerInputs
from worldmodels.envs.registry import get_task
from worldmodels.models.controller import (
    feature_size,
    features,
    layer_sizes,
    named_weights,
    num_parameters,
    sees_all,
    uses_memory,
    widened,
)
from worldmodels.models.controller_kernels import products
from worldmodels.models.mdn_rnn import RNNSizes
from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.worlds.rollout import EpisodeJob


@pytest.mark.parametrize(
    ("task", "inputs", "count"),
    [
        ("take-cover", "zch", 1_088),
        ("car-racing", "zh", 867),
        ("car-racing", "z", 99),
        ("car-racing", "z+hidden", 33 * 40 + 41 * 3),
        ("take-cover", "zch+hidden", 1_088 * 40 + 40),
        ("car-racing", "muh", 867),
        ("car-racing", "zch", 3 * (32 + 256 + 256) + 3),
    ],
)
def test_parameter_counts(task, inputs, count):
    assert own_parameters(get_task(task), inputs) == count


def test_features_come_in_the_order_of_their_name():
    mu, z = torch.zeros(2, 1), torch.full((2, 1), 1.0)
    hidden, cell = torch.full((2, 2), 2.0), torch.full((2, 2), 3.0)
    expected = {
        "z": [1],
        "zh": [1, 2, 2],
        "zch": [1, 3, 3, 2, 2],
        "mu": [0],
        "muh": [0, 2, 2],
    }
    expected |= {f"{inputs}+hidden": row for inputs, row in expected.items()}
    assert set(expected) == set(get_args(ControllerInputs))
    for inputs, row in expected.items():
        assert features(mu, z, hidden, cell, inputs).tolist() == [row] * 2


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("fewer", "more"), [("z", "zh"), ("z", "zch"), ("zh", "zch"), ("mu", "muh"), ("zh", "zh")])
def test_a_c_that_sees_more_acts_as_the_one_it_begins_with(fewer, more, bias):
    assert sees_all(more, fewer)
    sizes = RNNSizes(3, 2, 4)
    solution = torch.randn(num_parameters(sizes, fewer, bias))
    wide = widened(solution, sizes, bias, more, fewer)
    assert len(wide) == num_parameters(sizes, more, bias)
    seen = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 4), torch.randn(5, 4)

    def acts(inputs, weights):
        named = named_weights(sizes, inputs, bias, weights)
        return features(*seen, inputs) @ named["weight"].T + (named["bias"] if bias else 0)

    torch.testing.assert_close(acts(more, wide), acts(fewer, solution))


@pytest.mark.parametrize(
    ("inputs", "others"),
    [("z", "zh"), ("zh", "mu"), ("muh", "zh"), ("zh", "z+hidden"), ("z+hidden", "z"), ("zh+hidden", "z+hidden")],
)
def test_a_c_that_sees_something_else_does_not_fit(inputs, others):
    assert not sees_all(inputs, others)


def test_what_uses_memory():
    with_memory = {inputs for inputs in get_args(ControllerInputs) if uses_memory(inputs)}
    assert with_memory == {"zh", "zch", "muh", "zh+hidden", "zch+hidden", "muh+hidden"}


def test_car_racings_actions_are_the_originals():
    squash = get_task("car-racing").squash
    found = squash(np.array([[-1, -1, -1], [0.5, 0.2, 0.3], [1, 1, 1]], np.float32))
    np.testing.assert_allclose(found, [[-1, 0, 0], [0.5, 0.6, 0.3], [1, 1, 1]], rtol=1e-6)
    assert found.dtype == np.float32


def plain(row, solution, spec, inputs):
    """C as one writes it down, layer by layer."""
    start = 0
    for size_in, size_out in layer_sizes(own_sizes(spec), inputs):
        bias = np.zeros(size_out)
        if spec.controller_bias:
            bias = solution[start : start + size_out]
            start += size_out
        row = np.tanh(solution[start : start + size_in * size_out].reshape(size_out, size_in) @ row + bias)
        start += size_in * size_out
    assert start == len(solution)
    return spec.squash(row)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("population", [1, 5])
@pytest.mark.parametrize("inputs", ["zh", "z+hidden", "zh+hidden"])
def test_slots_act_as_a_plain_loop(bias, population, inputs):
    spec = dataclasses.replace(get_task("toy"), action_size=2, controller_bias=bias, squash=lambda actions: actions / 2)
    rng = np.random.default_rng(0)
    solutions = rng.normal(size=(population, own_parameters(spec, inputs)))
    policy = ControllerPolicy(spec, own_sizes(spec), inputs, torch.from_numpy(solutions))
    owner = rng.integers(population, size=6)
    jobs = [EpisodeJob(int(candidate), 0) for candidate in owner]
    policy.begin(np.ones(6, np.bool_), jobs)

    def check(owner):
        obs = rng.normal(size=(len(owner), feature_size(own_sizes(spec), inputs))).astype(np.float32)
        expected = [plain(row, solutions[candidate], spec, inputs) for row, candidate in zip(obs, owner, strict=True)]
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


def test_the_compiled_products_are_those_that_a_gpu_makes():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(7, 33, generator=generator), torch.randn(3, 2, 33, generator=generator)
    candidate = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    assert torch.equal(products(x, weight, candidate), x[:, None] * weight[candidate])


def test_slots_without_weights_are_refused():
    spec = get_task("toy")
    policy = ControllerPolicy(spec, own_sizes(spec), "zh", torch.zeros(2, own_parameters(spec, "zh")))
    obs = np.zeros((3, feature_size(own_sizes(spec), "zh")), np.float32)
    with pytest.raises(ValueError, match="of 0 slots"):
        policy.act(obs)
    with pytest.raises(ValueError, match="candidates 0 to 2 of 2"):
        policy.begin(np.ones(3, np.bool_), [EpisodeJob(candidate, 0) for candidate in range(3)])
