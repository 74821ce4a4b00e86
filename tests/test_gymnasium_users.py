"""Every id as users of Gymnasium meet it: its checker, wrong actions, steps after the end, the games as C sees them."""

import copy
import json
import pickle
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.box2d.car_racing import CarRacing
from gymnasium.utils.env_checker import check_env

import worldmodels  # noqa: F401 (it registers the environments)
from worldmodels.agent.gym_envs import SingleDreamEnv, SingleLatentEnv
from worldmodels.agent.load import load
from worldmodels.agent.target import model_folder
from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.envs.car_racing.env import CarRacingEnv
from worldmodels.envs.registry import get_task
from worldmodels.envs.take_cover.env import TakeCoverEnv
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob

#: Ours; tasks of the tests' own have theirs too.
IDS = sorted(
    name
    for name, spec in gym.registry.items()
    if name.startswith(("worldmodels/CarRacing", "worldmodels/TakeCover"))
    and spec.kwargs.get("task", "take-cover") in ("take-cover", "car-racing")
    and name.count("-") == 1  # those with another look are test_variants.py's
)


def make(name):
    return gym.make(name, disable_env_checker=True).unwrapped


@pytest.fixture(scope="module", params=IDS)
def env(request):
    env = make(request.param)
    yield env
    env.close()


def test_the_ids():
    names = (
        "CarRacing-v3",
        "CarRacingDream-v0",
        "CarRacingLatent-v3",
        "TakeCover-v1",
        "TakeCoverDream-v0",
        "TakeCoverLatent-v1",
    )
    assert [f"worldmodels/{name}" for name in names] == IDS


@pytest.mark.parametrize("name", IDS)
def test_gymnasiums_checker_is_content(name):
    """The whole of it, pictures and closing too. Features have no bounds, which it remarks upon."""
    env = gym.make(name)
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    env.close()
    said = [str(remark.message) for remark in remarks if issubclass(remark.category, UserWarning)]
    assert [words for words in said if "infinity" not in words] == []


WRONG = [
    (lambda shape: np.full(shape, np.nan, np.float32), "finite"),
    (lambda shape: np.full(shape, np.inf, np.float32), "finite"),
    (lambda shape: np.zeros((*shape, 1), np.float32), "shape"),
    (lambda shape: np.zeros(0, np.float32), "shape"),
    (lambda shape: np.float32(0), "shape"),
    (lambda shape: "left", "numbers"),
    (lambda shape: [[1.0], [1.0, 2.0]], "numbers"),
    (lambda shape: torch.zeros(shape, requires_grad=True), "numbers"),
]


@pytest.mark.parametrize(("wrong", "word"), WRONG)
def test_a_wrong_action_is_refused_in_one_line_and_nothing_moves(env, wrong, word):
    action = np.zeros(env.action_space.shape, np.float32)
    env.reset(seed=0)
    expected = env.step(action)[0]
    env.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction, match=word) as error:
        env.step(wrong(env.action_space.shape))
    assert "\n" not in str(error.value)
    assert isinstance(error.value, UserError)
    np.testing.assert_array_equal(env.step(action)[0], expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["longdouble", ">f4", "uint64", "bool", "backwards", "read-only"])
def test_numbers_of_any_kind_are_actions(env, kind):
    action = np.zeros(env.action_space.shape, np.float32)
    same = action[::-1] if kind == "backwards" else action if kind == "read-only" else action.astype(kind)
    same.setflags(write=kind != "read-only")
    seen = []
    for each in (action, same):
        env.reset(seed=1)
        seen.append([env.step(each)[:2] for _ in range(4)])
    for mine, its in zip(*seen, strict=True):
        np.testing.assert_array_equal(mine[0], its[0])
        assert mine[1] == its[1]


@pytest.mark.parametrize("factor", [-1e6, -2, 2, 1e30])
def test_an_action_outside_is_clipped(env, factor):
    space = env.action_space
    outside = np.full(space.shape, factor, np.float64)

    def play(action):
        env.reset(seed=1)
        return [env.step(action)[:2] for _ in range(8)]

    for mine, its in zip(play(outside), play(np.clip(outside, space.low, space.high).astype(np.float32)), strict=True):
        np.testing.assert_array_equal(mine[0], its[0])
        assert mine[1] == its[1]


