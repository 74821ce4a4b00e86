"""HealthGathering and HealthGatheringSupreme: what a step is, what it pays, how episodes end, and a tiny run."""

import copy
import os
import signal

import gymnasium as gym
import numpy as np
import pytest
import vizdoom
from gymnasium.utils.env_checker import check_env

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.cli import main
from worldmodels.envs import health_gathering  # noqa: F401 (registers the tasks)
from worldmodels.envs.check import check_task
from worldmodels.envs.health_gathering.env import HealthGatheringEnv, HealthGatheringSupremeEnv
from worldmodels.envs.registry import get_task

STAND, LEFT, RIGHT, FORWARD = (0, 0), (1, 0), (2, 0), (0, 1)
TASKS = ["health-gathering", "health-gathering-supreme"]


@pytest.fixture(scope="module")
def env():
    env = HealthGatheringSupremeEnv()
    yield env
    env.close()


def play(env, seed, actions):
    frames = [env.reset(seed=seed)[0]]
    frames += [env.step(np.array(action))[0] for action in actions]
    return np.stack(frames)


@pytest.mark.parametrize("kind", [HealthGatheringEnv, HealthGatheringSupremeEnv])
def test_gymnasium_finds_nothing_wrong(kind):
    env = kind(render_mode="rgb_array")
    try:
        check_env(env, skip_render_check=True)
    finally:
        env.close()


@pytest.mark.parametrize("name", TASKS)
def test_the_task_is_whole(name):
    task = get_task(name)
    check_task(task)
    assert (task.action_size, task.choices, task.max_episode_steps, task.dream_reward) == (5, (3, 2), 525, 4.0)
    env = task.make_env()
    frame, _ = env.reset(seed=0)
    assert (frame.shape, frame.dtype) == ((64, 64, 3), np.uint8)
    # a person who presses nothing stands still, and what the keys say is an action
    assert env.action_space.contains(np.zeros(5, np.float32))
    assert all(env.action_space.contains(np.array(key, np.float32)) for key in task.play.keys.values())
    env.close()


def test_the_same_seed_and_actions_give_the_same_screens(env):
    actions = np.random.default_rng(0).integers([3, 2], size=(20, 2))
    first, again, other = play(env, 7, actions), play(env, 7, actions), play(env, 8, actions)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_button_does_what_it_says(env):
    """Doom's own angles grow to the left; standing turns and moves nothing."""

    def moved(action):
        env.reset(seed=3)
        before = where(env)
        for _ in range(6):
            env.step(np.array(action))
        return where(env) - before

    def where(env):
        kinds = (vizdoom.GameVariable.ANGLE, vizdoom.GameVariable.POSITION_X, vizdoom.GameVariable.POSITION_Y)
        return np.array([env._running.game.get_game_variable(kind) for kind in kinds])

    assert not moved(STAND).any()
    left, right, ahead = moved(LEFT), moved(RIGHT), moved(FORWARD)
    assert 10 < left[0] % 360 < 180 < right[0] % 360 < 350
    assert not left[1:].any()
    assert np.linalg.norm(ahead[1:]) > 50
    assert ahead[0] == 0


def test_the_return_is_the_number_of_tics_to_death(env):
    env.reset(seed=1)
    total, steps, terminated, healths = 0.0, 0, False, [100.0]
    while not terminated:
        _, reward, terminated, truncated, info = env.step(np.array(STAND))
        total, steps = total + reward, steps + 1
        healths.append(info["health"])
        assert 1 <= reward <= 4
        assert not truncated
    assert 4 * (steps - 1) < total <= 4 * steps
    assert healths[-1] == 0
    assert sorted(healths, reverse=True) == healths  # who stands still finds nothing
    assert 200 < total < 2100
    with pytest.warns(UserWarning, match="end"):
        _, reward, terminated, _, _ = env.step(np.array(STAND))
    assert (reward, terminated) == (0.0, True)


def test_an_episode_is_cut_at_2100_tics(env, monkeypatch):
    monkeypatch.setattr("worldmodels.envs.health_gathering.env.MAX_TICS", 10)
    env.reset(seed=1)
    ends = [env.step(np.array(STAND))[1:4] for _ in range(3)]
    assert ends == [(4, False, False), (4, False, False), (2, False, True)]


def test_frame_skip_is_how_many_tics_a_step_is():
    one = HealthGatheringEnv(frame_skip=1)
    four = HealthGatheringEnv()
    try:
        np.testing.assert_array_equal(play(one, 5, [LEFT] * 8)[::4], play(four, 5, [LEFT] * 2))
        assert one.step(np.array(STAND))[1] == 1
    finally:
        one.close()
        four.close()


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"frame_skip": 0}, "frame_skip is 0"),
        ({"resolution": "160x121"}, "did you mean '160x120'"),
        ({"skill": 6}, "skill is 6"),
        ({"render_mode": "human"}, "use 'rgb_array'"),
    ],
)
def test_bad_arguments_are_named(kwargs, said):
    with pytest.raises(UserError, match=said):
        HealthGatheringEnv(**kwargs)


@pytest.mark.parametrize("action", [(3, 0), (0, 2), (0,), (-1, 0), (0.5, 0)])
def test_other_actions_are_refused(env, action):
    env.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction):
        env.step(np.array(action))


def test_a_copy_begins_a_game_of_its_own(env):
    env.reset(seed=0)
    other = copy.deepcopy(env)
    try:
        with pytest.raises(gym.error.ResetNeeded):
            other.step(np.array(STAND))
        np.testing.assert_array_equal(play(other, 2, [FORWARD] * 3), play(env, 2, [FORWARD] * 3))
    finally:
        other.close()


def test_a_game_that_dies_is_a_failure_of_the_environment():
    env = HealthGatheringEnv()
    env.reset(seed=0)
    os.kill(env._running.process, signal.SIGKILL)
    with pytest.raises(EnvironmentFailure, match="HealthGathering: the game ended unexpectedly"):
        env.step(np.array(STAND))


def test_a_tiny_run_goes_through_every_stage(tmp_path):
    run = str(tmp_path / "run")
    command = {
        "collect": ["--task", "health-gathering-supreme", "--scale", "smoke", "--num-episodes", "6", "--num-workers", "1"],
        "train-vae": ["--num-steps", "10", "--validate-every-steps", "10"],
        "encode": [],
        "train-rnn": ["--num-steps", "10", "--validate-every-steps", "10", "--batch-size", "4"],
        "train-controller": [
            "--ppo-iterations",
            "4",
            "--ppo-block-slots",
            "16",
            "--ppo-num-choices",
            "4",
            "--score-episodes",
            "8",
        ],
        "evaluate": ["--episodes", "2", "--num-workers", "1"],
    }
    for verb, flags in command.items():
        where = [run] if verb == "evaluate" else ["--run", run]
        assert main([verb, *where, *flags]) == 0
