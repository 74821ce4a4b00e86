"""PPO in the dream: where it begins, what it is told, what it learns, and that a kill changes nothing."""

import dataclasses
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import follow_the_action, latent_store, random_world_model

from worldmodels.base.errors import UserError
from worldmodels.base.seeding import derive_seed
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.base.types import FULL_HEALTH
from worldmodels.cli import main
from worldmodels.config import ControllerConfig, DreamPPOConfig, RandomPolicyConfig
from worldmodels.diagnostics.fidelity import evolved_solutions
from worldmodels.envs.registry import get_task
from worldmodels.models.controller import features, named_weights
from worldmodels.models.sizes import own_parameters
from worldmodels.runs.run import Run
from worldmodels.search import dream_ppo as ppo
from worldmodels.search import start as search_start
from worldmodels.training.optim import DenseAdam
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.state import WorldState

SMALL = get_task("toy-walls").preset("smoke").controller.ppo


@pytest.fixture(scope="module")
def walls_run(tmp_path_factory):
    """A finished run of the toy task with hits, whose C comes from PPO."""
    path = tmp_path_factory.mktemp("walls") / "run"
    assert main(["reproduce", "toy-walls", "--scale", "smoke", "--run", str(path)]) == 0
    return path


@pytest.fixture
def walls_copy(walls_run, tmp_path):
    """A copy of it, to be changed."""
    return Path(shutil.copytree(walls_run, tmp_path / "copy"))


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


def a_search(model, store, seed=0):
    """A search, its net from a random controller, and Adam."""
    starts = ppo.recorded_starts(SMALL, model, store, 4, seed)
    solution = torch.randn(own_parameters(model.spec, "zh"), generator=torch.Generator().manual_seed(0))
    net = ppo.begin(SMALL, starts, "zh", solution, seed)
    search = ppo.DreamPPO(SMALL, model, "zh", 1.0, starts, 10, seed)
    return search, net, DenseAdam(net, SMALL.learning_rate)


def test_dreams_begin_at_moments_that_m_has_followed(store):
    """V is certain, so z is the recorded mu, and the hidden state is that of M's own pass over the episode."""
    model = model_with_hits()
    found, rnn = ppo.recorded_starts(SMALL, model, store, 4, 3), model.rnn
    assert len(found.num_steps) >= 4
    assert len(set(found.num_steps % SMALL.start_stride_steps)) == 1
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


def test_only_the_newest_episodes_are_looked_at(store):
    """The last of the four is 40 steps long; z is its mu."""
    found = ppo.recorded_starts(SMALL, model_with_hits(), store, 1, 0)
    first = int(store.offsets[3])
    np.testing.assert_allclose(found.z, store.mu[first + found.num_steps].astype(np.float32), atol=1e-6)


def test_without_episodes_dreams_begin_in_dreams():
    """Each moment is that of a dream played by itself, with its own dice and its own random policy, and in full health."""
    three = dataclasses.replace(SMALL, start_episodes=3)
    model, data, seed = model_with_hits(log_odds=0.0), RandomPolicyConfig(bias_scale=1.2), 5
    found = ppo.dreamt_starts(three, model, 0.7, data, seed)
    length = model.spec.max_episode_steps
    assert sorted(set(found.num_steps)) == list(range(int(found.num_steps[0]), length, SMALL.start_stride_steps))
    assert (found.health == FULL_HEALTH).all()
    policy = model.spec.random_policy(np.random.default_rng(derive_seed(seed, "policy", 1)), data)
    alone = DreamEnv(model, "z", 1, 0.7)
    alone.reset(seed=[derive_seed(seed, "dream", 1)])
    for step in range(length):
        for index in np.flatnonzero(found.num_steps == step)[1:2]:
            torch.testing.assert_close(alone.world_state().z[0], found.z[index], atol=1e-4, rtol=0)
            torch.testing.assert_close(alone.world_state().state.cell[0], found.state.cell[index], atol=1e-4, rtol=0)
            assert found.restart[index] == float(step == 0)
        alone.step(policy(np.zeros((64, 64, 3), np.uint8))[None])


