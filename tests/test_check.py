"""A task of somebody else's with a mistake in it: one line with the mend, before any work, and nothing is left."""

import dataclasses
import os
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from conftest import random_world_model, run_cli
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.cli import main
from worldmodels.data.episodes import Episode, Shard, write_shard
from worldmodels.envs.check import check_task
from worldmodels.envs.gym_rules import Admission, InvalidAction, admitted
from worldmodels.envs.registry import get_task, register
from worldmodels.envs.task import Task, completed
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.pixel_envs import PixelEnvs

BAD_PLUGIN = str(Path(__file__).parent / "bad_plugin")
#: What is said of each task of `worldmodels_bad`: what is wrong, and the mend.
SAID = {
    "large": r"uint8 \(84, 84, 3\); V sees uint8 \(64, 64, 3\): bring it to 64×64 \(gymnasium.wrappers.ResizeObservation\)",
    "grey": r"uint8 \(64, 64\); .* repeat the grey values three times",
    "grey-channel": r"uint8 \(64, 64, 1\); .* repeat the grey values three times",
    "float": r"float32 \(64, 64, 3\); .* give whole numbers from 0 to 255",
    "channel-first": r"uint8 \(3, 64, 64\); .* move the colours to the end",
    "dict": r"observations are Dict\(.*give one in an observation wrapper",
    "discrete": r"actions are Discrete\(3\); C gives 1 float32 numbers: take a Box",
    "multi-binary": r"actions are MultiBinary\(3\); .* take a Box",
    "two-actions": r"actions have shape \(2,\) and action_size is 1",
    "half-range": r"actions go from \[0.0\] to \[1.0\], and C's go from -1 to 1; give a squash",
    "unbounded": r"actions have no bounds .* give the Box finite ones",
    "lying-space": r"a frame is uint8 \(32, 64, 3\)",
    "nan-reward": r"a reward is nan; it must be a finite number that fits float32 \(seed 0, step 1",
    "text-reward": r"a reward is 'one'; it must be a finite number",
    "raises": r"step\(\) raised ZeroDivisionError: of the task's own \(worldmodels_bad.py, line \d+\) \(seed 0, step 1",
    "no-render-mode": r"cannot be made with \{'render_mode': 'rgb_array'\}.* without .* it can: take that argument",
    "no-picture": r"render\(\) gave a NoneType; it must be a picture",
    "old-step": r"step\(\) raised ValueError: not enough values",
}
LATE = {
    "late-large": r"a frame is uint8 \(84, 84, 3\)",
    "late-float": r"a frame is float32",
    "late-nan-reward": r"a reward is nan",
    "late-nan-damage": r"the info's 'damage' is nan",
    "late-raises": r"raised ZeroDivisionError",
}


@pytest.fixture(autouse=True)
def bad_plugin(monkeypatch):
    """The bad tasks are installed, for this process and those that it starts."""
    monkeypatch.syspath_prepend(BAD_PLUGIN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([BAD_PLUGIN, os.environ["PYTHONPATH"]]))


