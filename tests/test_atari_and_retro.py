"""The games of other packages: what a step of theirs is to us, and one clear line where a package or a ROM is not there."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.extras import how_to_install
from worldmodels.cli import main
from worldmodels.envs import atari, retro  # noqa: F401 (register the tasks)
from worldmodels.envs.check import check_task
from worldmodels.envs.registry import get_task
from worldmodels.worlds.pixel_envs import PixelEnvs

with_atari = pytest.mark.skipif(find_spec("ale_py") is None, reason="ale-py is not installed")
with_retro = pytest.mark.skipif(find_spec("stable_retro") is None, reason="stable-retro is not installed")


@pytest.mark.parametrize(
    ("module", "task", "needed", "extra"),
    [("atari", "pong", "ale_py", "atari"), ("retro", "sonic", "stable_retro", "retro")],
)
def test_a_package_that_is_not_installed_is_one_line_with_the_mend(module, task, needed, extra):
    """In a process that cannot find the package, as where it is not installed; nobody else is told."""
    script = f"""
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "{needed}":
            raise ModuleNotFoundError(name)
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "{needed}" else real(name, *rest)
import worldmodels.envs.{module}
from worldmodels.cli import main
assert "{task}" not in __import__("worldmodels").tasks()
sys.exit(main(["reproduce", "{task}", "--scale", "smoke", "--run", "unused"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"the task '{task}' is not there" in line
    assert how_to_install(extra) in line


def an_episode(task, seed, num_steps):
    env = task.make_env()
    rng = np.random.default_rng(seed)
    frames, rewards = [env.reset(seed=seed)[0]], []
    for _ in range(num_steps):
        frame, reward, *_ = env.step(np.eye(task.action_size, dtype=np.float32)[rng.integers(task.action_size)])
        frames.append(frame)
        rewards.append(reward)
    env.close()
    return np.stack(frames), rewards


def check_a_game(name, size, num_steps):
    task = get_task(name)
    check_task(task)
    assert task.choices == (size,)
    frames, rewards = an_episode(task, 3, num_steps)
    assert (frames.shape[1:], frames.dtype) == ((64, 64, 3), np.uint8)
    assert len({frame.tobytes() for frame in frames}) > num_steps // 4
    again, paid = an_episode(task, 3, num_steps)
    np.testing.assert_array_equal(frames, again)
    assert rewards == paid
    assert not np.array_equal(frames, an_episode(task, 4, num_steps)[0])
    return rewards


@with_atari
@pytest.mark.parametrize(("name", "size"), [("pong", 6), ("boxing", 18)])
def test_ataris_games_are_tasks(name, size):
    assert sum(check_a_game(name, size, 300)) < 0  # who acts by chance loses


@with_retro
def test_airstriker_is_a_task():
    assert {reward for reward in check_a_game("airstriker", 6, 120) if reward} == {20}  # an enemy shot down


@with_retro
def test_gymnasium_finds_nothing_wrong_with_airstriker():
    env = gym.make("worldmodels/Airstriker-v0", render_mode="rgb_array").unwrapped
    try:
        check_env(env, skip_render_check=True)
    finally:
        env.close()


@with_retro
def test_emulators_run_side_by_side():
    """stable-retro allows one a process."""
    world = PixelEnvs([get_task("airstriker").make_env() for _ in range(3)])
    try:
        frames, _ = world.reset(seed=[1, 1, 2])
        np.testing.assert_array_equal(frames[0], frames[1])
        world.step(np.eye(6, dtype=np.float32)[[1, 2, 3]])
    finally:
        world.close()


@with_retro
def test_an_emulator_that_dies_is_a_failure_of_the_environment():
    env = gym.make("worldmodels/Airstriker-v0").unwrapped
    env.reset(seed=0)
    os.kill(env._process.pid, signal.SIGKILL)
    with pytest.raises(EnvironmentFailure, match="the emulator ended unexpectedly"):
        env.step(0)
    env.reset(seed=0)
    assert env.step(0)[1] == 0
    process = env._process
    env.close()
    assert process.poll() is not None


@with_retro
def test_sonic_without_its_rom_is_one_line_with_the_mend(tmp_path, capsys):
    import stable_retro

    try:
        stable_retro.data.get_romfile_path("SonicTheHedgehog-Genesis-v0")
    except FileNotFoundError:
        with pytest.raises(UserError, match=r"no ROM of it; import your own with 'python -m stable_retro.import FOLDER'"):
            check_task(get_task("sonic"))
        assert main(["collect", "--task", "sonic", "--scale", "smoke", "--run", str(tmp_path / "run")]) == 2
        assert "stable_retro.import" in capsys.readouterr().err
    else:
        check_a_game("sonic", 8, 120)


@with_retro
def test_a_tiny_run_of_airstriker_goes_through_every_stage(tmp_path, capsys):
    run = str(tmp_path / "run")
    command = {
        "collect": ["--task", "airstriker", "--scale", "smoke", "--num-episodes", "4", "--num-workers", "1"],
        "train-vae": ["--num-steps", "10", "--validate-every-steps", "10"],
        "encode": [],
        "train-rnn": ["--num-steps", "10", "--validate-every-steps", "10", "--batch-size", "4", "--sequence-length", "32"],
        "train-controller": ["--num-generations", "1", "--population-size", "4", "--world", "dream", "--score-episodes", "2"],
        "evaluate": ["--episodes", "2", "--num-workers", "1"],
    }
    for verb, flags in command.items():
        where = [run] if verb == "evaluate" else ["--run", run]
        assert main([verb, *where, *flags]) == 0
    assert "airstriker, real, trained: " in capsys.readouterr().out