def test_a_table_of_ppo_needs_no_episodes(walls_run, tmp_path, capsys):
    """A model alone is enough; the table goes on where it stopped, with the same bytes."""
    model, path = walls_run / "model", tmp_path / "table"
    command = ["table", "temperature", "--model", str(model), "--run", str(path), "--ppo-iterations", "4"]
    assert main(command) == 0
    assert "every C improved by 4 iterations of PPO in its dream, " in capsys.readouterr().out
    rows = json.loads((path / "table.json").read_text())["rows"]
    assert [row["controller"]["num_generations"] for row in rows] == [0] * 6
    cold = path / "tau-0.10"
    kept = (cold / "model" / "controller.safetensors").read_bytes()
    assert kept != (path / "tau-1.30" / "model" / "controller.safetensors").read_bytes()
    shutil.rmtree(cold / "model")
    shutil.rmtree(cold / "controller")
    shutil.rmtree(cold / "evaluation")
    assert main(command) == 0
    assert (cold / "model" / "controller.safetensors").read_bytes() == kept
    again = json.loads((path / "table.json").read_text())["rows"]
    assert [(row["dream"], row["real"]) for row in again] == [(row["dream"], row["real"]) for row in rows]


def test_the_ablation_by_ppo_has_its_hidden_layer(walls_run, tmp_path):
    path = tmp_path / "table"
    command = ["table", "ablation", "--model", str(walls_run), "--run", str(path), "--ppo-iterations", "4"]
    assert main([*command, "--episodes", "3"]) == 0
    rows = json.loads((path / "table.json").read_text())["rows"]
    assert [row["controller"]["inputs"] for row in rows] == ["z", "z+hidden", "zh"]
    assert load_tensors(path / "v-hidden" / "model" / "controller.safetensors")["0.weight"].any()


def test_the_search_begins_at_the_controller_given(store):
    """With as many components as features nothing is lost but the size, and components are orthonormal over what was seen."""
    search, net, _ = a_search(model_with_hits(), store)
    starts = search.starts
    seen = features(starts.z, starts.z, *starts.state, "zh")
    components = seen @ net.basis
    eye = torch.eye(components.shape[1])
    torch.testing.assert_close(components.T @ components / len(seen), eye, atol=1e-2, rtol=0)
    solution = torch.randn(own_parameters(search.world_model.spec, "zh"), generator=torch.Generator().manual_seed(0))
    assert torch.corrcoef(torch.stack([seen @ net.solution(), seen @ solution]))[0, 1] > 0.999
    logits, said = net.logit(components).detach(), seen @ net.solution()
    torch.testing.assert_close(logits, said, rtol=1e-3, atol=1e-3)
    assert float(said.square().mean().sqrt()) == pytest.approx(SMALL.initial_logit_rms, rel=1e-2)


@pytest.mark.parametrize("task", ["toy-walls", "toy"])
def test_a_hidden_layer_is_the_controllers_own(store, task):
    """The search's outputs are those of the controller that it leaves, with biases (toy) and without, and of the one that it
    begins with."""
    spec, inputs = get_task(task), "zh+hidden"
    model = random_world_model(spec)
    starts = ppo.recorded_starts(SMALL, model, store, 4, 0)
    given = torch.randn(own_parameters(spec, inputs), generator=torch.Generator().manual_seed(0)) / 3
    net = ppo.begin(SMALL, starts, inputs, given, 0, spec, hits=True)
    seen = features(starts.z, starts.z, *starts.state, inputs)

    def outputs(solution):
        named = named_weights(model.sizes, inputs, spec.controller_bias, solution)
        units = torch.nn.functional.linear(seen, named["0.weight"], named.get("0.bias")).tanh()
        return torch.nn.functional.linear(units, named["1.weight"], named.get("1.bias"))

    logits = net.logit(net.components(seen)).detach()
    torch.testing.assert_close(logits.view(len(seen), -1), outputs(net.solution()), rtol=1e-3, atol=1e-3)
    assert torch.corrcoef(torch.stack([logits.flatten(), outputs(given).flatten()]))[0, 1] > 0.999