def left_of(run):
    """What a refused command has left."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


@pytest.mark.parametrize("verb", ["collect", "reproduce"])
@pytest.mark.parametrize("task", SAID)
def test_a_bad_task_is_refused_in_one_line_before_any_work(task, verb, tmp_path, capfd):
    run = tmp_path / "run"
    asked = ["collect", "--task", task] if verb == "collect" else ["reproduce", task]
    assert main([*asked, "--run", str(run)]) == 2
    out, err = capfd.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert left_of(run) == []
    with pytest.raises(UserError, match=SAID[task]):
        check_task(get_task(task))
    assert err.startswith(f"worldmodels: {task}: ")


def test_as_a_program_it_says_the_same(tmp_path):
    found = run_cli("reproduce", "grey", "--run", tmp_path / "run")
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert "repeat the grey values three times" in found.stderr


@pytest.mark.parametrize("asked", [["evaluate", "large", "--agent", "random"], ["reproduce", "large"], ["iterate", "large"]])
def test_every_verb_that_plays_refuses_it(asked, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(asked) == 2
    assert "bring it to 64×64" in capfd.readouterr().err


def test_the_tasks_that_are_there_are_all_right():
    for name in ("toy", "toy-walls", "take-cover", "car-racing"):
        check_task(get_task(name))


@pytest.mark.parametrize("task", LATE)
def test_a_fault_in_mid_episode_names_task_seed_and_step(task):
    spec = get_task(task)
    check_task(spec)  # the first steps are all right
    world = PixelEnvs([spec.make_env()])
    world.reset(seed=[5])
    for _ in range(5):
        world.step(np.zeros((1, 1), np.float32))
    with pytest.raises(UserError, match=rf"{task}: .*{LATE[task]}.*\(seed 5, step 6 of the episode\)"):
        world.step(np.zeros((1, 1), np.float32))
    assert world.num_failures == 0
    world.close()


@pytest.mark.parametrize("task", ["late-large", "late-nan-reward", "late-raises"])
def test_a_collection_ends_with_it_and_leaves_nothing_half_written(task, tmp_path, capfd):
    run = tmp_path / "run"
    assert main(["collect", "--task", task, "--run", str(run), "--num-workers", "2"]) == 2
    err = [line for line in capfd.readouterr().err.splitlines() if line.startswith("worldmodels: ")]
    assert len(err) == 1
    assert f"{task}: " in err[0]
    assert "step 6 of the episode" in err[0]
    assert left_of(run) == []
    assert main(["train-vae", "--run", str(run)]) == 2
    assert "no run is here" in capfd.readouterr().err


@pytest.mark.parametrize("task", ["toy", "take-cover", "car-racing"])  # toy is checked by the guard
def test_an_action_that_is_no_number_is_named(task):
    env = get_task(task).make_env()
    env.reset(seed=1)
    size = env.action_space.shape[0]
    for wrong, said in ((np.full(size, np.nan, np.float32), "finite"), (np.zeros(size + 1, np.float32), "shape|finite")):
        with pytest.raises(UserError, match=rf"{task}: an action .*({said}).*\(seed 1, step \d of the episode\)"):
            env.step(wrong)
    env.close()


def test_an_environment_that_fails_to_close_loses_nothing(capfd):
    env = get_task("toy").make_env()
    env.unwrapped.close = lambda: 1 / 0
    env.close()
    assert "toy: its environment's close() raised ZeroDivisionError" in capfd.readouterr().err


def preset(**stages):
    """The toy's scale, with some settings of some stages changed."""
    found = get_task("toy").presets["smoke"]
    return dataclasses.replace(
        found, **{name: dataclasses.replace(getattr(found, name), **changed) for name, changed in stages.items()}
    )


def changed(task, changes):
    """The task with some fields changed, those of its records too."""
    for name, value in changes.items():
        record, _, field = name.rpartition(".")
        if record:
            value = dataclasses.replace(getattr(task, record), **{field: value})
        task = dataclasses.replace(task, **{record or field: value})
    return task


