"""Any Gymnasium environment as a task: actions, pictures, defaults, and what becomes of those that cannot be used."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from conftest import run_cli
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

import worldmodels as wm
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.cli import main
from worldmodels.config import PlayConfig, ReadConfig
from worldmodels.data.episodes import EpisodeStore
from worldmodels.envs import patience, presets, sizing
from worldmodels.envs.any_env import AnyEnv, make_any, read_defaults
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.check import check_task
from worldmodels.envs.choices import Choose
from worldmodels.envs.from_id import describe
from worldmodels.envs.native_actions import NativeActions, Within
from worldmodels.envs.no_display import no_display
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import PlaySettings
from worldmodels.runs import task_file
from worldmodels.runs.env_task import EnvTask, task_name
from worldmodels.runs.run import Run
from worldmodels.viewer.session import Session

PLUGIN = str(Path(__file__).parent / "plugin")
#: Flags that make every stage tiny.
TINY = {
    "collect": ["--num-episodes", "4", "--episodes-per-shard", "2", "--max-episode-steps", "6", "--num-workers", "1"],
    "train-vae": ["--num-steps", "2", "--batch-size", "4", "--latent-size", "3", "--held-out-fraction", "0.3"],
    "encode": [],
    "train-rnn": ["--num-steps", "2", "--batch-size", "2", "--sequence-length", "4", "--hidden-size", "5",
                  "--held-out-fraction", "0.3"],
    "train-controller": ["--num-generations", "1", "--population-size", "4", "--episodes-per-candidate", "1",
                         "--score-episodes", "2", "--world", "dream"],
}  # fmt: skip
SMALL = spaces.Box(0, 255, (20, 30, 3), np.uint8)


class Panic(BaseException):
    """As an environment in Rust panics."""


class Room(gym.Env):
    """Shows noise of a space's shape, and does what its arguments say."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, seen=None, acts=None, render_mode=None, does="", picture=None):
        self.observation_space = SMALL if seen is None else seen
        self.action_space = spaces.Discrete(2) if acts is None else acts
        self.render_mode, self._does, self._picture = render_mode, does, picture
        self._steps = 0
        self.actions = []
        if does == "moves when made":
            os.chdir("theirs")

    def _look(self):
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = 0
        if self._does == "moves at reset":
            os.chdir("theirs")
        return self._look(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.actions.append(action)
        self._steps += 1
        late = self._steps > 5
        if late and self._does == "raises":
            raise ZeroDivisionError("a fault of its own")
        if late and self._does == "exits":
            raise SystemExit(0)
        if late and self._does == "panics":
            raise Panic("called unwrap() on None")
        if late and self._does == "dies":
            os._exit(7)
        if late and self._does == "hangs":
            while True:
                pass
        seen = np.zeros((9, 9, 3), np.uint8) if late and self._does == "changes" else self._look()
        reward = {"nan": float("nan"), "huge": 1e39}.get(self._does, 2.0) if late else 2.0
        info = {"damage": {"left": 1}} if self._does == "damage" else {}
        return seen, reward, self._does == "" and self._steps == 8, False, info

    def render(self):
        return np.full((40, 50, 3), self._steps, np.uint8) if self._picture is None else self._picture


class Blind(Room):
    metadata = {"render_modes": []}


class Unsaid(gym.Env):
    """Neither of its spaces is there."""


class Shut(gym.Env):
    """Ends the program when it is made."""

    def __init__(self, render_mode=None):
        raise SystemExit(0)


gym.register("Rooms/Unsaid-v0", entry_point=Unsaid)
gym.register("Rooms/Shut-v0", entry_point=Shut)
gym.register("Rooms/One-v0", entry_point=Room, max_episode_steps=1)
gym.register("Rooms/Long-v0", entry_point=Room, max_episode_steps=10**7, reward_threshold=float("inf"))
for _does in ("", "raises", "exits", "panics", "dies", "hangs", "changes", "nan", "huge", "damage", "endless"):
    gym.register(f"Rooms/{_does or 'Plain'}-v0", entry_point=Room, kwargs={"does": _does})
gym.register("Rooms/Blind-v0", entry_point=Blind)


def made(read=None, **kwargs):
    """An environment of ours around a `Room`."""
    env = Room(render_mode="rgb_array", **kwargs)
    return AnyEnv(env, read or ReadConfig(observation="."), clip=True)


# ---- actions

small = st.integers(2, 5)
finite = st.floats(-1e3, 1e3, width=32)


@st.composite
def boxes(draw):
    shape = draw(st.lists(st.integers(1, 3), min_size=0, max_size=3).filter(lambda s: int(np.prod(s)) > 0))
    low = np.array(draw(st.lists(finite, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))).reshape(shape)
    kind = draw(st.sampled_from([np.float32, np.float64, np.int32]))
    return spaces.Box(np.floor(low).astype(kind), np.floor(low).astype(kind) + draw(small), dtype=kind)


choices_spaces = st.one_of(
    st.builds(lambda n, start: spaces.Discrete(n, start=start), small, st.integers(-3, 3)),
    st.builds(lambda sizes: spaces.MultiDiscrete(sizes), st.lists(small, min_size=1, max_size=4)),
    st.just(spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 0], [-2, 5]])),
    st.builds(lambda n: spaces.MultiBinary(n), st.integers(1, 4)),
    st.just(spaces.MultiBinary([2, 3])),
)