def test_a_hidden_layer_that_begins_with_nothing_can_learn(store):
    """Zeros in both layers would have no gradient: the first is drawn, and the same for the same seed."""
    model, inputs = model_with_hits(), "zh+hidden"
    starts = ppo.recorded_starts(SMALL, model, store, 4, 0)
    zeros = torch.zeros(own_parameters(model.spec, inputs))
    net, again, other = (ppo.begin(SMALL, starts, inputs, zeros, seed) for seed in (0, 0, 1))
    assert not net.weight.any()
    assert torch.equal(net.hidden, again.hidden)
    assert not torch.equal(net.hidden, other.hidden)
    units = net.components(features(starts.z, starts.z, *starts.state, inputs)) @ net.hidden
    assert float(units.square().mean().detach()) == pytest.approx(1, rel=0.2)


def test_a_killed_search_with_a_hidden_layer_ends_with_the_same_bytes(walls_copy, tmp_path, monkeypatch):
    shutil.rmtree(walls_copy / "controller")
    shutil.rmtree(walls_copy / "model")
    other = Path(shutil.copytree(walls_copy, tmp_path / "other"))
    words = ["train-controller", "--inputs", "zh+hidden", "--ppo-iterations", "4", "--num-generations", "0", "--run"]
    assert main([*words, str(walls_copy)]) == 0
    improve = ppo.DreamPPO.improve

    def killed(self, net, adam, iteration):
        if iteration == 3:
            raise KeyboardInterrupt
        return improve(self, net, adam, iteration)

    monkeypatch.setattr(search_start, "CHECKPOINT_ITERATIONS", 2)
    monkeypatch.setattr(ppo.DreamPPO, "improve", killed)
    assert main([*words, str(other)]) == 130
    monkeypatch.setattr(ppo.DreamPPO, "improve", improve)
    assert main([*words, str(other)]) == 0
    name = "model/controller.safetensors"
    assert (other / name).read_bytes() == (walls_copy / name).read_bytes()
    assert main(["evaluate", str(other), "--episodes", "2"]) == 0


def test_more_weights_than_cma_can_pair_are_refused(walls_copy, monkeypatch, capsys):
    shutil.rmtree(walls_copy / "controller")
    monkeypatch.setattr(search_start, "MOST_COORDINATES", 100)
    words = [
        "train-controller",
        "--run",
        str(walls_copy),
        "--inputs",
        "zh+hidden",
        "--ppo-iterations",
        "4",
        "--num-generations",
    ]
    assert main([*words, "1"]) == 2
    assert "and cma keeps a number for each pair of them: at most 100; use --optimizer openes" in capsys.readouterr().err
    assert not (walls_copy / "controller").exists()
    assert main([*words, "0"]) == 0


def test_zeros_toss_a_coin(store):
    model = model_with_hits()
    starts = ppo.recorded_starts(SMALL, model, store, 4, 0)
    net = ppo.begin(SMALL, starts, "zh", torch.zeros(own_parameters(model.spec, "zh")), 0)
    assert not net.weight.any()
    assert torch.equal(net.solution(), torch.zeros(own_parameters(model.spec, "zh")))
    rows = ppo.DreamPPO(SMALL, model, "zh", 1.0, starts, 1, 0).dream(net, 0, 0, lambda: None)
    assert 0.3 < float(rows.chosen.mean()) < 0.7