def wrong_policy(action):
    return lambda rng, config: lambda obs: action


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"env_id": "worldmodels-toy/Nothing-v0"}, "env_id .* is not registered with Gymnasium.*call gymnasium.register"),
        ({"official_id": "worldmodels-toy/Nothing-v0"}, "official_id .* is not registered"),
        ({"official_id": "CarRacing-v3"}, r"CarRacing-v3's observations are uint8 \(96, 96, 3\); .* bring it to 64×64"),
        ({"dream_id": "worldmodels-toy/MovingDot-v0"}, "dream_id .* an id of its own"),
        ({"latent_id": "worldmodels/TakeCoverLatent-v1"}, "latent_id .* an id of its own"),
        ({"env_kwargs": {"wals": True}}, "cannot be made.*unexpected keyword argument 'wals'"),
        ({"data.start_anywhere_kwargs": {"anywhere": 1}}, "data.start_anywhere_kwargs .* cannot be made.*'anywhere'"),
        ({"action_size": 2, "data.fixed_actions": {}}, r"actions have shape \(1,\) and action_size is 2"),
        ({"action_size": True}, "action_size is True"),
        ({"choices": (3,)}, r"choices is \(3,\)"),
        ({"latent_size": 0}, "latent_size is 0; it must be a whole number from 1"),
        ({"hidden_size": 2.5}, "hidden_size is 2.5"),
        ({"max_episode_steps": 1}, "max_episode_steps is 1"),
        ({"play.render_fps": 0}, "render_fps is 0"),
        ({"env_threads": 0}, "env_threads is 0"),
        ({"num_mixtures": 0}, "num_mixtures is 0"),
        ({"published.solved_at": float("nan")}, "solved_at is nan"),
        ({"play.key_ramp": 0}, "key_ramp is 0"),
        ({"dream_reward": 0.0}, "dream_reward is 0, .*leave it out, and M learns the reward"),
        ({"dream_reward": float("inf")}, "dream_reward is inf"),
        ({"done_head": False}, "done_head is False, so all dreams are worth the same"),
        ({"done_head": False, "dream_reward": None, "hit_damages": (50.0,)}, "hit_damages needs done_head"),
        ({"hit_damages": (50.0,)}, "the info of a step has no 'damage'"),
        ({"hit_damages": 50.0}, "hit_damages is 50.0; it must be a tuple"),
        ({"hit_damages": (-1.0,)}, "hit_damages is .*above 0"),
        ({"mirrored_action": (-1.0, 1.0)}, "mirrored_action is .* must be a tuple of 1"),
        ({"mirrored_action": (0.5,)}, "mirrored_action is .* must be -1 or 1"),
        ({"data.fixed_actions": {"stay": 0.0}}, r"data.fixed_actions\['stay'\] is 0.0; it must be a tuple of 1"),
        ({"data.fixed_actions": {"far": (7.0,)}}, r"data.fixed_actions\['far'\] is .*the environment's actions go from"),
        ({"play.keys": {"left": (1.0, 0.0)}}, r"play.keys\['left'\] is .* must be a tuple of 1"),
        ({"squash": lambda a: 2 * a}, "squash gives .*; the environment's actions go from"),
        ({"squash": lambda a: a[..., :0]}, "squash makes .* must keep type and shape"),
        ({"squash": lambda a: a / 0.0 if a is None else [][1]}, "squash fails .*IndexError"),
        ({"data.policy": wrong_policy([0.0])}, "data.policy gives a list"),
        ({"data.policy": wrong_policy(np.zeros(1))}, r"data.policy gives float64 \(1,\); it must give float32"),
        ({"data.policy": wrong_policy(np.full(1, 3, np.float32))}, "data.policy gives .*not in Box"),
        ({"data.policy": lambda rng: None}, "data.policy fails: TypeError"),
        ({"presets": {}}, "presets is empty"),
        ({"presets": {"a/b": preset()}}, "presets names the scale 'a/b'"),
        ({"presets": {"smoke": preset().collect}}, "the scale 'smoke' is a CollectConfig"),
        ({"presets": {"smoke": preset(vae={"batch_size": 0})}}, "the scale 'smoke': batch_size is 0"),
        ({"presets": {"smoke": preset(collect={"max_short_steps": 40})}}, "max_short_steps is 40 .* all would be dropped"),
        ({"presets": {"smoke": preset(collect={"start_anywhere": True})}}, "needs data.start_anywhere_kwargs"),
        ({"presets": {"smoke": preset(encode={"mirror_episodes": 1})}}, "mirror_episodes needs mirrored_action"),
    ],
)  # fmt: skip
def test_a_field_that_would_act_in_silence_is_named(changes, said):
    with pytest.raises(UserError, match=f"^toy: (.*: )?.*{said}") as found:
        check_task(changed(get_task("toy"), changes))
    assert "\n" not in str(found.value)


def test_left_at_their_defaults_the_reward_and_the_end_are_learned():
    """A newcomer's spec: nothing but what must be given."""
    required = {f.name for f in dataclasses.fields(Task) if f.default is f.default_factory is dataclasses.MISSING}
    toy = get_task("toy")
    spec = completed(Task(**{name: getattr(toy, name) for name in required}))
    check_task(spec)
    model = random_world_model(spec)
    assert (model.rnn.sizes.reward_head, model.rnn.sizes.done_head) == (True, True)
    dream = DreamEnv(model, "zh", 3, 1.0)
    dream.reset(seed=[1, 2, 3])
    rewards = dream.step(np.zeros((3, 1), np.float32))[1]
    assert len(set(rewards.tolist())) == 3