@given(choices_spaces, st.data())
def test_every_choice_reaches_the_environment_as_it_was_meant(space, data):
    actions = NativeActions(space, "here")
    chosen = [data.draw(st.integers(0, size - 1)) for size in actions.choices]
    outputs = np.concatenate([np.where(np.arange(n) == i, 0.5, -0.5) for n, i in zip(actions.choices, chosen, strict=True)])
    action = Choose(actions.choices)(outputs.astype(np.float32))
    assert actions.space.contains(action)
    native = actions.native(action)
    assert space.contains(native)
    start = getattr(space, "start", 0)
    assert np.array_equal(np.ravel(np.asarray(native) - start), chosen)


@given(boxes(), st.data())
def test_every_number_reaches_the_environment_in_its_range(space, data):
    actions = NativeActions(space, "here")
    size = len(actions.lows)
    outputs = np.array(data.draw(st.lists(st.floats(-1, 1, width=32), min_size=size, max_size=size)), np.float32)
    action = Within(actions.lows, actions.highs)(outputs)
    assert action.dtype == np.float32
    assert actions.space.contains(action)
    native = actions.native(action)
    assert space.contains(native)
    wanted = space.low + (outputs.reshape(space.shape).astype(float) + 1) / 2 * (space.high - space.low).astype(float)
    assert np.allclose(
        native, np.round(wanted) if space.dtype == np.int32 else wanted, atol=1.0 if space.dtype == np.int32 else 1e-3
    )


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int8])
def test_the_largest_whole_number_is_no_other(dtype):
    ends = np.iinfo(dtype)
    actions = NativeActions(spaces.Box(ends.min, ends.max, (1,), dtype), "here")
    for output, wanted in ((1, ends.max), (-1, ends.min)):
        native = actions.native(Within(actions.lows, actions.highs)(np.array([output], np.float32)))
        assert native.dtype == dtype
        assert native.tolist() == [wanted]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Box(-np.inf, np.inf, (2,)), "no finite bounds"),
        (spaces.Text(3), "a Text space; C acts in Gymnasium's Box, Discrete"),
        (spaces.Dict(a=spaces.Discrete(2)), "a Dict space"),
        (spaces.Discrete(1), "leave no choice"),
        (spaces.Box(-3e38, 3e38, (2,)), "reach further than float32"),
        (spaces.Box(-1e300, 1e300, (2,), np.float64), "reach further than float32"),
        (spaces.Discrete(20_000), "actions are 20,000 numbers or options"),
    ],
)
def test_actions_that_cannot_be_used(space, said):
    with pytest.raises(UserError, match=said):
        NativeActions(space, "Somewhere-v0")


# ---- what is seen

COLOURS = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
GREY = COLOURS[:, :, :1]
OTHER = 255 - COLOURS