def test_advantages_are_the_sum_of_what_surprised():
    """Generalized advantage estimation as it is defined: Σ (γλ)^k δ, with δ = r + γ V' - V."""
    rng = torch.Generator().manual_seed(0)
    reward, value = torch.randn(6, 3, generator=rng), torch.randn(7, 3, generator=rng)
    gamma = SMALL.gamma**SMALL.hold_steps
    surprise = reward + gamma * value[1:] - value[:-1]
    expected = torch.stack([sum((gamma * SMALL.gae_lambda) ** (k - t) * surprise[k] for k in range(t, 6)) for t in range(6)])
    torch.testing.assert_close(ppo.advantages_of(SMALL, reward, value), expected)


def test_a_constant_chance_is_a_constant_cost(store):
    """The critic begins at 0, so that its target is what comes of the choices alone; the last choice's is one choice's cost."""
    search, net, _ = a_search(model_with_hits(log_odds=math.log(0.2 / 0.8)), store)
    rows = search.dream(net, 0, 0, lambda: None)
    once = -SMALL.hit_cost * 0.2 * sum(SMALL.gamma**step for step in range(SMALL.hold_steps))
    assert float(rows.hits) == pytest.approx(0.2, rel=1e-2)
    target = rows.target.view(SMALL.num_choices, -1)
    torch.testing.assert_close(target[-1], torch.full_like(target[-1], once), rtol=1e-2, atol=0)
    more = once * (1 + SMALL.gamma**SMALL.hold_steps * SMALL.gae_lambda)
    torch.testing.assert_close(target[-2], torch.full_like(target[-2], more), rtol=1e-2, atol=0)


def test_what_was_chosen_was_done(store, monkeypatch):
    """Each choice is held for some steps, to the right where it was the positive action."""
    done = []
    step = DreamEnv.step

    def watched(self, actions):
        done.append(actions.copy())
        return step(self, actions)

    monkeypatch.setattr(DreamEnv, "step", watched)
    search, net, _ = a_search(model_with_hits(), store)
    rows = search.dream(net, 0, 0, lambda: None)
    held = np.array(done).reshape(SMALL.num_choices, SMALL.hold_steps, SMALL.block_slots)
    expected = 2 * rows.chosen.view(SMALL.num_choices, 1, -1).numpy() - 1
    assert (held == expected).all()


def test_how_many_threads_there_are_changes_nothing(store):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            search, net, adam = a_search(model_with_hits(), store)
            hits = search.improve(net, adam, 0)["hits"]
            found.append([torch.tensor(hits), *(tensor.detach() for tensor in net.state_dict().values())])
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_the_critic_learns_first_and_then_the_controller(store):
    search, net, adam = a_search(model_with_hits(), store)
    weight, critic = net.weight.detach().clone(), net.critic_out.bias.detach().clone()
    for iteration in range(SMALL.critic_iterations):
        search.improve(net, adam, iteration)
    assert torch.equal(net.weight, weight)
    assert not torch.equal(net.critic_out.bias, critic)
    search.improve(net, adam, SMALL.critic_iterations)
    assert not torch.equal(net.weight, weight)


@pytest.mark.parametrize("inputs", ["zh", "zh+hidden"])
def test_hits_become_rarer_where_an_action_brings_them(store, inputs):
    """M is hit where the action was to the right; C, which begins with a coin, learns to go left."""
    model = model_with_hits()
    follow_the_action(model, -2.0, 3.0)
    fast = dataclasses.replace(SMALL, learning_rate=0.03, final_learning_rate=0.03)
    starts = ppo.recorded_starts(fast, model, store, 4, 0)
    net = ppo.begin(fast, starts, inputs, torch.zeros(own_parameters(model.spec, inputs)), 0)
    search, adam = ppo.DreamPPO(fast, model, inputs, 1.0, starts, 25, 0), DenseAdam(net, 1)
    hits = [search.improve(net, adam, iteration)["hits"] for iteration in range(25)]
    assert np.mean(hits[-3:]) < 0.5 * np.mean(hits[:3])


