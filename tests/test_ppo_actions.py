"""PPO in the dream for any task: choices and numbers, rewards and ends; what it is told, what it learns, and a kill."""

import dataclasses
import itertools
import json
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import follow_the_action, latent_store, random_world_model

from worldmodels.cli import main
from worldmodels.config import DreamPPOConfig, RandomPolicyConfig
from worldmodels.envs.choices import Choose
from worldmodels.envs.registry import get_task
from worldmodels.models.controller import features
from worldmodels.models.sizes import own_parameters
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.search import dream_ppo as ppo
from worldmodels.search.action_distributions import Categorical, Gaussian, TwoWays, distribution_of
from worldmodels.training.optim import DenseAdam
from worldmodels.worlds.dream_env import DreamEnv

FAST = DreamPPOConfig(
    block_slots=32, num_blocks=2, num_choices=8, batch_size=128, critic_units=8, start_stride_steps=5, hold_steps=2,
    learning_rate=0.05, final_learning_rate=0.02, num_slices=1, initial_std=1.0, final_std=0.3,
)  # fmt: skip


class Chooser(gym.Env):
    """Three options beside two, one-hot."""

    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Box(0, 1, (5,), np.float32)


gym.register("worldmodels-toy/Chooser-v0", entry_point=Chooser)


def a_task(name):
    """The toy task, whose action is a number or two choices, and which pays 1 a step or what M says."""
    kind, pays = name.split()
    task = dataclasses.replace(get_task("toy"), dream_reward=1.0 if pays == "survival" else None)
    if kind == "numbers":
        return task
    env_id = "worldmodels-toy/Chooser-v0"
    return dataclasses.replace(task, env_id=env_id, action_size=5, choices=(3, 2), squash=Choose((3, 2)))


def the_model(name):
    """What is done decides: dreams of survival end where the first action is 1, else the reward is its opposite."""
    model = random_world_model(a_task(name))
    chosen = "choices" in name
    follow_the_action(model, -4.0 if chosen else -1.0, 7.0 if chosen else 4.0)
    if "reward" in name:
        with torch.no_grad():
            model.rnn.weight_out[1] = -model.rnn.weight_out[0] / (7.0 if chosen else 4.0)
            model.rnn.weight_out[0], model.rnn.bias_out[0], model.rnn.bias_out[1] = 0.0, -50.0, 0.0
    return model


KINDS = ["choices survival", "choices reward", "numbers survival", "numbers reward"]


def a_search(name, tmp_path, config=FAST, num_iterations=16):
    """A search from zeros, its net and Adam."""
    model = the_model(name)
    rng, lengths = np.random.default_rng(0), np.array([30, 50, 14, 40])
    total, size, outputs = int(lengths.sum()), model.spec.latent_size, model.spec.action_size
    mu, action = rng.normal(size=(total, size)), model.spec.squash(rng.uniform(-1, 1, (total, outputs)).astype(np.float32))
    store = latent_store(tmp_path, lengths, size, mu=mu, action=action, logvar=np.full((total, size), -60.0))
    starts = ppo.recorded_starts(config, model, store, 4, 0)
    net = ppo.begin(config, starts, "zh", torch.zeros(own_parameters(model.spec, "zh")), 0, model.spec)
    return ppo.DreamPPO(config, model, "zh", 1.0, starts, num_iterations, 0), net, DenseAdam(net, config.learning_rate)


# Distributions


def test_two_ways_are_a_coin_with_the_chance_of_the_logistic_function():
    outputs, rng = torch.tensor([0.0, 1.5, -2.0]), np.random.default_rng(0)
    draws = torch.from_numpy(TwoWays().draws(rng, 20_000, 3))
    drawn = TwoWays().sample(outputs.expand(20_000, 3), draws)
    torch.testing.assert_close(drawn.mean(0), 1 / (1 + (-outputs).exp()), atol=0.01, rtol=0)
    torch.testing.assert_close(TwoWays().log_prob(outputs, torch.ones(3)), -(1 + (-outputs).exp()).log())
    torch.testing.assert_close(TwoWays().log_prob(outputs, torch.zeros(3)), -(1 + outputs.exp()).log())
    assert TwoWays().said(torch.tensor([0.0, 1.0])).tolist() == [[-1], [1]]


