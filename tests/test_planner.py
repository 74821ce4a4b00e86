"""C that plans: what it chooses, when, and that nothing but the episode decides it."""

import dataclasses

import numpy as np
import pytest
import torch

from conftest import random_world_model
from worldmodels import files, planner
from worldmodels.cli import main
from worldmodels.dream_env import DreamEnv
from worldmodels.envs.spec import get_task
from worldmodels.errors import BadFileError
from worldmodels.evolution.population import DreamPopulation, RealPopulation
from worldmodels.models.controller import num_parameters
from worldmodels.models.world_model import load_model, save_model
from worldmodels.planner import HOLD_STEPS, PLANS, Planner
from worldmodels.rollout import EpisodeJob, rollout


def model_that_fears(direction, strength=8.0):
    """A toy world model in which going one way is a hit: the first hidden unit holds the last action."""
    model = random_world_model(get_task("toy-walls"))
    rnn, size = model.rnn, model.spec.hidden_size
    with torch.no_grad():
        for weight in (rnn.weight_ih, rnn.weight_hh):
            weight[::size] = 0  # the first unit's four gates
        rnn.bias[::size] = torch.tensor([9.0, -9.0, 0.0, 9.0])  # input, forget, candidate, output
        rnn.weight_ih[2 * size, model.spec.latent_size] = 2.0
        rnn.weight_out[0] = 0
        rnn.weight_out[0, 0] = direction * strength
        rnn.bias_out[0] = -2.0
    return model


def zeros(model):
    return torch.zeros(num_parameters(model.spec, "zh"))


class Watched(Planner):
    """A planner whose actions are kept."""

    def __init__(self, *args):
        super().__init__(*args)
        self.actions = []

    def act(self, obs):
        actions = super().act(obs)
        self.actions.append(actions.copy())
        return actions


@pytest.mark.parametrize("direction", [-1, 1])
def test_it_goes_where_m_expects_no_hit(direction):
    model = model_that_fears(direction)
    world = DreamEnv(model, "zh", 5, 1.0, as_tensors=True)
    policy = Watched(world, model, "zh", zeros(model))
    rollout(world, policy, [EpisodeJob(0, seed) for seed in range(5)])
    assert (np.stack(policy.actions[:HOLD_STEPS]) == -direction).all()


def test_where_all_plans_are_alike_c_is_followed():
    model = model_that_fears(0)
    world = DreamEnv(model, "zh", 3, 1.0, as_tensors=True)
    policy = Watched(world, model, "zh", zeros(model))
    rollout(world, policy, [EpisodeJob(0, seed) for seed in range(3)])
    assert (np.stack(policy.actions[:HOLD_STEPS]) == 0).all()


def test_expected_hits_are_the_sum_of_ms_chances(monkeypatch):
    monkeypatch.setattr(planner, "NUM_STEPS", 6)
    model = model_that_fears(0)
    world = DreamEnv(model, "zh", 2, 1.0, as_tensors=True)
    world.reset(seed=[0, 1])
    dream = DreamEnv(model, "zh", 2 * len(PLANS) * 4, 1.0, as_tensors=True)
    agent = planner.ControllerPolicy(model.spec, "zh", zeros(model)[None])
    seen, hits = planner.expected_hits(dream, agent, world.moment(), PLANS, np.arange(8).reshape(2, 4))
    torch.testing.assert_close(hits, torch.full((2, 3), 6 * float(torch.sigmoid(torch.tensor(-2.0)))), rtol=1e-2, atol=0)
    assert torch.equal(seen, world.features())


def test_what_it_does_depends_on_the_episode_alone():
    """In the dream and in the real world: however many play side by side, in however many processes."""
    model = random_world_model(get_task("toy-walls"))
    generator = torch.Generator().manual_seed(0)
    solution = torch.randn(1, num_parameters(model.spec, "zh"), generator=generator)
    jobs = [EpisodeJob(0, seed) for seed in range(7)]
    dreams = [DreamPopulation(model, "zh", 1.0, slots, plans=True).evaluate(solution, jobs) for slots in (1, 3, 7)]
    assert dreams[0] == dreams[1] == dreams[2]
    played = []
    for workers in (1, 2):
        population = RealPopulation(model.spec, model, "zh", False, workers, plans=True)
        try:
            played.append(population.evaluate(solution, jobs))
        finally:
            population.close()
    assert played[0] == played[1]


def test_a_model_says_whether_it_plans(tmp_path):
    model = random_world_model(get_task("toy-walls"))
    save_model(tmp_path, model, "zh", zeros(model))
    assert not load_model(tmp_path).plans
    save_model(tmp_path, model, "zh", zeros(model), plans=True)
    assert load_model(tmp_path).plans
    config = files.read_json(tmp_path / "config.json")
    files.write_json(tmp_path / "config.json", {**config, "plans": 1})
    with pytest.raises(BadFileError, match="'plans' is 1"):
        load_model(tmp_path)


def test_the_command_scores_both(walls_copy, tmp_path):
    """``reactive`` is the same C without planning, and the result says which it was."""
    loaded = load_model(walls_copy / "model")
    save_model(walls_copy / "model", loaded.world_model, loaded.inputs, loaded.solution, plans=True)
    found = {}
    for agent in ("trained", "reactive"):
        out = tmp_path / f"{agent}.json"
        args = ["evaluate", str(walls_copy), "--agent", agent, "--world", "dream", "--episodes", "3", "--json", str(out)]
        assert main(args) == 0
        found[agent] = files.read_json(out)
    assert found["trained"]["plans"] is True
    assert found["reactive"]["plans"] is False
    assert found["trained"]["sha256"] == found["reactive"]["sha256"]


def test_it_is_watched_in_both_worlds(walls_copy, tmp_path):
    loaded = load_model(walls_copy / "model")
    save_model(walls_copy / "model", loaded.world_model, loaded.inputs, loaded.solution, plans=True)
    for world in ("real", "dream"):
        out = tmp_path / f"{world}.gif"
        assert main(["video", str(walls_copy), "--world", world, "--steps", "20", "--out", str(out)]) == 0
        assert out.stat().st_size > 0


def test_a_task_without_hits_has_nothing_to_plan_with(toy_world_model):
    spec = dataclasses.replace(toy_world_model.spec, action_size=2)
    for faulty in (toy_world_model.spec, spec):
        with pytest.raises(planner.UserError, match="plan is on; it is for tasks"):
            planner.check_can_plan(faulty, "plan is on")