def test_what_is_learned_is_the_mean_of_the_last_iterations(store):
    """Ten iterations: the mean is the last weight until the sixth, and then that of all since."""
    search, net, adam = a_search(model_with_hits(), store)
    weights = []
    for iteration in range(search.num_iterations):
        search.improve(net, adam, iteration)
        weights.append(net.weight.detach().clone())
        expected = weights[-1] if iteration < 6 else torch.stack(weights[6:]).mean(0)
        torch.testing.assert_close(net.mean, expected)
        torch.testing.assert_close(net.solution(), net.basis @ expected)
    assert not torch.equal(weights[-1], weights[-2])


def test_the_learning_rate_falls_from_its_first_to_its_last_value():
    rates = [ppo.learning_rate(SMALL, iteration, 5) for iteration in range(5)]
    assert rates[0] == SMALL.learning_rate
    assert rates[-1] == pytest.approx(SMALL.final_learning_rate)
    assert np.ptp(np.diff(np.log(rates))) < 1e-9
    assert ppo.learning_rate(SMALL, 0, 1) == SMALL.learning_rate


@pytest.mark.parametrize("checkpoint", [2, 3])
def test_a_killed_search_goes_on_at_its_last_checkpoint(walls_copy, monkeypatch, checkpoint):
    """Killed after any iteration, before C is averaged (2) or amid (3 of 4), it ends with the same bytes."""
    folder, names = walls_copy / "controller", ("ppo-2.safetensors", "ppo-4.safetensors", "best.safetensors")
    expected = {name: (folder / name).read_bytes() for name in names}
    for name in ("DONE", "history.jsonl", "scores.jsonl", "ppo.jsonl", "ppo-1.safetensors", *names):
        (folder / name).unlink()
    monkeypatch.setattr(search_start, "CHECKPOINT_ITERATIONS", checkpoint)
    improve = ppo.DreamPPO.improve

    def killed(self, net, adam, iteration):
        if iteration == 3:
            raise KeyboardInterrupt
        return improve(self, net, adam, iteration)

    monkeypatch.setattr(ppo.DreamPPO, "improve", killed)
    command = ["reproduce", "toy-walls", "--scale", "smoke", "--run", str(walls_copy)]
    assert main(command) == 130
    assert not (folder / "ppo-4.safetensors").exists()
    begun = []

    def counted(self, net, adam, iteration):
        begun.append(iteration)
        return improve(self, net, adam, iteration)

    monkeypatch.setattr(ppo.DreamPPO, "improve", counted)
    assert main(command) == 0
    assert begun == list(range(checkpoint, 4))
    assert {name: (folder / name).read_bytes() for name in names} == expected


def test_fidelity_looks_at_the_controller_on_its_way(walls_copy, capsys):
    assert main(["fidelity", str(walls_copy), "--real-episodes", "2", "--dream-episodes", "4"]) == 0
    said = capsys.readouterr().out
    assert "C, iteration 2 of PPO" in said
    assert re.search(r"[1-9]\d* hits in \d+ held-out steps", said)


def test_a_damaged_controller_on_the_way_is_refused(walls_copy, capsys):
    folder = walls_copy / "controller"
    (folder / "DONE").unlink()
    save_tensors(folder / "ppo-4.safetensors", {"solution": torch.zeros(3)})
    assert main(["reproduce", "toy-walls", "--scale", "smoke", "--run", str(walls_copy)]) == 3
    assert "not a controller of" in capsys.readouterr().err


def test_a_state_of_another_search_is_refused(walls_copy, capsys):
    folder = walls_copy / "controller"
    for name in ("DONE", "ppo-4.safetensors"):
        (folder / name).unlink()
    save_tensors(folder / "ppo_state.safetensors", {"weight": torch.zeros(3)}, {"iteration": "2"})
    assert main(["reproduce", "toy-walls", "--scale", "smoke", "--run", str(walls_copy)]) == 3
    assert "not the state of such a search" in capsys.readouterr().err