def test_a_categorical_says_the_product_of_its_choices_chances():
    outputs = torch.tensor([0.3, -1.0, 2.0, 0.0, 0.7])
    actions, e = Categorical((3, 2)), outputs.exp()
    first, second = e[:3] / e[:3].sum(), e[3:] / e[3:].sum()
    total = 0.0
    for i, j in itertools.product(range(3), range(2)):
        chosen = torch.cat([torch.eye(3)[i], torch.eye(2)[j]])
        chance = float(actions.log_prob(outputs, chosen).exp())
        assert chance == pytest.approx(float(first[i] * second[j]), rel=1e-5)
        total += chance
    assert total == pytest.approx(1, rel=1e-5)


def test_a_categorical_chooses_as_often_as_it_says():
    outputs, num = torch.tensor([0.3, -1.0, 2.0, 0.0, 0.7]), 40_000
    actions = Categorical((3, 2))
    (draw,) = torch.from_numpy(actions.draws(np.random.default_rng(1), 1, num))
    chosen = actions.sample(outputs.expand(num, 5), draw)
    assert (chosen[:, :3].sum(1) == 1).all()
    assert (chosen[:, 3:].sum(1) == 1).all()
    expected = torch.cat([outputs[:3].softmax(0), outputs[3:].softmax(0)])
    torch.testing.assert_close(chosen.mean(0), expected, atol=0.01, rtol=0)
    # independent of one another
    both = (chosen[:, 2] * chosen[:, 4]).mean()
    assert float(both) == pytest.approx(float(expected[2] * expected[4]), abs=0.01)
    assert np.array_equal(Choose((3, 2))(actions.said(chosen).numpy()), chosen.numpy())


def test_the_largest_draw_below_one_is_an_option():
    almost = torch.full((1, 1), float(np.nextafter(np.float32(1), np.float32(0))))
    for size in (2, 3, 7, 18):
        chosen = Categorical((size,)).sample(torch.zeros(1, size), almost)
        assert chosen.sum() == 1


def test_a_gaussian_is_the_normal_density():
    actions, outputs = Gaussian(0.4, 2), torch.tensor([[0.5, -1.0]])
    chosen = torch.tensor([[0.1, -0.7]])
    normal = torch.distributions.Normal(outputs, 0.4)
    torch.testing.assert_close(actions.log_prob(outputs, chosen), normal.log_prob(chosen).sum(-1))
    (draw,) = torch.from_numpy(actions.draws(np.random.default_rng(2), 1, 40_000))
    drawn = actions.sample(outputs.expand(40_000, 2), draw)
    torch.testing.assert_close(drawn.mean(0), outputs[0], atol=0.01, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.full((2,), 0.4), atol=0.01, rtol=0)
    torch.testing.assert_close(actions.said(chosen), chosen.tanh())


def test_a_gaussians_ratio_is_that_of_the_actions_densities():
    """tanh divides both densities by the same number."""
    actions, chosen = Gaussian(0.4, 1), torch.tensor([[0.3]])
    before, after = torch.tensor([[0.0]]), torch.tensor([[0.2]])
    ratio = (actions.log_prob(after, chosen) - actions.log_prob(before, chosen)).exp()
    tanh = torch.distributions.TanhTransform()
    squashed = [torch.distributions.TransformedDistribution(torch.distributions.Normal(m, 0.4), tanh) for m in (before, after)]
    expected = (squashed[1].log_prob(chosen.tanh()) - squashed[0].log_prob(chosen.tanh())).exp()
    torch.testing.assert_close(ratio, expected[:, 0], rtol=1e-4, atol=0)


def test_the_task_says_which():
    assert distribution_of(get_task("take-cover"), 0.5) == TwoWays()
    assert distribution_of(get_task("car-racing"), 0.5) == Gaussian(0.5, 3)
    assert distribution_of(a_task("choices survival"), 0.5) == Categorical((3, 2))


# What comes of it


def test_advantages_with_ends_are_those_of_a_plain_loop():
    rng = torch.Generator().manual_seed(0)
    reward, value = torch.randn(9, 4, generator=rng), torch.randn(10, 4, generator=rng)
    going = torch.rand(9, 4, generator=rng)
    going[going < 0.3] = 0
    assert (going == 0).any()
    gamma, lam = FAST.gamma**FAST.hold_steps, FAST.gae_lambda
    expected = torch.zeros(9, 4)
    for slot in range(4):
        for t in range(9):
            weight = 1.0
            for k in range(t, 9):
                after = float(going[k, slot] * value[k + 1, slot])
                expected[t, slot] += weight * (float(reward[k, slot]) + gamma * after - float(value[k, slot]))
                weight *= gamma * lam * float(going[k, slot])
                if not going[k, slot]:
                    break
    torch.testing.assert_close(ppo.advantages_of(FAST, reward, value, going), expected, rtol=1e-4, atol=1e-5)


