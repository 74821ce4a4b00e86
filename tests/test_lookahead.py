"""Looking ahead in the dream: what is looked at, what is said of it, and what C is fitted to."""

import math

import numpy as np
import pytest
import torch

from conftest import latent_store, random_world_model
from worldmodels.checkpoint import save_tensors
from worldmodels.cli import main
from worldmodels.dream_env import DreamEnv
from worldmodels.envs.spec import get_task
from worldmodels.errors import UserError
from worldmodels.evolution import lookahead
from worldmodels.evolution.lookahead import Lookahead
from worldmodels.models.controller import num_parameters
from worldmodels.models.world_model import Moment


@pytest.fixture
def small(monkeypatch):
    """A look ahead of a second."""
    sizes = {"BLOCK_STATES": 16, "NUM_EPISODES": 8, "NUM_SLOTS": 8, "NUM_STEPS": 10, "NUM_COMPONENTS": 8}
    for name, value in sizes.items():
        monkeypatch.setattr(lookahead, name, value)


def model_with_hits(log_odds=None):
    """A toy world model with a health, whose hits may have a constant chance."""
    model = random_world_model(get_task("toy-walls"))
    with torch.no_grad():
        model.rnn.weight_out[0] *= log_odds is None
        model.rnn.bias_out[0] = -3 if log_odds is None else log_odds
    return model


@pytest.fixture
def store(tmp_path):
    rng, lengths = np.random.default_rng(0), np.array([30, 50, 14, 40])
    total, size = int(lengths.sum()), get_task("toy-walls").latent_size
    mu, action = rng.normal(size=(total, size)), rng.uniform(-1, 1, (total, 1))
    return latent_store(tmp_path, lengths, size, mu=mu, action=action, logvar=np.full((total, size), -60.0))


def a_look(model, store, num_newest=4):
    solution = torch.randn(num_parameters(model.spec, "zh"), generator=torch.Generator().manual_seed(0))
    return Lookahead(model, "zh", solution, 1.0, store, num_newest)


def test_dreamt_states_are_what_the_interrupted_controller_comes_to(small, store):
    look = a_look(model_with_hits(), store)
    found = look.dreamt_states(12, 5)
    assert 0 < len(found.num_steps) == len(found.z) == len(found.health) <= 12
    assert (found.num_steps % lookahead.STRIDE == 0).all()
    assert (found.num_steps > 0).all()
    assert torch.equal(found.z, look.dreamt_states(12, 5).z)
    assert not torch.equal(found.z, look.dreamt_states(12, 6).z)


def test_recorded_states_are_episodes_that_m_follows(small, store):
    """V is certain, so z is the recorded mu, and the hidden state is that of M's own pass over the episode."""
    look = a_look(model_with_hits(), store)
    found = look.recorded_states(10, 3)
    rnn = look.world_model.rnn
    assert 0 < len(found.num_steps) <= 10
    for z, hidden, step in zip(found.z.numpy(), found.state.hidden, found.num_steps, strict=True):
        (at,) = np.flatnonzero((np.abs(store.mu - z) < 1e-3).all(1))
        episode = int(np.searchsorted(store.offsets, at, "right")) - 1
        first = int(store.offsets[episode])
        assert at - first == step
        if step:
            before = torch.from_numpy(store.mu[first:at].astype(np.float32))[None]
            action = torch.from_numpy(store.action[first:at].copy())[None]
            expected, _ = rnn(rnn.inputs(before, action, torch.arange(step)[None] == 0), rnn.initial_state(1))
            torch.testing.assert_close(hidden, expected[0, -1], atol=1e-4, rtol=0)


def test_only_the_newest_episodes_are_looked_at(small, store):
    """The last of the four is 40 steps long; z is its mu."""
    found = a_look(model_with_hits(), store, num_newest=1).recorded_states(10, 0)
    first = int(store.offsets[3])
    np.testing.assert_allclose(found.z, store.mu[first + found.num_steps].astype(np.float32), atol=1e-6)