@pytest.mark.parametrize(
    ("picture", "newest"),
    {
        "colour": (COLOURS, COLOURS),
        "colours first": (np.moveaxis(COLOURS, 2, 0), COLOURS),
        "grey": (GREY[:, :, 0], GREY),
        "grey, last": (GREY, GREY),
        "grey, first": (np.moveaxis(GREY, 2, 0), GREY),
        "four grey, first": (np.concatenate([np.moveaxis(OTHER, 2, 0), np.moveaxis(GREY, 2, 0)]), GREY),
        "four grey, last": (np.concatenate([OTHER, GREY], 2), GREY),
        "two colour, last": (np.concatenate([OTHER, COLOURS], 2), COLOURS),
        "stack of colour": (np.stack([OTHER, OTHER, COLOURS]), COLOURS),
        "stack of colour, first": (np.moveaxis(np.stack([OTHER, COLOURS]), 3, 1), COLOURS),
        "stack of grey": (np.stack([OTHER[:, :, :1], GREY]), GREY),
    }.values(),
)
def test_every_kind_of_picture(picture, newest):
    """Averaged over areas to 64×64; of a stack the newest is seen."""
    space = spaces.Box(0, 255, picture.shape, np.uint8)
    env = made(seen=space)
    env.env._look = lambda: picture
    frame, _ = env.reset(seed=0)
    wanted = area_resize(np.repeat(newest, 3, 2) if newest.shape[2] == 1 else newest, 64)
    assert np.array_equal(frame, wanted)
    assert env.observation_space.contains(frame)


def test_alpha_is_no_picture():
    opaque = np.concatenate([COLOURS, np.full((90, 70, 1), 255, np.uint8)], 2)
    env = made(seen=spaces.Box(0, 255, opaque.shape, np.uint8))
    env.env._look = lambda: opaque
    assert np.array_equal(env.reset(seed=0)[0], area_resize(COLOURS, 64))
    rendered = make_any("Rooms/Plain-v0", {"seen": VECTOR, "picture": opaque}, ReadConfig(observation="render"), clip=True)
    assert np.array_equal(rendered.reset(seed=0)[0], area_resize(COLOURS, 64))
    assert np.array_equal(rendered.render(), COLOURS)


def test_small_pictures_become_larger_and_a_crop_is_taken_first():
    env = made(ReadConfig(observation=".", crop="10:74,:64"), seen=spaces.Box(0, 255, COLOURS.shape, np.uint8))
    env.env._look = lambda: COLOURS
    assert np.array_equal(env.reset(seed=0)[0], COLOURS[10:74, :64])
    blocks = made(seen=spaces.Box(0, 255, (16, 32, 3), np.uint8))
    blocks.env._look = lambda: COLOURS[:16, :32]
    assert np.array_equal(blocks.reset(seed=0)[0], COLOURS[:16, :32].repeat(4, 0).repeat(2, 1))


DICT = spaces.Dict(hands=spaces.Dict(left=SMALL, number=spaces.Discrete(3)), code=spaces.Box(0, 9, (7, 7, 3), np.uint8))
TWO = spaces.Dict(left=SMALL, right=SMALL)
VECTOR = spaces.Box(-1, 1, (4,), np.float32)


@pytest.mark.parametrize(
    ("space", "asked", "seen"),
    [
        (SMALL, "", "."),
        (DICT, "", "hands.left"),
        (DICT, "code", "code"),
        (TWO, "right", "right"),
        (spaces.Tuple([VECTOR, SMALL]), "", "1"),
        (VECTOR, "", "render"),
        (SMALL, "render", "render"),
        (spaces.Box(0, 255, (128,), np.uint8), "", "render"),
        (spaces.Text(9), "", "render"),
    ],
)
def test_what_is_seen_of_an_observation(space, asked, seen):
    found = read_defaults("Rooms/Plain-v0", {"seen": space}, ReadConfig(observation=asked))
    assert found.observation == seen
    env = make_any("Rooms/Plain-v0", {"seen": space}, ReadConfig(observation=seen), clip=True)
    frame, _ = env.reset(seed=0)
    assert env.observation_space.contains(frame)
    for _ in range(3):
        frame, *_ = env.step(np.array([0, 1], np.float32))
    if seen == "render":
        assert (frame == 3).all()
        assert env.render().shape == (40, 50, 3)
    env.close()


