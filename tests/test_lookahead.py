"""Looking ahead in the dream: what is looked at, what is said of it, and what C is fitted to."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from conftest import random_world_model
from worldmodels.cli import main
from worldmodels.dream_env import DreamEnv
from worldmodels.envs.spec import get_task
from worldmodels.errors import UserError
from worldmodels.evolution import lookahead
from worldmodels.models.controller import num_parameters
from worldmodels.models.world_model import Moment


@pytest.fixture
def small(monkeypatch):
    """A look ahead of a second."""
    for name, value in {"NUM_STATES": 40, "NUM_EPISODES": 8, "NUM_SLOTS": 64, "NUM_STEPS": 10, "NUM_COMPONENTS": 8}.items():
        monkeypatch.setattr(lookahead, name, value)


def model_with_hits(log_odds=None):
    """A toy world model with a health, whose hits may have a constant chance."""
    spec = dataclasses.replace(get_task("toy"), hit_damages=(1.0,), controller_bias=False)
    model = dataclasses.replace(random_world_model(get_task("toy")), spec=spec)
    with torch.no_grad():
        model.rnn.weight_out[0] *= log_odds is None
        model.rnn.bias_out[0] = -3 if log_odds is None else log_odds
    return model


def a_solution(spec, seed=0):
    return torch.randn(num_parameters(spec, "zh"), generator=torch.Generator().manual_seed(seed))


def test_states_are_what_the_interrupted_controller_comes_to(small):
    model = model_with_hits()
    found = lookahead.visited(model, "zh", a_solution(model.spec), 1.0, 5)
    assert len(found.num_steps) == len(found.z) == len(found.health) <= 40
    assert (found.num_steps % lookahead.STRIDE == 0).all()
    assert (found.num_steps > 0).all()
    again = lookahead.visited(model, "zh", a_solution(model.spec), 1.0, 5)
    assert torch.equal(found.z, again.z)
    assert not torch.equal(found.z, lookahead.visited(model, "zh", a_solution(model.spec), 1.0, 6).z)


def test_a_constant_chance_is_summed_up_over_the_steps(small):
    model = model_with_hits(log_odds=math.log(0.2 / 0.8))
    moments = lookahead.visited(model, "zh", a_solution(model.spec), 1.0, 0)
    seen, risk = lookahead.look_ahead(model, "zh", a_solution(model.spec), 1.0, moments, 0)
    torch.testing.assert_close(risk, torch.full((len(seen), 2), 0.2 * 10), rtol=1e-2, atol=0)
    torch.testing.assert_close(seen, torch.cat([moments.z, moments.state.hidden], 1))


def test_plans_meet_the_same_dice_and_differ_in_what_they_do(small, monkeypatch):
    model = model_with_hits()
    moments = lookahead.visited(model, "zh", a_solution(model.spec), 1.0, 0)
    ask = (model, "zh", a_solution(model.spec), 1.0, moments, 0)
    risk = lookahead.look_ahead(*ask)[1]
    assert (risk[:, 0] != risk[:, 1]).any()
    monkeypatch.setattr(lookahead, "PLANS", (1.0, 1.0))
    same = lookahead.look_ahead(*ask)[1]
    assert torch.equal(same[:, 0], same[:, 1])
    torch.testing.assert_close(same[:, 1], risk[:, 1])


def test_how_many_threads_there_are_changes_nothing(small):
    model = model_with_hits()
    moments = lookahead.visited(model, "zh", a_solution(model.spec), 1.0, 0)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(lookahead.look_ahead(model, "zh", a_solution(model.spec), 1.0, moments, 0)[1])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_the_fit_finds_a_linear_rule():
    """Loud features that mean nothing, and a quiet one that decides which plan is the better one."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(28_672, 6, generator=generator) * torch.tensor([5.0, 3.0, 1.0, 1.0, 0.2, 0.1])
    better_right = seen[:, 4] / 0.2 - 0.5 * seen[:, 2]
    risk = torch.stack([1 + 0.1 * better_right, 1 - 0.1 * better_right], 1)
    start = torch.tensor([0.0, 0.1, 0.0, 0.0, 1.0, 0.0])
    solution = lookahead.fit(seen, risk, start, 0)
    said, before = seen @ solution, seen @ start

    def likeness(x):
        return torch.corrcoef(torch.stack([x, better_right]))[0, 1]

    assert likeness(before) < 0.6
    assert likeness(said) > 0.9
    assert float(said.square().mean().sqrt()) == pytest.approx(lookahead.LOUDNESS, rel=0.02)
    assert torch.equal(solution, lookahead.fit(seen, risk, start, 0))


def test_rounds_repeat(small):
    model = model_with_hits()
    start = np.zeros(num_parameters(model.spec, "zh"), np.float32)
    found = lookahead.look_ahead_start(model, "zh", start, 1.0, 2, 0)
    assert found.shape == start.shape
    assert np.isfinite(found).all()
    assert found.any()
    np.testing.assert_array_equal(found, lookahead.look_ahead_start(model, "zh", start, 1.0, 2, 0))
    assert (found != lookahead.look_ahead_start(model, "zh", start, 1.0, 2, 1)).any()


def test_a_task_without_two_ways_is_refused(toy_world_model):
    start = np.zeros(num_parameters(toy_world_model.spec, "zh"), np.float32)
    with pytest.raises(UserError, match="lookahead_rounds is 3"):
        lookahead.look_ahead_start(toy_world_model, "zh", start, 1.0, 3, 0)


def test_a_hidden_layer_is_refused():
    with pytest.raises(UserError, match="hidden layer"):
        lookahead.look_ahead_start(model_with_hits(), "z+hidden", np.zeros(9, np.float32), 1.0, 1, 0)


def test_the_command_says_so(toy_copy, capsys):
    for name in ("DONE", "STARTED", "history.jsonl", "scores.jsonl"):
        (toy_copy / "controller" / name).unlink()
    assert main(["train-controller", "--run", str(toy_copy), "--lookahead-rounds", "1"]) == 2
    assert "it is for tasks of one action and hits" in capsys.readouterr().err


def test_moments_are_cut_and_joined():
    world = DreamEnv(model_with_hits(), "zh", 5, 1.0)
    world.reset(seed=list(range(5)))
    world.step(np.zeros((5, 1), np.float32))
    whole = world.moment()
    parts = [whole.only(slice(0, 2)), whole.only(np.array([False, False, True, False, True])), whole.only(np.array([3]))]
    joined = Moment.joined(parts)
    order = [0, 1, 2, 4, 3]
    for name in ("z", "restart", "health"):
        assert torch.equal(getattr(joined, name), getattr(whole, name)[order])
    assert torch.equal(joined.state.cell, whole.state.cell[order])
    assert joined.num_steps.tolist() == whole.num_steps[order].tolist()