def test_without_generations_ppo_has_the_last_word(walls_copy, capsys):
    """What PPO has led to is scored, kept and shipped."""
    folder = walls_copy / "controller"
    for name in ("DONE", "STARTED", "history.jsonl", "scores.jsonl", "best.safetensors"):
        (folder / name).unlink()
    assert main(["train-controller", "--run", str(walls_copy), "--num-generations", "0"]) == 0
    assert (folder / "best.safetensors").read_bytes() == (folder / "ppo-4.safetensors").read_bytes()
    # fidelity need not play one controller under two names
    assert list(evolved_solutions(Run.open(walls_copy)))[-2:] == ["C, iteration 3 of PPO", "C, kept"]
    assert main(["reproduce", "toy-walls", "--scale", "smoke", "--run", str(walls_copy)]) == 0
    assert main(["plot", str(walls_copy)]) == 0


def test_a_search_without_an_iteration_for_c_is_refused():
    two = DreamPPOConfig(critic_iterations=2)
    with pytest.raises(UserError, match="only the critic learns in the first 3: use more"):
        ppo.check_ppo(ControllerConfig(ppo_iterations=3))
    with pytest.raises(UserError, match="only the critic learns in the first 2: use more"):
        ppo.check_ppo(ControllerConfig(ppo_iterations=2, ppo=two))
    ppo.check_ppo(ControllerConfig(ppo_iterations=3, ppo=two))


def test_the_defaults_are_the_constants_that_they_were():
    """The shipped take-cover agent was made with them."""
    assert dataclasses.astuple(DreamPPOConfig()) == (
        512, 12, 65_536, 512, 4, 512, 8, 64, 4, 0.993, 0.95, 3, 8192, 4, 0.2, 2e-3, 2e-4, 1 / 3, 3, 128, 10.0, 3.0, 0.5, 0.1
    )  # fmt: skip


def test_its_settings_are_the_stages(walls_copy, capsys):
    """A flag reaches the search and the fingerprint; an impossible value is refused by its name."""
    before = (walls_copy / "controller" / "ppo-4.safetensors").read_bytes()
    train = ["train-controller", "--run", str(walls_copy), "--ppo-gamma"]
    assert main([*train, "0.9"]) == 2
    assert "ppo_gamma unset → 0.9" in capsys.readouterr().err
    assert main([*train, "1.5"]) == 2
    assert "ppo_gamma is 1.5; it must lie between 0 and 1" in capsys.readouterr().err
    shutil.rmtree(walls_copy / "controller")
    assert main([*train, "0.9"]) == 0
    assert (walls_copy / "controller" / "ppo-4.safetensors").read_bytes() != before
    assert json.loads((walls_copy / "controller" / "STARTED").read_text())["config"]["ppo_gamma"] == 0.9


def test_the_command_says_so(toy_copy, capsys):
    for name in ("DONE", "STARTED", "history.jsonl", "scores.jsonl"):
        (toy_copy / "controller" / name).unlink()
    assert main(["train-controller", "--run", str(toy_copy), "--ppo-iterations", "1"]) == 2
    assert "only the critic learns in the first 3: use more" in capsys.readouterr().err
    assert not (toy_copy / "controller" / "STARTED").exists()


def test_moments_are_cut_and_joined():
    world = DreamEnv(model_with_hits(), "zh", 5, 1.0)
    world.reset(seed=list(range(5)))
    world.step(np.zeros((5, 1), np.float32))
    whole = world.world_state()
    parts = [whole.only(slice(0, 2)), whole.only(np.array([False, False, True, False, True])), whole.only(np.array([3]))]
    joined = WorldState.joined(parts)
    order = [0, 1, 2, 4, 3]
    for name in ("z", "restart", "health"):
        assert torch.equal(getattr(joined, name), getattr(whole, name)[order])
    assert torch.equal(joined.state.cell, whole.state.cell[order])
    assert joined.num_steps.tolist() == whole.num_steps[order].tolist()