@pytest.mark.parametrize(
    ("env_id", "space", "asked", "said"),
    [
        ("Rooms/Plain-v0", TWO, "", r"several pictures \(left, right\); say which"),
        ("Rooms/Plain-v0", TWO, "rigth", "no observation 'rigth'; did you mean 'right'"),
        ("Rooms/Plain-v0", DICT, "hands.number", "V sees pictures of uint8"),
        ("Rooms/Blind-v0", VECTOR, "", "no render mode 'rgb_array': there is no picture for V to see"),
        ("Rooms/Blind-v0", spaces.Text(9), "", "no render mode 'rgb_array'"),
        ("Rooms/Blind-v0", spaces.Graph(VECTOR, None), "", "no render mode 'rgb_array'"),
    ],
)
def test_what_cannot_be_seen(env_id, space, asked, said):
    with pytest.raises(UserError, match=said):
        read_defaults(env_id, {"seen": space}, ReadConfig(observation=asked))


# ---- what a step is


def test_frame_skip_and_the_clip_of_rewards():
    """Rewards are summed, then clipped; the episode's end ends the step; scores are taken without the clip."""
    read = ReadConfig(observation=".", frame_skip=3, reward_clip=5)
    clipped, plain = (AnyEnv(Room(), read, clip) for clip in (True, False))
    action = np.array([0, 1], np.float32)
    found = []
    for env in (clipped, plain):
        env.reset(seed=0)
        found.append([env.step(action)[1:3] for _ in range(3)])
        assert env.env.actions == [1] * 8
    assert found == [[(5.0, False), (5.0, False), (4.0, True)], [(6.0, False), (6.0, False), (4.0, True)]]
    task = get_task("toy")
    spec = wm.Task("skipping", env_id="Rooms/endless-v0", read=ReadConfig(frame_skip=3, reward_clip=5), max_episode_steps=7)
    wm.register(spec)
    spec = get_task("skipping")
    assert (spec.max_episode_steps, spec.play.render_fps) == (7, 7)
    for official, reward in ((False, 5.0), (True, 6.0)):
        env = spec.make_env(official)
        env.reset(seed=0)
        steps = [env.step(action) for _ in range(7)]
        assert [step[3] for step in steps] == [False] * 6 + [True]
        assert {step[1] for step in steps} == {reward}
    assert task == get_task("toy")


def test_the_defaults_are_the_environments_own():
    found = describe("CartPole-v1")
    assert (found.name, found.action_size, found.choices, found.max_episode_steps) == ("cart-pole", 2, (2,), 500)
    assert (found.play.render_fps, found.published.solved_at, found.read.observation) == (50, 475, "render")
    assert found.play.keys == {"left": (1.0, 0.0), "right": (0.0, 1.0)}
    check_task(found)
    shorter = describe("CartPole-v1", '{"max_episode_steps": 90}', ReadConfig(frame_skip=4))
    assert (shorter.max_episode_steps, shorter.play.render_fps) == (22, 12)
    assert shorter.name.startswith("cart-pole-")
    assert shorter.name != found.name
    swing = describe("Pendulum-v1")
    assert swing.squash(np.array([-1, 1], np.float32)).tolist() == [-2, 2]
    # A name that a package announces stays that package's.
    assert describe("CarRacing-v3").name.startswith("car-racing-")


def test_names():
    ids = ["CartPole-v1", "ALE/Pong-v5", "package.module:LunarLander-v3", "MiniGrid-Empty-5x5-v0", "FrozenLake8x8-v1", "?-v1"]
    names = ["cart-pole", "ale-pong", "lunar-lander", "mini-grid-empty-5x5", "frozen-lake8x8", "env"]
    assert [task_name(env_id) for env_id in ids] == names


def test_ids_in_other_letters_have_names_of_their_own():
    one, other, more = (task_name(env_id) for env_id in ("迷宮-v0", "赛车-v0", "Größe-v1"))
    assert re.fullmatch(r"env-[0-9a-f]{8}", one)
    assert re.fullmatch(r"gr-e-[0-9a-f]{8}", more)
    assert one != other
    gym.register("迷宮-v0", entry_point=Room)
    assert describe("迷宮-v0").name == one


def test_an_environment_that_changes_the_working_folder_moves_nobodys_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    for does in ("moves when made", "moves at reset"):
        gym.register(f"Rooms/{does.replace(' ', '-')}-v0", entry_point=Room, kwargs={"does": does})
        env = describe(f"Rooms/{does.replace(' ', '-')}-v0").make_env()
        assert Path.cwd() == tmp_path
        env.reset(seed=0)
        assert Path.cwd() == tmp_path