def test_the_official_car_goes_no_further_either():
    """Which is why the fast one may clip: the same positions to the bit, far outside the space."""
    official, ours = CarRacing(), CarRacingEnv()
    official.reset(seed=2)
    ours.reset(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.uniform(-4, 4, 3).astype(np.float32)
        _, reward, *_ = official.step(action)
        assert ours.step(action)[1] == reward
        assert tuple(ours.car.hull.position) == tuple(official.car.hull.position)


@pytest.mark.parametrize("kind", ["dream", "latent"])
def test_vector_worlds_refuse_one_wrong_action_of_many(toy_world_model, kind):
    pixels = PixelEnvs([toy_world_model.spec.make_env() for _ in range(16)])
    world = DreamEnv(toy_world_model, "zh", 16, 1.0) if kind == "dream" else LatentEnv(pixels, toy_world_model, "zh")
    world.reset(seed=3)
    right = np.zeros((16, 1), np.float32)
    expected = world.step(right)[0]
    world.reset(seed=3)
    wrong = right.copy()
    wrong[7] = np.nan
    for action, word in ((wrong, "finite"), (right[:15], "shape"), (right[:, 0], "shape")):
        with pytest.raises(gym.error.InvalidAction, match=word):
            world.step(action)
    np.testing.assert_array_equal(world.step(right)[0], expected)
    world.reset(seed=3)
    far = world.step(right + 9)[0]
    world.reset(seed=3)
    np.testing.assert_array_equal(world.step(right + 1)[0], far)
    world.close()


@pytest.mark.parametrize("name", [name for name in IDS if name != "worldmodels/CarRacing-v3"])
def test_a_step_after_the_end_warns_and_gives_nothing(name, monkeypatch):
    """As in Gymnasium's CartPole; its CarRacing, and so ours, drives on."""
    monkeypatch.setattr(gym.registry["worldmodels/CarRacing-v3"], "max_episode_steps", 50)
    env = make(name)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(env.action_space.shape, np.float32))
    env.reset(seed=1)
    action = np.zeros(env.action_space.shape, np.float32)
    ended = False
    while not ended:
        obs, _, *ends, _ = env.step(action)
        ended = any(ends)
    for _ in range(2):
        with pytest.warns(UserWarning, match="reset"):
            again, reward, *still, _ = env.step(action)
        assert (reward, still) == (0, ends)
        np.testing.assert_array_equal(again, obs)
    env.reset(seed=1)
    assert not any(env.step(action)[2:4])
    env.close()


@pytest.mark.parametrize("task", ["TakeCover", "CarRacing"])
def test_without_a_model_it_is_the_shipped_agents(task):
    name = {"TakeCover": "take-cover", "CarRacing": "car-racing"}[task]
    for kind in (SingleDreamEnv, SingleLatentEnv):
        by_default, named = kind(name), kind(name, name)
        np.testing.assert_array_equal(by_default.reset(seed=4)[0], named.reset(seed=4)[0])
        by_default.close()
        named.close()


@pytest.mark.parametrize("name", ["take-cover", "car-racing"])
def test_the_dream_and_reality_have_the_same_spaces(name):
    dream, latent = SingleDreamEnv(name), SingleLatentEnv(name)
    assert dream.observation_space == latent.observation_space
    assert dream.action_space == latent.action_space
    assert dream.metadata == latent.metadata
    latent.close()


def return_of(env, model, seed):
    """What the shipped agent gets when it plays as anybody's agent would: through Gymnasium alone."""
    policy = ControllerPolicy(model.task, model.world_model.sizes, model.inputs, model.solution[None])
    policy.begin(np.ones(1, np.bool_), [EpisodeJob(0, seed)])
    (obs, _), total, ended = env.reset(seed=seed), 0.0, False
    while not ended:
        obs, reward, terminated, truncated, _ = env.step(policy.act(obs[None])[0])
        total, ended = total + reward, terminated or truncated
    return total


@pytest.mark.parametrize(
    ("name", "seeds", "options", "kwargs"),
    [
        # Of the first hundred seeds, those whose episodes are the shortest.
        ("TakeCover-v1", 3, [], {}),
        ("CarRacing-v3", 1, ["--fast"], {}),
        ("CarRacing-v3", 1, [], {"official": True}),
    ],
)
def test_the_shipped_agent_scores_there_what_evaluate_says(name, seeds, options, kwargs, tmp_path, monkeypatch):
    for car in ("CarRacing-v3", "worldmodels/CarRacing-v3"):
        monkeypatch.setattr(gym.registry[car], "max_episode_steps", 100)
    task = {"T": "take-cover", "C": "car-racing"}[name[0]]
    model = load(task)
    scored = json.loads((model_folder(task) / "evaluation.json").read_text())["real"]
    env = gym.make("worldmodels/" + name.replace("-", "Latent-"), **kwargs)
    for seed in np.argsort(scored["lengths"][:100], kind="stable")[:seeds].tolist():
        out = tmp_path / f"{seed}.json"
        assert main(["evaluate", task, "--seed", str(seed), "--episodes", "1", "--json", str(out), *options]) == 0
        assert return_of(env, model, seed) == json.loads(out.read_text())["episodes"][0]["return"]
    env.close()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("kind", ["real", "latent"])