@pytest.mark.parametrize("failures", [2, 3])
def test_a_simulator_that_is_killed_while_it_is_looked_at_is_started_anew(failures, capfd):
    from worldmodels_toy import MovingDot

    left = iter(range(failures))

    class Mortal(MovingDot):
        def step(self, action):
            if next(left, None) is not None:
                raise EnvironmentFailure("the game ended unexpectedly")
            return super().step(action)

    env_id = f"worldmodels-bad/Mortal{failures}-v0"
    gym.register(env_id, entry_point=Mortal)
    spec = dataclasses.replace(get_task("toy"), env_id=env_id)
    if failures < 3:
        check_task(spec)
    else:
        with pytest.raises(EnvironmentFailure, match="ended unexpectedly"):
            check_task(spec)
    assert capfd.readouterr().err.count("looked at anew") == 2


class Endless(gym.Wrapper):
    """The toy without an end."""

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, False, info


def test_the_specs_limit_holds_whatever_is_registered():
    from worldmodels_toy import MovingDot

    for limit in (None, 3, 1000):
        env_id = f"worldmodels-bad/Limit{limit}-v0"
        gym.register(env_id, entry_point=lambda **kwargs: Endless(MovingDot(**kwargs)), max_episode_steps=limit)
        env = dataclasses.replace(get_task("toy"), env_id=env_id, max_episode_steps=7).make_env()
        env.reset(seed=1)
        ends = [env.step(np.zeros(1, np.float32))[3] for _ in range(7)]
        assert ends == [False] * 6 + [True]
        env.close()


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "-flag", ".hidden", "ä"])
def test_a_name_that_breaks_a_path_is_refused(name):
    with pytest.raises(UserError, match="use letters, digits"):
        register(dataclasses.replace(get_task("toy"), name=name))


EPISODE = Episode(
    7,
    np.zeros((5, 64, 64, 3), np.uint8),
    np.zeros((5, 2), np.float32),
    np.zeros(5, np.float32),
    np.zeros(5, np.bool_),
    np.zeros(5, np.float32),
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": np.zeros((5, 84, 84, 3), np.uint8)}, r"frames are uint8 \(5, 84, 84, 3\)"),
        ({"frames": np.zeros((5, 64, 64), np.uint8)}, r"frames are uint8 \(5, 64, 64\)"),
        ({"frames": np.zeros((5, 64, 64, 3), np.float32)}, "frames are float32"),
        ({"frames": EPISODE.frames[:4]}, "'action' is 5 × 2 float32; expected 4 × A float32"),
        ({"actions": np.zeros(5, np.float32)}, "'action' is 5 float32; expected 5 × A float32"),
        ({"actions": np.zeros((5, 3), np.float32)}, "its actions have 3 components, those before 2"),
        ({"actions": np.full((5, 2), np.nan, np.float32)}, "'action' holds a value that is not finite"),
        ({"rewards": np.full(5, np.inf, np.float32)}, "'reward' holds a value that is not finite"),
        ({"rewards": np.zeros(5)}, "'reward' is 5 float64"),
        ({"damage": np.full(5, np.nan, np.float32)}, "'damage' holds a value that is not finite"),
        ({"terminated": np.zeros(5, np.uint8)}, "'terminated' is 5 uint8; expected 5 bool"),
    ],
)  # fmt: skip
def test_what_could_not_be_read_is_not_written(changes, said, tmp_path):
    with pytest.raises(UserError, match=f"seed 7 could not be read again: {said}"):
        write_shard(tmp_path / "shard-00000", [dataclasses.replace(EPISODE, seed=6), dataclasses.replace(EPISODE, **changes)])
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_read_back(tmp_path):
    write_shard(tmp_path / "shard-00000", [EPISODE])
    assert Shard(tmp_path / "shard-00000").steps()["action"].shape == (5, 2)


@given(
    hnp.arrays(st.sampled_from([np.float32, np.float64, np.int64]), st.sampled_from([(3,), (2,), (3, 1)]))
    | st.lists(st.floats(-2, 2), min_size=3, max_size=3)
    | st.sampled_from(["left", None])
)
def test_few_numbers_are_admitted_as_many_are(action):
    space = spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))

    def what(admit):
        try:
            found = admit(action)
        except InvalidAction as error:
            return str(error)
        return found.dtype, found.tolist()

    assert what(Admission(space)) == what(lambda asked: admitted(asked, space))