def test_a_task_says_what_it_will_and_its_environment_the_rest():
    spec = wm.Task("balance", env_id="CartPole-v1", max_episode_steps=60, play=PlaySettings(render_fps=9), latent_size=7)
    wm.register(spec)
    found = get_task("balance")
    assert (found.max_episode_steps, found.play.render_fps, found.latent_size, found.action_size) == (60, 9, 7, 2)
    check_task(found)
    assert wm.evaluate(None, "balance", episodes=2, num_workers=1)["num_episodes"] == 2


# ---- through every stage


def stages(run, *named):
    """Runs every stage, as a user types it; only the first one names the environment."""
    for verb, flags in TINY.items():
        assert main([verb, "--run", str(run), *(named if verb == "collect" else ()), *flags]) == 0


@pytest.fixture(scope="module")
def cart_pole(tmp_path_factory):
    run = tmp_path_factory.mktemp("cart") / "run"
    stages(run, "--env", "CartPole-v1", "--crop", "150:320,100:500", "--frame-skip", "2", "--scale", "smoke")
    return run


def test_cart_pole_through_every_stage_and_every_verb(cart_pole, tmp_path):
    """The run knows its environment: later commands on its folder, or on its model's alone, name nothing more."""
    facts = json.loads((cart_pole / "task.json").read_text())
    assert facts["read"] == {"observation": "", "crop": "150:320,100:500", "frame_skip": 2, "reward_clip": 0.0}
    actions = EpisodeStore(cart_pole / "episodes").shards[0].steps()["action"]
    assert set(map(tuple, actions.tolist())) <= {(0.0, 1.0), (1.0, 0.0)}
    model = tmp_path / "model"
    shutil.copytree(cart_pole / "model", model)
    for where, world in ((cart_pole, "real"), (model, "real"), (model, "dream")):
        asked = ["--world", world, "--episodes", "2", "--num-workers", "1", "--json", str(tmp_path / "score.json")]
        assert main(["evaluate", str(where), *asked]) == 0
        score = json.loads((tmp_path / "score.json").read_text())
        lost = {2 * episode["length"] - episode["return"] for episode in score["episodes"]}
        if world == "real":  # two points a step of ours; the last one may end after its first half
            assert lost <= {0, 1}
        else:  # M's guess of the reward is never exactly that
            assert lost.isdisjoint({0, 1})
    # In a process that has not seen the run, and knows of the environment what the folder says.
    assert run_cli("video", model, "--out", tmp_path / "v.gif", "--steps", "3").returncode == 0


def test_choices_are_never_mixed_and_a_persons_keys_choose(cart_pole, tmp_path):
    """The agent's data has a random choice in the place of its own now and then; no key is the first option."""
    asked = ["--previous", str(cart_pole), "--policy", "agent", "--max-noise", "1", "--seed", "1", "--scale", "smoke"]
    assert main(["collect", "--run", str(tmp_path / "next"), *asked, *TINY["collect"]]) == 0
    assert Run.open(tmp_path / "next").task == Run.open(cart_pole).task
    shards = EpisodeStore(tmp_path / "next" / "episodes").shards
    done = np.concatenate([shard.steps()["action"] for shard in shards])
    assert set(map(tuple, done.tolist())) <= {(0.0, 1.0), (1.0, 0.0)}
    session = Session(wm.load(cart_pole), PlayConfig(world="dream"))
    for keys, action in (({"right"}, [0, 1]), ({"left"}, [1, 0]), (set(), [1, 0])):
        session.restart()  # this M's dreams end at once
        session.step(dict.fromkeys(keys, 1.0))
        assert session.action.tolist() == action
    session.close()


def test_the_same_command_resumes_and_another_environment_is_refused(cart_pole, capfd):
    same = ["--env", "CartPole-v1", "--crop", "150:320,100:500", "--frame-skip", "2", "--scale", "smoke"]
    assert main(["collect", "--run", str(cart_pole), *same, *TINY["collect"]]) == 0
    for other in (["--frame-skip", "1"], ["--env-kwargs", '{"sutton_barto_reward": true}'], ["--env", "Acrobot-v1"]):
        capfd.readouterr()
        assert main(["collect", "--run", str(cart_pole), *same, *other]) == 2
        assert "holds a run with task cart-pole-" in capfd.readouterr().err.splitlines()[-1]


