"""Forked processes: dreams in Gymnasium's asynchronous vectors, and games that belong to the process that started them."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

#: What every script begins with: torch and its threads have been used before anything is forked.
USED_THREADS = """
import os, sys, time
import gymnasium as gym
import numpy as np
import torch
import worldmodels

torch.set_num_threads(2)
x = torch.randn(600, 600)
for _ in range(3):
    torch.relu((x @ x)).sum()
"""


def run(script, seconds=90):
    """Runs a script in a session of its own and returns what it prints; if it hangs, all of it is killed."""
    code = USED_THREADS + textwrap.dedent(script)
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    # From Python 3.12 on it warns at every fork beside threads, which is what is tried here.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=env
    ) as process:
        try:
            out, error = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            raise
    assert process.returncode == 0, error
    return out, error


@pytest.mark.parametrize("context", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("name", ["TakeCoverDream-v0", "CarRacingLatent-v3"])
def test_asynchronous_vectors(name, context):
    if name != "TakeCoverDream-v0" and context != "fork":
        pytest.skip("the dream stands for both")
    out, _ = run(f"""
        if __name__ == "__main__":
            name = "worldmodels/{name}"
            one = gym.make(name)
            first = one.reset(seed=7)[0]
            envs = gym.make_vec(name, num_envs=2, vectorization_mode="async", vector_kwargs={{"context": "{context}"}})
            obs, _ = envs.reset(seed=7)
            assert np.array_equal(obs[0], first)
            action = np.zeros(envs.action_space.shape, np.float32)
            for _ in range(5):
                obs, *_ = envs.step(action)
                assert np.array_equal(obs[0], one.step(action[0])[0])
            envs.close()
            assert torch.get_num_threads() == 2
            print("done")
    """)
    assert out == "done\n"


#: A child says 0 when all went well; one that hangs is killed.
FORK = """
def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if (done := os.waitpid(pid, os.WNOHANG))[0]:
            assert done[1] == 0, done
            return
        time.sleep(0.02)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise AssertionError("the child hangs")
"""


def test_dreams_made_before_a_fork_go_on_in_the_child():
    run(
        FORK
        + """
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.agent.target import model_folder
from worldmodels.agent.load import load
model = load("take-cover")
for slots in (1, 300):
    dream = DreamEnv(model.world_model, model.inputs, slots, 1.0)
    dream.reset(seed=1)
    actions = np.zeros((slots, 1), np.float32)
    dream.step(actions)

    def work():
        dream.restore(dream.world_state(), [1] * slots)
        for _ in range(3):
            dream.step(actions)
        dream.decode()
        dream.reset(seed=2)
        dream.shrink(np.arange(slots) % 2 == 0)
        DreamEnv(model.world_model, model.inputs, slots, 1.0).reset(seed=3)

    in_child(work)
    dream.step(actions)
"""
    )


PLAY = (
    FORK
    + """
import psutil
from worldmodels.envs.take_cover.env import TakeCoverEnv
from worldmodels.base.errors import EnvironmentFailure

def make():
    env = TakeCoverEnv()
    env.reset(seed=3)
    return env

action = np.ones(1, np.float32)
env = make()
whole = [env.step(action)[0] for _ in range(6)]
env.reset(seed=3)
before = [env.step(action)[0] for _ in range(3)]
game = psutil.Process(env._running.process)

def goes_on():
    assert game.is_running() and game.status() != psutil.STATUS_ZOMBIE
    assert os.path.isdir(env._running.folder)
    assert all(np.array_equal(env.step(action)[0], frame) for frame in whole[3:])
    assert np.array_equal(env.reset(seed=3)[0], make().reset(seed=3)[0])
"""
)
CHILDREN = {
    "closes it": "env.close()",
    "drops it": "global env; import gc; del env; gc.collect()",
    "ends as programs do": "sys.exit(0)",
    "drops it and ends": "global env; del env; sys.exit(0)",
    "steps and begins its own": """
        try:
            env.step(action)
        except EnvironmentFailure as error:
            assert "reset()" in str(error)
        else:
            raise AssertionError
        env.reset(seed=3)
        assert all(np.array_equal(env.step(action)[0], frame) for frame in whole)
        assert env._running.process != game.pid
        env.close()""",
}


@pytest.mark.parametrize("what", CHILDREN)
def test_an_inherited_game_is_left_to_its_owner(what):
    """`os._exit` in `in_child` would hide what the end of an interpreter does: here it ends as programs do."""
    body = textwrap.indent(textwrap.dedent(CHILDREN[what].strip("\n")), "    ")
    script = PLAY.replace("        os._exit(0)\n", "        sys.exit(0)\n").replace(
        "        except BaseException", "        except SystemExit:\n            raise\n        except BaseException"
    )
    _, error = run(f"{script}\ndef work():\n{body}\n\nin_child(work)\ngoes_on()\n")
    assert error == ""


def test_many_games_behind_threads_are_played_on_in_a_child():
    _, error = run(
        FORK
        + """
from worldmodels.envs.registry import get_task
from worldmodels.worlds.pixel_envs import PixelEnvs

world = PixelEnvs([get_task("take-cover").make_env() for _ in range(3)], 2)
actions = np.ones((3, 1), np.float32)
world.reset(seed=1)
whole = [world.step(actions)[0] for _ in range(6)]
world.reset(seed=1)
for _ in range(3):
    world.step(actions)

def work():
    for frames in whole[3:]:
        assert np.array_equal(world.step(actions)[0], frames)
    world.close()

in_child(work)
work()
"""
    )
    assert error.count("is played again from the start") == 3


def test_a_forked_copy_does_not_hide_its_parents_death():
    """The guardian reads from a pipe, which the copy has inherited too."""
    script = """
        from worldmodels.envs.take_cover.env import TakeCoverEnv
        env = TakeCoverEnv()
        env.reset(seed=0)
        child = os.fork()
        if not child:
            time.sleep(600)
        print(env._running.process, child, flush=True)
        time.sleep(600)
    """
    code = USED_THREADS + textwrap.dedent(script)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        game, child = map(psutil.Process, map(int, parent.stdout.readline().split()))
        try:
            parent.kill()
            parent.wait()
            until = time.monotonic() + 5
            while time.monotonic() < until and game.is_running() and game.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
            assert not game.is_running() or game.status() == psutil.STATUS_ZOMBIE
            assert child.is_running()
        finally:
            child.kill()


@pytest.mark.parametrize("make", ["TakeCoverEnv()", "gym.make('worldmodels/TakeCoverLatent-v1')"])
def test_a_script_that_forgets_to_close_ends_quietly(make):
    out, error = run(f"""
        from worldmodels.envs.take_cover.env import TakeCoverEnv
        env = {make}
        env.reset(seed=0)
        env.step(np.zeros(1, np.float32))
        inner = env.unwrapped
        inner = getattr(inner, "_env", inner).unwrapped
        print(inner._running.process, inner._running.folder)
    """)
    assert error == ""
    pid, folder = out.split()
    assert not psutil.pid_exists(int(pid))
    assert not Path(folder).exists()
