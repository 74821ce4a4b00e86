"""The one loop: every job once, and results that do not depend on how many slots play."""

import numpy as np
import pytest
import torch

from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.policies.blind import UniformPolicy
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob, rollout

JOBS = [EpisodeJob(candidate, seed) for candidate in range(3) for seed in (11, 12, 13)]


def play(kind, model, num_slots, **listeners):
    """Plays `JOBS` in a toy world of so many slots."""
    spec = model.spec
    if kind == "dream":
        world = DreamEnv(model, "zh", num_slots, 1.0, torch.float32)
    else:
        world = PixelEnvs([spec.make_env() for _ in range(num_slots)], 2)
        world = LatentEnv(world, model, "zh") if kind == "latent" else world
    solutions = torch.randn(3, own_parameters(spec, "zh"), generator=torch.Generator().manual_seed(0))
    policy = (
        UniformPolicy(world.single_action_space)
        if kind == "pixels"
        else ControllerPolicy(spec, own_sizes(spec), "zh", solutions)
    )
    try:
        return rollout(world, policy, JOBS, **listeners)
    finally:
        world.close()


@pytest.mark.parametrize("num_slots", [1, 2, 9, 20])
def test_every_job_is_played_once(toy_world_model, num_slots):
    finished, steps = [], 0

    def on_step(running, obs, actions, step):
        nonlocal steps
        assert len(running) == len(obs) == len(actions) == len(step.rewards) == len(step.terminated)
        steps += int(running.sum())

    results = play("pixels", toy_world_model, num_slots, on_step=on_step, on_result=finished.append)
    assert [r.job for r in results] == JOBS
    assert sorted(map(repr, finished)) == sorted(map(repr, results))
    assert steps == sum(r.length for r in results)
    # The toy gives 1 a step.
    assert all(r.episode_return == r.length > 0 for r in results)


def test_results_do_not_depend_on_the_slots_in_pixels(toy_world_model):
    alone = play("pixels", toy_world_model, 1)
    assert len({r.length for r in alone}) > 1
    for num_slots in (2, 5):
        assert play("pixels", toy_world_model, num_slots) == alone


@pytest.mark.parametrize("kind", ["latent", "dream"])
def test_results_do_not_depend_on_the_slots(toy_world_model, kind):
    alone = play(kind, toy_world_model, 1)
    assert len({r.length for r in alone}) > 1
    for num_slots in (2, 5):
        assert play(kind, toy_world_model, num_slots) == alone


@pytest.mark.parametrize("kind", ["pixels", "latent", "dream"])
def test_the_same_again(toy_world_model, kind):
    assert play(kind, toy_world_model, 4) == play(kind, toy_world_model, 4)


def test_no_jobs_no_results(toy_world_model):
    world = DreamEnv(toy_world_model, "zh", 2, 1.0)
    assert rollout(world, UniformPolicy(world.single_action_space), []) == []


def test_fewer_jobs_than_slots_shrink_the_world(toy_world_model):
    world = DreamEnv(toy_world_model, "zh", 8, 1.0)
    results = rollout(world, UniformPolicy(world.single_action_space), [EpisodeJob(0, 5)])
    assert world.num_envs == 1
    assert len(results) == 1
    assert np.isfinite(results[0].episode_return)


def test_a_listener_is_told_of_a_dream_that_has_no_health(toy_world_model):
    """The loop knows of no task: a slot's info holds what its world says."""
    told = []
    play("dream", toy_world_model, 3, on_step=lambda running, obs, actions, step: told.append(step.of(0)))
    assert told
    assert all(type(reward) is float and type(ended) is bool and set(info) == {"end_chance"} for reward, ended, info in told)