THIRD_PARTY = """
import gymnasium as gym, numpy as np
from worldmodels import Task, register

class Corridor(gym.Env):
    metadata = {"render_modes": []}
    def __init__(self, render_mode=None):
        self.observation_space = gym.spaces.Box(0, 255, (30, 40), np.uint8)
        self.action_space = gym.spaces.MultiDiscrete([3, 2])
    def look(self):
        frame = np.zeros((30, 40), np.uint8)
        frame[10:20, self.x : self.x + 4] = 255
        return frame
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = int(self.np_random.integers(10, 20))
        return self.look(), {}
    def step(self, action):
        self.x += (int(action[0]) - 1) * (1 + int(action[1]))
        return self.look(), float(self.x), not 0 < self.x < 35, False, {}

gym.register("Corridor-v0", entry_point=Corridor, max_episode_steps=12)
register(Task("corridor", "Corridor-v0"))
"""


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Installs a package that registers an environment, and maybe a task, for the programs that are started."""

    def install(source, announced):
        info = tmp_path / "worldmodels_corridor-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: corridor\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(announced)
        (tmp_path / "worldmodels_corridor.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))

    return install


def test_a_third_partys_file_through_every_stage(tmp_path, third_party):
    """It has no more than 25 lines, and no stage needs more."""
    assert len(THIRD_PARTY.strip().splitlines()) <= 25
    third_party(THIRD_PARTY, "[worldmodels.tasks]\ncorridor = worldmodels_corridor\n")
    commands = [[verb, "--run", "run", *flags] for verb, flags in TINY.items()]
    commands[0] += ["--task", "corridor", "--scale", "smoke"]
    commands += [["evaluate", "run", "--episodes", "2"], ["video", "run", "--out", "v.gif", "--steps", "3"]]
    program = (
        f"from worldmodels.cli import main\nif __name__ == '__main__':\n    print([main(command) for command in {commands}])"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines()[-1] == str([0] * 7), done.stderr


def test_an_environment_of_a_package_that_announces_nothing(tmp_path, third_party):
    """Its id names the package, which workers import too."""
    third_party(THIRD_PARTY.replace('register(Task("corridor", "Corridor-v0"))', ""), "")
    named = ["--env", "worldmodels_corridor:Corridor-v0"]
    done = run_cli("collect", "--run", tmp_path / "run", *named, *TINY["collect"][:-1], "2")
    assert done.returncode == 0, done.stderr
    assert Run.open(tmp_path / "run").task == "corridor"


# ---- as a user types it


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["reproduce", "--env", "CartPol-v1"], "did you mean 'CartPole-v1'?"),
        (["reproduce", "--env", "CartPole-v9"], "CartPole-v9 cannot be made: Environment version `v9`"),
        (["reproduce", "--env", "no_such_package:Thing-v0"], "No module named 'no_such_package'"),
        (["reproduce", "--env", "CartPole-v1", "--env-kwargs", "{gravity: 5}"], "env_kwargs is not JSON"),
        (["reproduce", "--env", "CartPole-v1", "--env-kwargs", '{"gravty": 5}'], "unexpected keyword argument 'gravty'"),
        (
            ["collect", "--run", "run", "--env", ""],
            "env is empty; name a Gymnasium id, such as CartPole-v1, or leave out --env",
        ),
        (
            ["collect", "--run", "run", "--env", "CartPole-v1", "--frame-skip", "251"],
            "frame_skip is 251; an episode of CartPole-v1 has 500 steps at most: take 250 or less",
        ),
        (
            ["collect", "--run", "run", "--env", "CartPole-v1", "--env-kwargs", '{"render_mode": "human"}'],
            "env_kwargs has render_mode, which is not yours to set; leave it out",
        ),
        (["reproduce", "--env", "CartPole-v1", "--crop", "4"], "crop is '4'; write TOP:BOTTOM,LEFT:RIGHT"),
        (["reproduce", "--env", "CartPole-v1", "--crop", "500:,:"], "leaves nothing of a picture of 400 rows and 600 columns"),
        (["reproduce", "--env", "CartPole-v1", "--frame-skip", "0"], "frame_skip is 0; it must lie between 1 and 1,000"),
        (["reproduce", "toy", "--env", "CartPole-v1"], "'toy' and --env CartPole-v1 are two"),
        (["reproduce", "toy", "--crop", "1:2,3:4"], "belong to --env ID, which is missing"),
        (["reproduce"], "give one task, by its name or as --env ID"),
        (["collect", "--run", "run", "--env", "CartPol-v1"], "did you mean 'CartPole-v1'?"),
        (["iterate", "--env", "CartPol-v1"], "did you mean 'CartPole-v1'?"),
        (["evaluate", "--env", "CartPol-v1"], "did you mean 'CartPole-v1'?"),
        (["evaluate", "--env", "CartPole-v1"], "no agent is shipped for cart-pole"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(args, said, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(args) == 2
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if "XDG_RUNTIME_DIR" not in line]
    assert not out
    assert len(lines) == 1
    assert said in lines[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_another_id_of_the_same_name_is_told_from_the_first():
    first = task_file.known[describe("Acrobot-v1").name]
    with pytest.raises(UserError, match=r"two tasks are called acrobot \(Acrobot-v1 and Acrobot-v0\); use another --run"):
        task_file.note(dataclasses.replace(first, env_id="Acrobot-v0"))
    with pytest.raises(UserError, match=r"\(Acrobot-v1, with other settings or in other versions\)"):
        task_file.note(dataclasses.replace(first, max_episode_steps=9))


def test_a_file_that_is_no_task(cart_pole, tmp_path):
    facts = json.loads((cart_pole / "task.json").read_text())
    changes = [
        {"choices": [3]}, {"lows": [0.0]}, {"env_kwargs": []}, {"max_episode_steps": 0}, {"name": "../x"}, {"more": 1},
        {"read": {"crop": "x"}}, {"read": 3}, {"highs": [1.0, float("inf")]}, {"solved_at": "high"}, {"observation": None},
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(BadFileError, match="not a task made of an environment"):
            EnvTask.from_json({**facts, **change}, tmp_path / "task.json")
    whole = EnvTask.from_json(facts, tmp_path / "task.json")
    task_file.note(whole)
    task_file.write(whole.name, tmp_path)
    assert json.loads((tmp_path / "task.json").read_text()) == facts
    with pytest.raises(UserError, match="two tasks are called"):
        task_file.note(dataclasses.replace(whole, max_episode_steps=3))


# ---- environments that fail


def nine_steps(env):
    env.reset(seed=3)
    for _ in range(9):
        env.step(np.array([0, 1], np.float32))


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("raises", r"step\(\) raised ZeroDivisionError: a fault of its own .*\(seed 3, step 6 of the episode\)"),
        ("changes", r"a picture is \(9, 9, 3\); the one before was \(20, 30, 3\)"),
        ("nan", "a reward is nan; it must be a finite number"),
        ("huge", r"a reward is 1e\+39; it must be a finite number that fits float32"),
        ("exits", r"step\(\) raised SystemExit: 0 .*\(seed 3, step 6 of the episode\)"),
        ("panics", r"step\(\) raised Panic: called unwrap\(\) on None .*\(seed 3, step 6 of the episode\)"),
    ],
)
def test_a_fault_is_named_with_its_step(does, said):
    env = describe(f"Rooms/{does}-v0").make_env()
    with pytest.raises(UserError, match=said):
        nine_steps(env)


def test_somebodys_own_word_of_damage_is_nothing_to_us():
    env = describe("Rooms/damage-v0").make_env()
    env.reset(seed=0)
    assert env.step(np.array([0, 1], np.float32))[4]["damage"] == 0


def test_a_picture_that_is_not_rendered_is_named():
    env = make_any("Rooms/Plain-v0", {"seen": VECTOR, "picture": "none"}, ReadConfig(observation="render"), clip=True)
    with pytest.raises(ValueError, match=r"render\(\) gave a str; it must be a picture"):
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("Rooms/Unsaid-v0", "Rooms/Unsaid-v0 does not say what it is: AttributeError: .*action_space"),
        ("Rooms/Shut-v0", "Rooms/Shut-v0 cannot be made: SystemExit: 0"),
        ("Rooms/One-v0", r"an episode of Rooms/One-v0 has 1 steps at most; it must be 2 to 1,000,000: .*max_episode_steps"),
        ("Rooms/Long-v0", r"has 10,000,000 steps at most; it must be 2 to 1,000,000: .*max_episode_steps"),
    ],
)
def test_one_that_cannot_be_read_is_named(env_id, said):
    with pytest.raises(UserError, match=said):
        describe(env_id)


def test_no_score_solves_what_only_infinity_does():
    assert read_defaults("Rooms/Long-v0", {"max_episode_steps": 9}, ReadConfig()).solved_at is None


def test_one_that_hangs_ends_in_an_error(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 1)
    env = describe("Rooms/hangs-v0").make_env()
    with pytest.raises(EnvironmentFailure, match=r"Rooms/hangs-v0's step\(\) has not come back for 1 seconds"):
        nine_steps(env)


def test_one_that_never_ends_is_cut():
    env = describe("Rooms/endless-v0", '{"max_episode_steps": 30}').make_env()
    env.reset(seed=0)
    assert [env.step(np.array([0, 1], np.float32))[3] for _ in range(30)] == [False] * 29 + [True]


# ---- scales that nobody has tuned


def test_scales_are_sized_by_a_first_look():
    slow, fast = sizing.Measured(20, 900), sizing.Measured(2_000, 20)
    for scale, budget in sizing.BUDGETS.items():
        usual = presets.USUAL[scale]
        first, second = (sizing.sized_for(usual, budget, measured, 1_000) for measured in (slow, fast))
        for sized, measured in ((first, slow), (second, fast)):
            sized.validate()
            frames = sized.collect.num_episodes * min(measured.mean_length, sized.collect.max_episode_steps or 1_000)
            assert budget.min_frames * 0.4 <= frames <= budget.max_frames * 1.1
        assert first.collect.num_episodes <= second.collect.num_episodes
        assert first.controller.num_generations <= second.controller.num_generations
        assert second.collect.random.max_hold_steps < first.collect.random.max_hold_steps


ENDS_ITS_PROCESS = """
import os
import gymnasium as gym

