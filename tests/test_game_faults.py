"""A game that is killed or stopped in the middle of an episode: the same episode goes on, to the bit; gives up loudly."""

import os
import signal

import gymnasium as gym
import numpy as np
import pytest

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.envs.doom import process_guard
from worldmodels.envs.registry import get_task
from worldmodels.worlds.pixel_envs import MAX_FAILURES, PixelEnvs

NUM_STEPS = 70


def make_world(num_slots=2):
    return PixelEnvs([get_task("take-cover").make_env() for _ in range(num_slots)], 2)


def hurt(world, slot, kind):
    os.kill(world.envs[slot].unwrapped._running.process, kind)


def play(world, faults):
    """Plays two episodes side by side; ``faults`` maps a step to (slot, signal)."""
    seen = [world.reset(seed=[5, 6])[0]]
    rewards = []
    for step in range(NUM_STEPS):
        if step in faults:
            hurt(world, *faults[step])
        obs, reward, terminated, truncated, _ = world.step(np.sin([[step / 3], [step / 5]]).astype(np.float32))
        assert not terminated.any()
        assert not truncated.any()
        seen.append(obs)
        rewards.append(reward)
    return np.stack(seen), np.stack(rewards)


@pytest.fixture(scope="module")
def undisturbed():
    world = make_world()
    result = play(world, {})
    world.close()
    return result


def test_killed_and_stopped_games_change_nothing(undisturbed, monkeypatch, capfd):
    monkeypatch.setattr(process_guard, "DEADLINE_SECONDS", 1)
    world = make_world()
    faults = {20: (0, signal.SIGKILL), 40: (1, signal.SIGSTOP), 60: (0, signal.SIGKILL)}
    frames, rewards = play(world, faults)
    world.close()
    np.testing.assert_array_equal(frames, undisturbed[0])
    np.testing.assert_array_equal(rewards, undisturbed[1])
    assert world.num_failures == 3
    said = capfd.readouterr().err
    assert said.count("is played again from the start") == 3
    assert "(seed 6)" in said


def test_a_game_killed_between_episodes_starts_anew(undisturbed):
    world = make_world()
    world.reset(seed=[1, 2])
    hurt(world, 0, signal.SIGKILL)
    np.testing.assert_array_equal(world.reset(seed=[5, 6])[0], undisturbed[0][0])
    world.close()


class Mortal(gym.Wrapper):
    """Its game is killed before every step."""

    def step(self, action):
        os.kill(self.unwrapped._running.process, signal.SIGKILL)
        return super().step(action)


def test_a_game_that_always_dies_is_given_up(capfd):
    world = PixelEnvs([Mortal(get_task("take-cover").make_env())])
    world.reset(seed=[5])
    with pytest.raises(EnvironmentFailure, match="the game ended unexpectedly"):
        world.step(np.zeros((1, 1), np.float32))
    assert world.num_failures == MAX_FAILURES - 1
    world.close()
