"""CarRacing as a task: what training plays and what scores are taken on agree, and every option of C and of the data works."""

import dataclasses
import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import random_world_model
from gymnasium.utils.env_checker import check_env

from worldmodels.agent.files import save_model
from worldmodels.cli import main
from worldmodels.config import RandomPolicyConfig
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.models.vae import VAE
from worldmodels.policies.random_nets import RandomNets
from worldmodels.search.evaluators import RealEvaluator
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob, rollout

SPEC = get_task("car-racing")


@pytest.fixture(scope="module")
def world_model():
    return random_world_model(SPEC)


def test_sizes_are_the_papers():
    assert sum(p.numel() for p in VAE(SPEC.latent_size).parameters()) == 4_348_547
    rnn = MDNRNN(own_sizes(SPEC))
    assert isinstance(rnn, MDNRNN)
    # The done logit and the reward cost a row of 256 weights and a bias each.
    assert sum(p.numel() for p in rnn.parameters()) == 422_368 + 2 * 257


def test_scores_are_taken_on_the_official_environment():
    ours, theirs, plain = SPEC.make_env(), SPEC.make_env(official=True), gym.make("CarRacing-v3", lap_complete_percent=0.95)
    assert theirs.unwrapped.__class__ is plain.unwrapped.__class__
    assert ours.unwrapped.__class__ is not plain.unwrapped.__class__
    assert theirs.spec.max_episode_steps == ours.spec.max_episode_steps == 1000
    assert theirs.observation_space == ours.observation_space
    frame, _ = theirs.reset(seed=3)
    raw, _ = plain.reset(seed=3)
    mine, _ = ours.reset(seed=3)
    assert np.array_equal(frame, area_resize(raw[:84], 64))
    assert np.abs(frame.astype(int) - mine).mean() < 1


def test_one_agents_scores_agree_on_both_environments(world_model):
    """Seed by seed, over the first 200 steps: the pixels differ by a tenth of a level, the driving follows them closely."""
    spec = dataclasses.replace(SPEC, max_episode_steps=200)
    solution = 0.02 * torch.randn(1, own_parameters(SPEC, "zh"), generator=torch.Generator().manual_seed(2))
    solution[0, 1] = -0.5  # gas of about a quarter
    solution[0, 2] = -2  # no brake
    scores = []
    for official in (False, True):
        population = RealEvaluator(spec, world_model, "zh", official=official, num_workers=1)
        try:
            results = population.evaluate(solution, [EpisodeJob(0, seed) for seed in range(4)])
        finally:
            population.close()
        assert [result.length for result in results] == [200] * 4
        scores.append(np.array([result.episode_return for result in results]))
    # Some tiles were visited (an idle car gets -20 + 3), and at most one visit more or less (about 3.5) tells them apart.
    assert (scores[0] > -10).all()
    assert np.abs(scores[0] - scores[1]).max() < 4


def test_the_dream_is_an_environment_of_its_own(world_model, tmp_path):
    save_model(tmp_path / "model", world_model, "zh", torch.zeros(own_parameters(SPEC, "zh")), 1.0)
    env = gym.make("worldmodels/CarRacingDream-v0", model=tmp_path / "model", temperature=0.5, render_mode="rgb_array")
    assert env.observation_space.shape == (288,)
    assert env.unwrapped.metadata["render_fps"] == 50
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    _, reward, *_ = env.step(env.action_space.sample())
    assert reward != 0  # M's own expectation
    assert env.render().shape == (64, 64, 3)


def test_the_models_folder_remembers_what_c_sees(world_model, tmp_path):
    save_model(tmp_path, world_model, "z+hidden", torch.zeros(own_parameters(SPEC, "z+hidden")), 1.0)
    env = gym.make("worldmodels/CarRacingDream-v0", model=tmp_path)
    assert env.observation_space.shape == (32,)


def test_random_nets_are_a_function_of_the_generator():
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)

    def drive(seed):
        policy = RandomNets(SPEC, np.random.default_rng(seed))
        return np.stack([policy(frame) for _ in range(5)])

    first = drive(1)
    assert np.array_equal(first, drive(1))
    assert not np.array_equal(first, drive(2))
    for seed in range(20):
        for action in drive(seed):
            assert SPEC.make_env().action_space.contains(action)


def test_the_held_policy_stays_in_the_action_space():
    frame = np.zeros((64, 64, 3), np.uint8)
    policy = SPEC.random_policy(np.random.default_rng(0), RandomPolicyConfig(bias_scale=1.0))
    actions = np.stack([policy(frame) for _ in range(3000)])
    assert actions.min(0)[0] < -0.9
    assert (actions[:, 1:] >= 0).all()
    assert 0.4 < actions[:, 1].mean() < 0.6
    assert 0.4 < (actions[:, 2] == 0).mean() < 0.6


@pytest.mark.parametrize("inputs", ["z", "z+hidden", "zh", "zch"])
def test_every_kind_of_controller_can_be_evolved(toy_copy, tmp_path, inputs):
    for folder in ("controller", "model"):
        (toy_copy / folder).rename(tmp_path / folder)
    options = ["--inputs", inputs, "--world", "real", "--num-generations", "1", "--num-workers", "1"]
    assert main(["train-controller", "--run", str(toy_copy), *options]) == 0
    result = tmp_path / "score.json"
    assert main(["evaluate", str(toy_copy), "--episodes", "3", "--json", str(result)]) == 0
    assert json.loads(result.read_text())["controller_inputs"] == inputs
    assert (toy_copy / "model" / "rnn.safetensors").read_bytes() == (toy_copy / "rnn" / "model.safetensors").read_bytes()


def test_start_anywhere_needs_an_environment_that_can(tmp_path, capsys):
    assert main(["collect", "--run", str(tmp_path / "run"), "--task", "toy", "--scale", "smoke", "--start-anywhere"]) == 2
    error = capsys.readouterr().err
    assert "one place to start from" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / "episodes").exists()


class Parked:
    """Stands still."""

    def begin(self, mask, jobs):
        pass

    def act(self, obs):
        return np.zeros((len(obs), 3), np.float32)

    def shrink(self, keep):
        pass


def test_giving_up_early_gives_the_same_return_where_nothing_more_comes():
    """A parked car pays a tenth a step to the end; after 20 steps without a tile that is known."""
    spec = get_task("car-racing")
    jobs = [EpisodeJob(0, seed) for seed in (1, 2)]
    results = []
    for patience in (0, 20):
        world = PixelEnvs([spec.make_env() for _ in jobs])
        results.append(rollout(world, Parked(), jobs, patience_steps=patience, max_steps=spec.max_episode_steps))
        world.close()
    patient, hasty = results
    assert [r.length for r in patient] == [1000, 1000]
    assert all(20 <= r.length < 40 for r in hasty)
    for a, b in zip(patient, hasty, strict=True):
        assert b.episode_return == pytest.approx(a.episode_return, abs=1e-6)


def test_what_lies_beyond_the_cap_counts_nothing_also_where_it_is_given_up():
    spec, returns = get_task("car-racing"), []
    for patience in (0, 20):
        world = PixelEnvs([spec.make_env()])
        asked = {"patience_steps": patience, "max_steps": spec.max_episode_steps, "cap_steps": 60}
        (result,) = rollout(world, Parked(), [EpisodeJob(0, 1)], **asked)
        returns.append(result.episode_return)
        world.close()
    assert returns[1] == pytest.approx(returns[0], abs=1e-6)
