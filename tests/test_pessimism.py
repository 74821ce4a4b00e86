"""PPO that pays for M's uncertainty, that seeks it, and that dreams of an M of which a part is left out."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import latent_store, random_world_model

from worldmodels.envs.registry import get_task
from worldmodels.models.sizes import own_parameters
from worldmodels.search import dream_ppo as ppo
from worldmodels.training.optim import DenseAdam
from worldmodels.worlds.dream_rules import DreamRules

SMALL = get_task("toy-walls").preset("smoke").controller.ppo


@pytest.fixture
def search(tmp_path):
    """Makes a search of a task, with or without hits, under some rules, and its net."""
    lengths = np.array([30, 50, 14, 40])
    total, size = int(lengths.sum()), get_task("toy-walls").latent_size
    mu = np.random.default_rng(0).normal(size=(total, size))
    store = latent_store(tmp_path, lengths, size, mu=mu, logvar=np.full((total, size), -60.0))

    def make(task="toy-walls", rules=None, initial_health=None):
        model = random_world_model(get_task(task))
        with torch.no_grad():
            model.rnn.bias_out[0] = -3
        rules = rules or DreamRules()
        starts = ppo.recorded_starts(SMALL, model, store, 4, 0)
        solution = torch.zeros(own_parameters(model.spec, "zh"))
        net = ppo.begin(SMALL, starts, "zh", solution, 0, model.spec, ppo.hits_count(model, rules))
        return ppo.DreamPPO(SMALL, model, "zh", 1.0, starts, 10, 0, rules), net

    return make


def targets(search, net):
    """The last choice's target, the critic being 0: what its steps were worth, float32 [N]."""
    rows = search.dream(net, 0, 0, lambda: None)
    return rows.target.view(SMALL.num_choices, -1)[-1], rows


@pytest.mark.parametrize("task", ["toy-walls", "toy"])
def test_uncertainty_costs(search, task):
    """The dream is the same, and what is paid is proportional to the uncertainty of each step."""
    plain, seen = targets(*search(task, DreamRules(measured=True)))
    once, again = targets(*search(task, DreamRules(pessimism=1.0)))
    twice, _ = targets(*search(task, DreamRules(pessimism=2.0)))
    assert torch.equal(seen.components, again.components)
    assert torch.equal(seen.hits, again.hits)
    assert float(seen.uncertainty) == float(again.uncertainty) > 0
    assert ((plain - once) > 0).all()
    torch.testing.assert_close(plain - twice, 2 * (plain - once), rtol=1e-3, atol=1e-5)
    if task == "toy-walls":
        discount = np.mean([SMALL.gamma**step for step in range(SMALL.hold_steps)])
        cost = float((plain - once).mean()) / (SMALL.hold_steps * discount)
        assert cost == pytest.approx(float(seen.uncertainty), rel=0.5)


def test_what_it_came_to_is_logged_where_it_is_measured(search):
    for rules, named in ((DreamRules(), False), (DreamRules(pessimism=1.0), True)):
        found, net = search("toy-walls", rules)
        row = found.improve(net, DenseAdam(net, 1e-3), 0)
        assert ("uncertainty" in row) == named


def test_an_explorer_is_rewarded_for_doubt_alone_until_its_health_ends(search):
    explorer, net = search("toy-walls", DreamRules(seeks="uncertainty"))
    plain, _ = search("toy-walls", DreamRules(measured=True))
    assert not explorer.hits_count
    rows, beside = explorer.dream(net, 0, 0, lambda: None), plain.dream(net, 0, 0, lambda: None)
    assert float(rows.reward) > 0
    # Until the first of them ends, the dreams are the same.
    assert torch.equal(rows.components[: 2 * SMALL.block_slots], beside.components[: 2 * SMALL.block_slots])
    found = explorer.improve(net, DenseAdam(net, 1e-3), 0)
    assert set(found) >= {"reward", "ends", "uncertainty"}
    assert "hits" not in found
    assert float(net.reward_scale) > 0
    certain = dataclasses.replace(explorer, world_model=random_world_model(get_task("toy-walls")))
    with torch.no_grad():
        certain.world_model.rnn.bias_out[0] = 9.0  # a hit of 50 in every step
    assert certain.improve(net, DenseAdam(net, 1e-3), 1)["ends"] > found["ends"]


def test_how_many_threads_there_are_changes_nothing(search):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            dreams, net = search("toy-walls", DreamRules(0.3, pessimism=1.0))
            row = dreams.improve(net, DenseAdam(net, 1e-3), 0)
            found.append([torch.tensor(list(row.values())), *(tensor.detach() for tensor in net.state_dict().values())])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    plain, net = search("toy-walls")
    assert plain.improve(net, DenseAdam(net, 1e-3), 0)["hits"] != float(found[0][0][0])
