"""The dream: how it begins, ends and repeats, and as a single environment for any Gymnasium agent."""

import dataclasses
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import random_world_model
from gymnasium.utils.env_checker import check_env

from worldmodels.agent.gym_envs import SingleDreamEnv
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.envs.registry import get_task
from worldmodels.worlds.dream_env import DreamEnv

NO_PUSH = np.zeros((1, 1), np.float32)


def test_an_episode_begins_at_a_recorded_beginning(toy_world_model):
    dream = DreamEnv(toy_world_model, "zh", 400, 1.0)
    dream.reset(seed=list(range(400)))
    mu, std = toy_world_model.initial.mu, (toy_world_model.initial.logvar / 2).exp()
    nearest = torch.cdist(dream.z / std[0], mu / std[0]).min(1).values
    assert nearest.mean() < 2.2  # four independent normals are sqrt(4) long on average
    assert abs(dream.z.mean() - mu.mean()) < 0.15


def model_that_dies(after_logit):
    """A world model whose done logit is a constant."""
    model = random_world_model(get_task("toy"))
    with torch.no_grad():
        model.rnn.weight_out[0] = 0
        model.rnn.bias_out[0] = after_logit
    return model


def test_it_ends_when_the_logit_is_above_zero():
    dream = DreamEnv(model_that_dies(0.01), "zh", 1, 1.0)
    dream.reset(seed=[0])
    _, reward, terminated, truncated, _ = dream.step(NO_PUSH)
    assert (reward[0], terminated[0], truncated[0]) == (1, True, False)


def test_else_it_is_truncated_at_the_tasks_limit():
    dream = DreamEnv(model_that_dies(-0.01), "zh", 1, 1.0)
    dream.reset(seed=[0])
    ends = [tuple(bool(x[0]) for x in dream.step(NO_PUSH)[2:4]) for _ in range(40)]
    assert ends == [(False, False)] * 39 + [(False, True)]


def dream_of_hits(chance, damages, num_envs):
    """A dream in which every step is a hit with the given chance."""
    model = model_that_dies(math.log(chance / (1 - chance)))
    model.rnn.sizes = dataclasses.replace(model.rnn.sizes, hits=True, drawn=True)
    return DreamEnv(dataclasses.replace(model, spec=dataclasses.replace(model.spec, hit_damages=damages)), "zh", num_envs, 1.0)


def test_hits_are_drawn_and_cost_health():
    """A hit costs 40 or 100, by half: the first hit kills in half of the dreams, the third in all."""
    num = 4000
    dream = dream_of_hits(0.1, (40.0, 100.0), num)
    dream.reset(seed=list(range(num)))
    alive, previous, hits = np.ones(num, np.bool_), dream.world_state().health.numpy(), []
    for _ in range(20):
        terminated = dream.step(np.zeros((num, 1), np.float32))[2]
        health = dream.world_state().health.numpy()
        cost = (previous - health)[alive]
        assert set(cost) <= {0.0, 40.0, 100.0}
        np.testing.assert_array_equal(terminated[alive], health[alive] <= 0)
        hits.append(((cost == 40).mean(), (cost == 100).mean()))
        alive, previous = alive & ~terminated, health
    assert np.mean(hits, 0) == pytest.approx([0.05, 0.05], abs=0.004)


def test_health_is_part_of_a_moment_and_of_a_slot():
    dream = dream_of_hits(0.5, (30.0,), 3)
    dream.reset(seed=[1, 2, 3])
    for _ in range(2):
        dream.step(np.zeros((3, 1), np.float32))
    moment = dream.world_state()
    before = moment.health.tolist()
    assert len(set(before)) > 1
    dream.step(np.zeros((3, 1), np.float32))
    dream.restore(moment, [4, 5, 6])
    assert dream.world_state().health.tolist() == before
    dream.reset(seed=[7, None, None], options={"reset_mask": np.array([True, False, False])})
    assert dream.world_state().health.tolist() == [100.0, *before[1:]]
    dream.shrink(np.array([False, True, True]))
    assert dream.world_state().health.tolist() == before[1:]