def always(model, done):
    """Has M's done head say the same in every step."""
    with torch.no_grad():
        model.rnn.weight_out[0], model.rnn.bias_out[0] = 0.0, 50.0 if done else -50.0


def test_a_dream_that_ends_at_once_is_worth_one_reward(tmp_path):
    search, net, _ = a_search("choices survival", tmp_path)
    always(search.world_model, done=True)
    rows = search.dream(net, 0, 0, lambda: None)
    torch.testing.assert_close(rows.target, torch.ones_like(rows.target))
    assert float(rows.hits) == 1 / FAST.hold_steps


def test_a_dream_without_an_end_is_worth_what_comes(tmp_path):
    search, net, _ = a_search("choices survival", tmp_path)
    always(search.world_model, done=False)
    rows = search.dream(net, 0, 0, lambda: None)
    once = 1 + FAST.gamma
    target = rows.target.view(FAST.num_choices, -1)
    torch.testing.assert_close(target[-1], torch.full_like(target[-1], once))
    torch.testing.assert_close(target[-2], torch.full_like(target[-2], once * (1 + FAST.gamma**2 * FAST.gae_lambda)))
    assert not rows.hits


def test_what_comes_counts_with_the_chance_of_getting_there(tmp_path):
    """A done head that always says one in five, which ends no dream: C learns from it all the same."""
    search, net, _ = a_search("choices survival", tmp_path)
    always(search.world_model, done=False)
    with torch.no_grad():
        search.world_model.rnn.bias_out[0] = math.log(0.2 / 0.8)
    rows = search.dream(net, 0, 0, lambda: None)
    once = 1 + 0.8 * FAST.gamma
    target = rows.target.view(FAST.num_choices, -1)
    torch.testing.assert_close(target[-1], torch.full_like(target[-1], once), rtol=1e-2, atol=0)
    more = once * (1 + 0.8**2 * FAST.gamma**2 * FAST.gae_lambda)
    torch.testing.assert_close(target[-2], torch.full_like(target[-2], more), rtol=1e-2, atol=0)
    assert float(rows.hits) == pytest.approx((1 - 0.8**2) / 2, rel=1e-2)


def test_slots_that_ended_begin_anew_where_episodes_were(tmp_path, monkeypatch):
    search, net, _ = a_search("choices survival", tmp_path)
    seen, go_on = [], DreamEnv.go_on

    def watched(world, mask, state):
        go_on(world, mask, state)
        here = world.world_state()
        seen.append((mask.copy(), here.z[torch.from_numpy(mask)], here.num_steps[mask]))

    monkeypatch.setattr(DreamEnv, "go_on", watched)
    search.dream(net, 0, 0, lambda: None)
    assert 0 < sum(mask.sum() for mask, _, _ in seen) < FAST.num_choices * FAST.block_slots
    known = {tuple(z.tolist()): int(step) for z, step in zip(search.starts.z, search.starts.num_steps, strict=True)}
    for _, z, steps in seen:
        assert all(known[tuple(one.tolist())] == step for one, step in zip(z, steps, strict=True))


def test_without_episodes_only_dreams_that_have_not_ended_are_gone_on_from():
    model = the_model("numbers survival")
    always(model, done=True)
    every_step = dataclasses.replace(FAST, start_episodes=6, start_stride_steps=1)
    found = ppo.dreamt_starts(every_step, model, 1.0, RandomPolicyConfig(), 0)
    assert found.num_steps.tolist() == [0] * 6


@pytest.mark.parametrize("name", KINDS)
def test_the_search_begins_at_the_controller_given(name, tmp_path):
    """C's biases and weights are found again: what the net says is what C says."""
    search, _, _ = a_search(name, tmp_path)
    spec, starts = search.world_model.spec, search.starts
    assert spec.controller_bias
    solution = torch.randn(own_parameters(spec, "zh"), generator=torch.Generator().manual_seed(0))
    net = ppo.begin(FAST, starts, "zh", solution, 0, spec)
    seen = features(starts.z, starts.z, *starts.state, "zh")
    said = net.logit(net.components(seen)).detach()
    straight = dataclasses.replace(spec, squash=lambda outputs: outputs)
    policy = ControllerPolicy(straight, search.world_model.sizes, "zh", net.solution()[None])
    policy.begin(np.ones(len(seen), bool), [None] * len(seen))
    np.testing.assert_allclose(policy.act(seen), said.tanh().numpy(), atol=1e-3)
    given = ControllerPolicy(straight, search.world_model.sizes, "zh", solution[None])
    given.begin(np.ones(len(seen), bool), [None] * len(seen))
    if spec.choices:  # brought to a size that changes no choice
        assert (Choose((3, 2))(given.act(seen)) == Choose((3, 2))(policy.act(seen))).mean() > 0.99
        assert float(said.square().mean().sqrt()) == pytest.approx(FAST.initial_logit_rms, rel=0.02)
    else:
        np.testing.assert_allclose(given.act(seen), policy.act(seen), atol=1e-3)