def test_a_constant_chance_is_summed_up_over_the_steps(small, store):
    look = a_look(model_with_hits(log_odds=math.log(0.2 / 0.8)), store)
    moments = look.dreamt_states(12, 0)
    seen, risk = look.look_ahead(moments, 0)
    torch.testing.assert_close(risk, torch.full((len(seen), 2), 0.2 * 10), rtol=1e-2, atol=0)
    torch.testing.assert_close(seen, torch.cat([moments.z, moments.state.hidden], 1).half())


def test_plans_meet_the_same_dice_and_differ_in_what_they_do(small, store, monkeypatch):
    look = a_look(model_with_hits(), store)
    moments = look.dreamt_states(12, 0)
    risk = look.look_ahead(moments, 0)[1]
    assert (risk[:, 0] != risk[:, 1]).any()
    monkeypatch.setattr(lookahead, "PLANS", (1.0, 1.0))
    same = look.look_ahead(moments, 0)[1]
    assert torch.equal(same[:, 0], same[:, 1])
    torch.testing.assert_close(same[:, 1], risk[:, 1])


def test_how_many_threads_there_are_changes_nothing(small, store):
    look = a_look(model_with_hits(), store)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(look.labels(40, 0))
    finally:
        torch.set_num_threads(before)
    for seen, risk in found[1:]:
        assert torch.equal(seen, found[0][0])
        assert torch.equal(risk, found[0][1])


def test_the_fit_finds_a_linear_rule():
    """Loud features that mean nothing, and a quiet one that decides which plan is the better one."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(28_672, 6, generator=generator) * torch.tensor([5.0, 3.0, 1.0, 1.0, 0.2, 0.1])
    better_right = seen[:, 4] / 0.2 - 0.5 * seen[:, 2]
    risk = torch.stack([1 + 0.1 * better_right, 1 - 0.1 * better_right], 1)
    solution = lookahead.fit(seen.half(), risk, 0)
    said = seen @ solution
    assert torch.corrcoef(torch.stack([said, better_right]))[0, 1] > 0.95
    assert float(said.square().mean().sqrt()) == pytest.approx(lookahead.LOUDNESS, rel=0.02)
    assert torch.equal(solution, lookahead.fit(seen.half(), risk, 0))


def test_a_killed_look_ahead_goes_on_with_its_round(walls_copy):
    """What the first round led to is kept; the second is looked ahead again, and all that follows is the same."""
    folder = walls_copy / "controller"
    expected = {name: (folder / name).read_bytes() for name in ("lookahead-2.safetensors", "best.safetensors")}
    for name in ("DONE", "history.jsonl", "scores.jsonl", *expected):
        (folder / name).unlink()
    first = (folder / "lookahead-1.safetensors").stat().st_mtime_ns
    assert main(["reproduce", "toy-walls", "--scale", "smoke", "--run", str(walls_copy)]) == 0
    assert (folder / "lookahead-1.safetensors").stat().st_mtime_ns == first
    assert {name: (folder / name).read_bytes() for name in expected} == expected


def test_fidelity_looks_at_every_round(walls_copy, capsys):
    assert main(["fidelity", str(walls_copy), "--real-episodes", "2", "--dream-episodes", "4"]) == 0
    assert "C, round 2 of looking ahead" in capsys.readouterr().out


def test_a_damaged_round_is_refused(walls_copy, capsys):
    folder = walls_copy / "controller"
    (folder / "DONE").unlink()
    save_tensors(folder / "lookahead-2.safetensors", {"solution": torch.zeros(3)})
    assert main(["reproduce", "toy-walls", "--scale", "smoke", "--run", str(walls_copy)]) == 3
    assert "not a controller of" in capsys.readouterr().err


def test_a_task_without_two_ways_is_refused(toy_world_model):
    with pytest.raises(UserError, match="lookahead_rounds is 3; it is for tasks of one action and hits"):
        lookahead.check_lookahead(toy_world_model.spec, "zh", 3)


def test_a_hidden_layer_is_refused():
    with pytest.raises(UserError, match="hidden layer"):
        lookahead.check_lookahead(model_with_hits().spec, "z+hidden", 1)


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


def test_dreams_that_end_at_once_are_named(small, store):
    look = a_look(model_with_hits(log_odds=50.0), store)
    with pytest.raises(UserError, match="all of 8 dreams end within 12 steps"):
        look.dreamt_states(12, 0)