def test_temperature_widens_the_dream(toy_world_model):
    spread = []
    for temperature in (0.01, 1.0, 4.0):
        dream = DreamEnv(toy_world_model, "zh", 300, temperature)
        dream.reset(seed=[0] * 300)  # the same beginning; the noise of the step is shared too
        dream.reset(seed=list(range(300)))
        dream.z[:] = 0
        dream.step(np.zeros((300, 1), np.float32))
        spread.append(float(dream.z.std(0).mean()))
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf, 11])
def test_a_senseless_temperature_is_refused(toy_world_model, temperature):
    with pytest.raises(UserError, match=r"between 0\.01 and 10"):
        DreamEnv(toy_world_model, "zh", 1, temperature)


def test_decoded_frames(toy_world_model):
    dream = DreamEnv(toy_world_model, "zh", 2, 1.0)
    dream.reset(seed=[1, 2])
    frames = dream.decode()
    assert frames.shape == (2, 64, 64, 3)
    assert frames.dtype == np.uint8


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", [".", "model"])
def test_the_single_environment_passes_gymnasiums_checker(toy_run, folder):
    env = gym.make("worldmodels-toy/MovingDotDream-v0", model=toy_run / folder, render_mode="rgb_array")
    check_env(env.unwrapped)
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (64, 64, 3)
    assert frame.dtype == np.uint8
    env.close()


def test_the_single_environment_repeats(toy_run):
    def play(seed, temperature=1.0):
        env = gym.make("worldmodels-toy/MovingDotDream-v0", model=toy_run, temperature=temperature)
        obs = [env.reset(seed=seed)[0]]
        for _ in range(5):
            obs.append(env.step(np.zeros(1, np.float32))[0])
        return np.stack(obs)

    np.testing.assert_array_equal(play(3), play(3))
    assert not np.array_equal(play(3), play(4))
    assert not np.array_equal(play(3), play(3, 2.0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"task": "take-cover"}, UserError, "a model of toy, not of take-cover"),
        ({"temperature": 0}, UserError, "between"),
        ({"model": "nowhere"}, (UserError, BadFileError), "nowhere"),
    ],
)
def test_bad_arguments_are_named(toy_run, arguments, error, message):
    with pytest.raises(error, match=message):
        gym.make("worldmodels-toy/MovingDotDream-v0", **{"model": toy_run, **arguments})


def test_an_unknown_render_mode_is_named(toy_run):
    with pytest.raises(UserError, match="no render mode 'human'; use 'rgb_array'"):
        SingleDreamEnv("toy", toy_run, render_mode="human")


def test_tensors_and_arrays_are_the_same_dream(toy_world_model):
    arrays, tensors = (DreamEnv(toy_world_model, "zh", 4, 1.0, as_tensors=flag) for flag in (False, True))
    actions = np.zeros((4, 1), np.float32)
    for dream in (arrays, tensors):
        dream.reset(seed=[1, 2, 1, 3])
    keep = np.array([True, False, True, True])
    for number in range(40):
        if number == 35:
            arrays.shrink(keep)
            tensors.shrink(keep)
            actions = actions[keep]
        obs, *rest = arrays.step(actions)
        other, *others = tensors.step(actions)
        assert isinstance(other, torch.Tensor)
        np.testing.assert_array_equal(obs, other.numpy())
        for mine, its in zip(rest[:3], others[:3], strict=True):
            np.testing.assert_array_equal(mine, its)


def test_a_world_model_is_copied_only_to_another_device(toy_world_model):
    assert toy_world_model.on("cpu") is toy_world_model
    elsewhere = toy_world_model.on("meta")
    assert {str(p.device) for p in (*elsewhere.vae.parameters(), *elsewhere.rnn.parameters())} == {"meta"}
    assert {str(p.device) for p in (*toy_world_model.vae.parameters(), *toy_world_model.rnn.parameters())} == {"cpu"}


def test_dreams_ask_the_environment_for_its_actions_once(toy_world_model, monkeypatch):
    first, second = (DreamEnv(toy_world_model, "zh", 1, 1.0) for _ in range(2))
    monkeypatch.setattr(gym, "make", lambda *_, **__: pytest.fail("an environment is made"))
    third = DreamEnv(toy_world_model, "zh", 1, 1.0)
    assert first.single_action_space == second.single_action_space == third.single_action_space
    # Each has dice of its own.
    assert first.single_action_space is not second.single_action_space