class Dies(gym.Wrapper):
    def step(self, action):
        os._exit(7)

gym.register("EndsItsProcess-v0", entry_point=lambda **kwargs: Dies(gym.make("CartPole-v1", **kwargs)))
"""


def test_one_that_ends_its_process_does_not_end_ours(tmp_path, monkeypatch, capfd):
    (tmp_path / "ends_its_process.py").write_text(ENDS_ITS_PROCESS)
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    assert main(["collect", "--run", str(run), "--env", "ends_its_process:EndsItsProcess-v0", "--scale", "smoke"]) == 4
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert said.endswith("ends-its-process: a first look at its environment failed: worker processes died 3 times in a row")
    assert not run.exists()


def test_a_resumed_run_is_not_measured_again(cart_pole, monkeypatch):
    monkeypatch.setattr(sizing, "measure", lambda task: pytest.fail("measured again"))
    run = Run.open(cart_pole)
    assert sizing.preset_of(get_task(run.task), "smoke", cart_pole) == get_task(run.task).preset("smoke")
    assert main(["collect", "--run", str(cart_pole)]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere SDL needs no folder for a display")
def test_a_picture_needs_no_display_and_nobody_speaks_of_one(tmp_path):
    """SDL would complain that XDG_RUNTIME_DIR is not set, once a process."""
    unset = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER")
    surroundings = {name: value for name, value in os.environ.items() if name not in unset}
    named = ["--env", "CartPole-v1", "--scale", "smoke", "--num-episodes", "2", "--num-workers", "2"]
    done = run_cli("collect", "--run", tmp_path / "run", *named, env=surroundings)
    assert done.returncode == 0
    assert "XDG_RUNTIME_DIR" not in done.stdout + done.stderr


def test_a_display_that_is_there_is_left_as_it_is(monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with no_display():
        assert os.environ["SDL_VIDEODRIVER"] == "dummy"
    assert "SDL_VIDEODRIVER" not in os.environ
    monkeypatch.setenv("DISPLAY", ":7")
    with no_display():
        assert "SDL_VIDEODRIVER" not in os.environ
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    with no_display():
        assert os.environ["SDL_VIDEODRIVER"] == "x11"
    assert os.environ["SDL_VIDEODRIVER"] == "x11"