def test_a_copy_of_a_game_begins_anew(copied, running, kind):
    env = TakeCoverEnv(skill=3, crop=0.5) if kind == "real" else SingleLatentEnv("take-cover")
    action = np.ones(1, np.float32)
    if running:
        env.reset(seed=5)
        env.step(action)
    other = copied(env)
    with pytest.raises(gym.error.ResetNeeded):
        other.step(action)
    np.testing.assert_array_equal(other.reset(seed=5)[0], env.reset(seed=5)[0])
    if kind == "real":
        assert other.skill == 3
    other.close()
    assert env.step(action)[0].shape == env.observation_space.shape
    env.close()


def test_a_copy_of_a_dream_goes_on_by_itself():
    env = SingleDreamEnv("take-cover")
    env.reset(seed=5)
    other = copy.deepcopy(env)
    left, right = (np.array([push], np.float32) for push in (-1, 1))
    first = other.step(right)[0]
    assert not np.array_equal(env.step(left)[0], first)
    env.reset(seed=5)
    np.testing.assert_array_equal(env.step(right)[0], first)


def test_the_official_cars_other_arguments():
    official, ours = CarRacing(continuous=False), gym.make("worldmodels/CarRacing-v3", continuous=False)
    assert ours.action_space == official.action_space
    official.reset(seed=3)
    ours.reset(seed=3)
    for action in (3, 3, 1, 2, 4, 0) * 3:
        assert ours.step(action)[1] == official.step(action)[1]
    for wrong in (5, -1, np.nan):
        with pytest.raises(gym.error.InvalidAction):
            ours.step(wrong)
    again = pickle.loads(pickle.dumps(ours.unwrapped))
    assert again.action_space == official.action_space


def test_state_pixels_are_the_official_ones():
    official, ours = CarRacing(render_mode="state_pixels"), CarRacingEnv(render_mode="state_pixels")
    for env in (official, ours):
        env.reset(seed=3)
        env.step(np.array([0.1, 0.5, 0], np.float32))
    assert ours.observation_space.shape == (64, 64, 3)
    np.testing.assert_array_equal(ours.render(), official.render())


HEAVY = ("torch", "numba", "vizdoom", "pygame", "Box2D", "matplotlib", "tensorboard")


@pytest.mark.parametrize(
    ("script", "light"),
    [
        ("import worldmodels", HEAVY),
        ("import worldmodels.cli.commands", HEAVY),
        ("from worldmodels.cli import main; main(['--help'])", HEAVY),
        ("import worldmodels.envs.registry", HEAVY),
        ("from worldmodels.envs.registry import get_task; get_task('car-racing')", ("torch", "vizdoom", "pygame", "Box2D")),
        ("import worldmodels, gymnasium; gymnasium.make('worldmodels/TakeCover-v1')", ("torch", "pygame", "Box2D")),
        ("from worldmodels.envs.registry import tasks; assert {'car-racing', 'take-cover'} <= set(tasks())", ("torch",)),
    ],
)
def test_nothing_is_imported_before_it_is_used(script, light):
    code = f"import sys\n{script}\nloaded = sorted(set({light!r}) & set(sys.modules))\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_one_slot_takes_one_thread_and_gives_the_others_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        env = SingleDreamEnv("take-cover", render_mode="rgb_array")
        stepper, seen = env._dream._stepper, []
        step = stepper.step
        stepper.step = lambda *args, **more: (seen.append(torch.get_num_threads()), step(*args, **more))[1]
        env.reset(seed=0)
        env.step(np.zeros(1, np.float32))
        env.render()
        with pytest.raises(gym.error.InvalidAction):
            env.step(np.zeros(2, np.float32))
        assert seen == [1]
        assert torch.get_num_threads() == 2
        wide = DreamEnv(load("take-cover").world_model, "zch", 8, 1.0)
        wide._stepper.step = lambda *args, **more: (seen.append(torch.get_num_threads()), step(*args, **more))[1]
        wide.reset(seed=0)
        wide.step(np.zeros((8, 1), np.float32))
        assert seen == [1, 2]
    finally:
        torch.set_num_threads(before)


def test_the_task_and_the_id_agree():
    assert gym.registry["worldmodels/CarRacing-v3"].max_episode_steps == get_task("car-racing").max_episode_steps
    assert gym.registry["worldmodels/CarRacing-v3"].reward_threshold == get_task("car-racing").published.solved_at
