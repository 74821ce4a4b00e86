"""The real game: Gymnasium's rules, the paper's thresholds, exact repetition, and nothing left behind."""

import mmap
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import psutil
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodels.base.errors import UserError
from worldmodels.envs.registry import get_task
from worldmodels.envs.take_cover import env as take_cover
from worldmodels.envs.take_cover.env import HIT_DAMAGES, TakeCoverEnv


@pytest.fixture(scope="module")
def env():
    env = TakeCoverEnv(render_mode="rgb_array")
    yield env
    env.close()


def play(env, seed, actions):
    """All frames of an episode's beginning, the first one included."""
    frames = [env.reset(seed=seed)[0]]
    for action in actions:
        frames.append(env.step(np.array([action], np.float32))[0])
    return np.stack(frames)


ACTIONS = np.sin(np.arange(80) / 5)


@pytest.mark.filterwarnings("ignore")
def test_gymnasiums_checker_is_content():
    env = gym.make("worldmodels/TakeCover-v1")
    check_env(env.unwrapped)
    env.close()


def test_same_seed_and_actions_same_frames(env):
    first = play(env, 3, ACTIONS)
    np.testing.assert_array_equal(play(env, 3, ACTIONS), first)
    assert not np.array_equal(play(env, 4, ACTIONS), first)
    assert not np.array_equal(play(env, 3, -ACTIONS), first)
    assert first.shape == (81, 64, 64, 3)
    assert first.dtype == np.uint8
    assert first.std() > 5


@pytest.mark.parametrize(("below", "above"), [(-0.34, -0.33), (0.33, 0.34)])  # the paper's thirds: left, nothing, right
def test_thresholds_are_a_third(env, below, above):
    def walk(action):
        return play(env, 0, [action] * 15)[-1]

    assert not np.array_equal(walk(below), walk(above))
    # On one side of a threshold, how far makes no difference.
    np.testing.assert_array_equal(walk(above), walk(above + 0.3 if above < 0 else 1.0))
    np.testing.assert_array_equal(walk(below), walk(-1.0 if below < 0 else 0.0))


def test_an_episode_ends_with_death(env):
    env.reset(seed=1)
    total, terminated, truncated, damages = 0.0, False, False, []
    while not (terminated or truncated):
        obs, reward, terminated, truncated, info = env.step(np.zeros(1, np.float32))
        assert reward == 1
        total += reward
        damages.append(info["damage"])
    assert terminated
    assert not truncated
    assert info["health"] == 0
    assert sum(damages) == 100
    # All but the last, which cannot cost more than what is left.
    assert {damage for damage in damages[:-1] if damage} <= set(HIT_DAMAGES)
    assert 30 < total < 2100
    assert obs.shape == (64, 64, 3)


def test_truncation_at_the_limit(env, monkeypatch):
    monkeypatch.setattr(take_cover, "MAX_EPISODE_STEPS", 5)
    env.reset(seed=1)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


def test_the_limit_is_the_papers():
    assert get_task("take-cover").max_episode_steps == take_cover.MAX_EPISODE_STEPS == 2100


def test_screen_crop_and_resolution(env):
    frame, _ = env.reset(seed=0)
    assert env.render().shape == (120, 160, 3)
    for resolution, crop, shape in (("320x240", 400 / 480, (240, 320, 3)), ("160x120", 1.0, (120, 160, 3))):
        other = TakeCoverEnv(resolution, crop, render_mode="rgb_array")
        different, _ = other.reset(seed=0)
        assert other.render().shape == shape
        other.close()
        assert different.shape == frame.shape
        distance = np.abs(different.astype(int) - frame).mean()
        # The same scene drawn finer is nearly the same frame; one that keeps the bottom rows is another.
        assert 0 < distance < 15 if crop < 1 else distance > 5


def test_no_picture_without_a_render_mode():
    assert TakeCoverEnv().render() is None