# What is learned


@pytest.mark.parametrize("name", KINDS)
def test_c_learns_what_pays(name, tmp_path):
    """From what chance does to what is best, in seconds: the last iterations end hardly ever, or earn nearly all there is."""
    search, net, adam = a_search(name, tmp_path)
    rows = [search.improve(net, adam, iteration) for iteration in range(search.num_iterations)]
    first, last = rows[0], rows[-1]
    best = 1.0 if "numbers" in name else 0.0  # the reward of -1, and of no first option
    if "survival" in name:
        assert first["ends"] > 0.1
        assert last["ends"] < 0.2 * first["ends"]
    else:
        assert last["reward"] > first["reward"] + 0.7 * (best - first["reward"])
    assert all(math.isfinite(value) for row in rows for value in row.values())
    # C by itself, in the dream that evaluation plays
    world, num_steps = DreamEnv(search.world_model, "zh", 16, 1.0), 12
    world.reset(seed=list(range(16)))
    policy = ControllerPolicy(search.world_model.spec, search.world_model.sizes, "zh", net.solution()[None])
    policy.begin(np.ones(16, bool), [None] * 16)
    for _ in range(num_steps):
        _, reward, terminated, _, _ = world.step(policy.act(world.features()))
        assert not terminated.any()
        assert "survival" in name or reward.mean() > best - 0.2


def test_rewards_of_any_size_are_the_same_to_c(tmp_path):
    """What the critic learns is scaled once, after the first iteration: C learns the same from rewards 4,096 times as large."""
    found = []
    for factor in (1.0, 4096.0):
        search, net, adam = a_search("numbers reward", tmp_path, num_iterations=6)
        with torch.no_grad():
            search.world_model.rnn.weight_out[1] *= factor
        for iteration in range(6):
            search.improve(net, adam, iteration)
        found.append(net.solution().detach())
    assert found[0].any()
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["choices survival", "numbers reward"])
def test_how_many_threads_there_are_changes_nothing(name, tmp_path):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            search, net, adam = a_search(name, tmp_path)
            search.improve(net, adam, 0)
            search.improve(net, adam, 1)
            found.append([tensor.detach() for tensor in net.state_dict().values()])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_killed_search_goes_on_with_the_same_bytes(toy_copy, monkeypatch):
    """A whole command on a task of numbers and biases: killed after two of five iterations, and not at all."""
    folder = toy_copy / "controller"
    for name in ("DONE", "STARTED", "history.jsonl", "scores.jsonl", "best.safetensors"):
        (folder / name).unlink()
    command = ["train-controller", "--run", str(toy_copy), "--ppo-iterations", "5", "--num-generations", "0"]
    command += ["--ppo-block-slots", "16", "--ppo-num-choices", "5", "--ppo-batch-size", "64", "--ppo-critic-units", "8"]
    monkeypatch.setattr("worldmodels.search.start.CHECKPOINT_ITERATIONS", 2)
    improve, begun = ppo.DreamPPO.improve, []

    def killed(self, net, adam, iteration):
        begun.append(iteration)
        if begun.count(3) == 1 and iteration == 3:
            raise KeyboardInterrupt
        return improve(self, net, adam, iteration)

    monkeypatch.setattr(ppo.DreamPPO, "improve", killed)
    assert main(command) == 130
    assert main(command) == 0
    assert begun == [0, 1, 2, 3, 2, 3, 4]
    names = ("ppo-5.safetensors", "best.safetensors")
    broken = [(folder / name).read_bytes() for name in names]
    rows = [json.loads(line) for line in (folder / "ppo.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5]
    assert {"reward", "ends"} <= set(rows[0])
    for path in folder.iterdir():
        path.unlink()
    assert main(command) == 0
    assert [(folder / name).read_bytes() for name in names] == broken
    assert main(["plot", str(toy_copy)]) == 0
