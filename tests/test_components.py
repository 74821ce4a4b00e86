"""The search's coordinates: principal components of what C sees."""

import numpy as np
import pytest
import torch
from conftest import latent_store, random_world_model

from worldmodels.base.errors import UserError
from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.envs.registry import get_task
from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.search.cma_es import CMAES
from worldmodels.search.components import principal_components, recorded_features, scaled_components
from worldmodels.worlds.rollout import EpisodeJob


def outputs(spec, inputs, solutions, seen):
    """What a linear C says before its tanh, by its own arithmetic: features [steps, F] → [P, steps, O]."""
    found = []
    for solution in solutions:
        policy = ControllerPolicy(spec, own_sizes(spec), inputs, torch.from_numpy(solution)[None])
        policy.begin(np.ones(len(seen), np.bool_), [EpisodeJob(0, 0)] * len(seen))
        found.append(np.arctanh(policy.act(torch.from_numpy(seen).float()).astype(np.float64)))
    return np.stack(found)


@pytest.mark.parametrize(("task", "inputs"), [("toy", "zh"), ("car-racing", "zh"), ("take-cover", "zch")])
def test_one_coordinate_changes_every_output_alike(task, inputs):
    """Each coordinate by itself moves one output by 1 (root mean square), wherever its features are loud or not."""
    spec = get_task(task)
    rng = np.random.default_rng(0)
    size = own_parameters(spec, inputs) // spec.action_size - int(spec.controller_bias)
    seen = rng.normal(size=(400, size)) * np.geomspace(0.05, 2, size) + 0.1
    basis = principal_components(random_world_model(spec), inputs, seen, 6)
    assert basis.shape == (own_parameters(spec, inputs), 6 * spec.action_size)
    if task == "toy":  # its actions are C's outputs themselves
        said = outputs(spec, inputs, 0.1 * basis.T, seen) / 0.1
        np.testing.assert_allclose(np.sqrt(np.square(said).mean((1, 2))), 1, rtol=0.02)
        np.testing.assert_allclose(said[0, :, 0] @ said[1, :, 0] / len(seen), 0, atol=0.02)


def test_a_search_goes_on_from_the_nearest_start():
    basis = np.random.default_rng(0).normal(size=(20, 4))
    start = basis @ [1.0, -2.0, 0.5, 0.0]
    search = CMAES(start, 0.1, 8, 0, basis)
    np.testing.assert_allclose(search.mean, start, atol=1e-9)
    # With next to no step, candidates are the centre in the coordinates.
    np.testing.assert_allclose(CMAES(start, 1e-12, 8, 0, basis).ask(), np.tile(start, (8, 1)), atol=1e-9)
    assert search.ask().shape == (8, 20)
    for candidate in search.ask():
        assert np.linalg.matrix_rank(np.column_stack([basis, candidate])) == 4


def test_a_hidden_layer_is_refused_and_there_are_no_more_than_there_are():
    spec, seen = get_task("car-racing"), np.random.default_rng(0).normal(size=(50, 32))
    with pytest.raises(UserError, match="hidden layer"):
        principal_components(random_world_model(spec), "z+hidden", seen, 4)
    parameters, found = principal_components(random_world_model(spec), "z", seen, 40).shape
    assert parameters == found == 33 * spec.action_size  # 32 latents and a bias that is always 1


def test_recorded_features_are_what_the_model_saw(toy_world_model, tmp_path):
    """Of a V that is certain (logvar is low) and episodes of different lengths."""
    rng, lengths = np.random.default_rng(0), np.array([3, 9, 6])
    total, size = int(lengths.sum()), toy_world_model.spec.latent_size
    store = latent_store(
        tmp_path,
        lengths,
        size,
        mu=rng.normal(size=(total, size)),
        logvar=np.full((total, size), -60.0),
        action=rng.uniform(-1, 1, (total, 1)),
    )
    seen = recorded_features(toy_world_model, "zh", store, 0)
    rnn, expected = toy_world_model.rnn, []
    for first, length in zip(store.offsets, lengths, strict=False):
        z = torch.from_numpy(store.mu[first : first + length].astype(np.float32))[None]
        action = torch.from_numpy(store.action[first : first + length].copy())[None]
        restart = torch.arange(length)[None] == 0
        hidden, _ = rnn(rnn.inputs(z, action, restart), rnn.initial_state(1))
        before = torch.cat([torch.zeros(1, 1, hidden.shape[2]), hidden[:, :-1]], 1)
        expected += [torch.cat([z, before], 2)[0, step] for step in range(0, length, 5)]
    order = np.lexsort(seen.T)
    expected = torch.stack(expected).detach().double().numpy()
    np.testing.assert_allclose(seen[order], expected[np.lexsort(expected.T)], atol=1e-4)


def test_the_coordinates_are_kept_with_the_run(toy_copy):
    for name in ("DONE", "STARTED", "history.jsonl", "scores.jsonl"):
        (toy_copy / "controller" / name).unlink()
    options = ["train-controller", "--run", str(toy_copy), "--num-components", "5", "--num-generations"]
    assert main([*options, "4"]) == 0
    basis = load_tensors(toy_copy / "controller" / "components.safetensors")["basis"]
    assert basis.shape[1] == 5
    solution = load_tensors(toy_copy / "controller" / "best.safetensors")["solution"].double().numpy()
    residual = solution - basis.numpy() @ np.linalg.lstsq(basis.numpy(), solution)[0]
    assert np.abs(residual).max() < 1e-6


def test_before_the_first_generation_the_start_is_what_it_was():
    """Also where no coordinates reach it: what is kept may be the start itself."""
    basis, start = np.eye(6)[:, :2], np.arange(6.0)
    search = CMAES(start, 0.1, 8, 0, basis)
    np.testing.assert_array_equal(search.mean, start)
    search.ask()
    search.tell(np.arange(8.0))
    np.testing.assert_array_equal(search.mean[2:], 0)


def test_directions_that_nothing_was_seen_in_are_left_out():
    """Ten states of thirty features hold ten components; the others are rounding, which scaling would make enormous."""
    seen = np.random.default_rng(0).normal(size=(10, 30)).astype(np.float32).astype(np.float64)
    basis = scaled_components(seen, 30)
    assert basis.shape == (30, 10)
    assert np.abs(basis).max() < 10