def test_a_step_before_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        TakeCoverEnv().step(np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": "160x12"}, "did you mean '160x120'"),
        ({"crop": 0.0}, "between 0.1 and 1"),
        ({"crop": float("nan")}, "between 0.1 and 1"),
        ({"skill": 0}, "1, 2, 3, 4 or 5"),
        ({"skill": 6}, "1, 2, 3, 4 or 5"),
        ({"render_mode": "human"}, "rgb_array"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        TakeCoverEnv(**options)


def test_the_working_folder_stays_clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = TakeCoverEnv()
    env.reset(seed=0)
    assert Path.cwd() == tmp_path
    folder = Path(env._running.folder)
    env.close()
    assert list(tmp_path.iterdir()) == []
    assert not folder.exists()


def test_no_game_outlives_its_killed_parent():
    script = textwrap.dedent("""
        import time
        from worldmodels.envs.take_cover.env import HIT_DAMAGES, TakeCoverEnv
        env = TakeCoverEnv()
        env.reset(seed=0)
        print(env._running.process, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        game = psutil.Process(int(parent.stdout.readline()))
        assert "vizdoom" in game.name()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and game.is_running() and game.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)
    assert not game.is_running() or game.status() == psutil.STATUS_ZOMBIE


def mapped_by(pid):
    """The games' shared memory that a process has."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split()[-1]) for line in lines if "/dev/shm/ViZDoom" in line}


def test_a_game_that_dies_on_its_way_with_its_parent_leaves_nothing():
    """Killed as soon as there is shared memory: nobody has been told the game's name. Others' memory stays."""
    script = "from worldmodels.envs.take_cover.env import HIT_DAMAGES, TakeCoverEnv; TakeCoverEnv().reset(seed=0)"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stderr=subprocess.DEVNULL) as parent:
        while not (shared := mapped_by(parent.pid)):
            assert parent.poll() is None
            time.sleep(0.0005)
        others = Path(f"/dev/shm/ViZDoomMQCtr-test-{parent.pid}")
        others.write_bytes(bytes(4096))
        with others.open("rb") as file, mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ):
            os.killpg(parent.pid, signal.SIGKILL)
            parent.wait()
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and any(path.exists() for path in shared):
                time.sleep(0.05)
            assert not [path for path in shared if path.exists()]
            assert others.exists()
        others.unlink()


#: What the held random policy does not look at.
FRAME = np.zeros((64, 64, 3), np.uint8)


def run_lengths(actions):
    ends = np.flatnonzero(np.diff(actions)) + 1
    return np.diff([0, *ends, len(actions)])


def test_the_random_policy_holds_its_actions():
    config = get_task("take-cover").presets["paper"].collect.random
    act = get_task("take-cover").random_policy(np.random.default_rng(0), config)
    actions = np.array([act(FRAME)[0] for _ in range(20_000)])
    lengths = run_lengths(actions)[:-1]
    assert set(lengths) == set(range(1, 11))
    assert abs(lengths.mean() - 5.5) < 0.2
    assert -1 <= actions.min() < -0.99
    assert 0.99 < actions.max() <= 1
    assert abs(actions.mean()) < 0.05


def test_half_of_the_episodes_are_biased():
    config = get_task("take-cover").presets["smoke"].collect.random
    assert config.bias_scale > 0
    means = []
    for seed in range(200):
        act = get_task("take-cover").random_policy(np.random.default_rng(seed), config)
        means.append(np.mean([act(FRAME)[0] for _ in range(1000)]))
    biased = np.abs(means) > 0.2
    assert 0.25 < biased.mean() < 0.6
    assert min(means) < -0.4
    assert max(means) > 0.4


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_game_does_not_hear_what_a_terminal_sends(env, kind):
    """Ctrl-C reaches everybody in it. A game that dies of that while ViZDoom closes it aborts our process."""
    env.reset(seed=0)
    os.kill(env._running.process, kind)
    time.sleep(0.2)
    for _ in range(5):
        env.step(np.zeros(1, np.float32))
    assert psutil.Process(env._running.process).is_running()
