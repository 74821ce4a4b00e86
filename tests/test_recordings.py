"""Recordings made elsewhere: every format, by hand and by its own library; what does not fit; kills; what follows in a run."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gymnasium as gym
import imageio.v3 as imageio
import minari
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer
from PIL import Image

import worldmodels as wm
from worldmodels.agent.agent import Agent
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError, WorldModelsError
from worldmodels.base.extras import how_to_install
from worldmodels.cli import main
from worldmodels.config import PlayConfig
from worldmodels.data.episodes import Episode, EpisodeStore
from worldmodels.data.recordings.action_table import read_table
from worldmodels.data.recordings.arrays import read_npy
from worldmodels.data.recordings.npz import read_episode, write_episode
from worldmodels.data.recordings.source import open_source
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.registry import get_task
from worldmodels.viewer.encoder import encoding
from worldmodels.viewer.session import Session
from worldmodels.viewer.window import Window, play

RNG = np.random.default_rng(0)


def pictures(length, rows=64, columns=64):
    return RNG.integers(0, 256, (length, rows, columns, 3), np.uint8)


def original(folder, lengths=(5, 7, 6), action_size=1, **more):
    """A folder as Ha & Schmidhuber's code writes it."""
    folder.mkdir(parents=True)
    for i, length in enumerate(lengths):
        action = RNG.uniform(-1, 1, (length, action_size)).astype(np.float16)
        np.savez_compressed(folder / f"{i}.npz", **({"obs": pictures(length), "action": action} | more))
    return folder


def recorded(run):
    """All that a run's episodes hold, by name."""
    store = EpisodeStore(run / "episodes")
    steps = [shard.steps() for shard in store.shards]
    found = {name: np.concatenate([part[name] for part in steps]) for name in steps[0]}
    seeds = [seed for shard in store.shards for seed in shard.seeds]
    return found | {"frames": store.frames(0, store.num_frames), "lengths": store.lengths, "seeds": np.array(seeds)}


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def shards(run):
    """The bytes of all shards, but for the time stamps in a zip."""
    return {name: data for name, data in tree(run / "episodes").items() if not name.endswith("steps.npz")}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A run of the toy task with twelve recorded episodes. Read it."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "record").mkdir()
    for i in range(12):
        length = 20 + i
        np.savez(
            folder / "record" / f"{i}.npz",
            obs=pictures(length),
            action=RNG.uniform(-1, 1, (length, 1)).astype(np.float32),
            reward=RNG.normal(size=length),
            terminated=(np.arange(length) == length - 1) & (i % 2 == 0),
            damage=RNG.uniform(0, 50, length).astype(np.float32),
            seed=1000 + i,
        )
    wm.import_episodes(folder / "record", task="toy", run=folder / "run", scale="smoke")
    return folder / "run"


def test_the_originals_files(tmp_path):
    folder = original(tmp_path / "record", (5, 12))
    (folder / "0.npz").rename(folder / "10.npz")  # 1 comes before 10
    found = wm.import_episodes(folder, task="toy", run=tmp_path / "run")
    assert (found["task"], found["num_episodes"], found["num_frames"]) == ("toy", 2, 17)
    held = recorded(tmp_path / "run")
    assert held["lengths"].tolist() == [12, 5]
    for first, name in ((0, "1.npz"), (12, "10.npz")):
        made = np.load(folder / name)
        part = slice(first, first + len(made["obs"]))
        np.testing.assert_array_equal(held["frames"][part], made["obs"])
        np.testing.assert_array_equal(held["action"][part], made["action"].astype(np.float32))
    assert np.flatnonzero(held["terminated"]).tolist() == [11, 16]
    assert not held["reward"].any()


def test_the_other_implementations_files_begin_with_what_was_seen_after_the_first_action(tmp_path):
    folder = tmp_path / "thread_0"
    folder.mkdir()
    made = []
    for i in range(2):
        obs, action, reward = pictures(6, 96, 96), RNG.uniform(-1, 1, (9, 3)), RNG.normal(size=6)
        np.savez(folder / f"rollout_{i}.npz", observations=obs, actions=action, rewards=reward, terminals=np.arange(6) == 5)
        made.append((obs, action, reward))
    wm.import_episodes(tmp_path, run=tmp_path / "run", task="car-racing")
    held = recorded(tmp_path / "run")
    assert held["lengths"].tolist() == [5, 5]
    obs, action, reward = made[1]
    np.testing.assert_array_equal(held["frames"][5:], [area_resize(picture, 64) for picture in obs[:-1]])
    np.testing.assert_array_equal(held["action"][5:], action[1:6].astype(np.float32))
    np.testing.assert_array_equal(held["reward"][5:], reward[1:].astype(np.float32))
    assert np.flatnonzero(held["terminated"]).tolist() == [4, 9]


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 1), (1, 64, 64), (3, 80, 60), (40, 30, 3)])
def test_pictures_of_any_size_in_grey_or_colour(tmp_path, shape):
    obs = RNG.integers(0, 256, (4, *shape), np.uint8)
    np.savez(tmp_path / "a.npz", obs=obs, action=np.zeros(4))
    frames = read_episode(tmp_path / "a.npz", 0).frames
    assert (frames.shape, frames.dtype) == ((4, 64, 64, 3), np.uint8)
    np.testing.assert_allclose(frames.mean(), obs.mean(), atol=1)
    if shape[0] == 3:
        np.testing.assert_array_equal(frames[0], area_resize(np.ascontiguousarray(obs[0].transpose(1, 2, 0)), 64))


def film(path, frames):
    """A video by the library's own encoder: .mp4 by ours, .gif by Pillow."""
    if path.suffix == ".mp4":
        with encoding(path, (frames.shape[2], frames.shape[1]), 20) as encoder:
            for frame in frames:
                encoder.write(frame)
    else:
        imageio.imwrite(path, frames, loop=0, duration=50)


def steps_of_grey(length, rows=64, columns=96):
    """Pictures that differ from step to step, of plain colours, which no codec changes much."""
    return np.broadcast_to((np.arange(length, dtype=np.uint8) * 9 + 20)[:, None, None, None], (length, rows, columns, 3))


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_video_and_its_actions(tmp_path, ending):
    folder = tmp_path / "films"
    folder.mkdir()
    film(folder / f"b{ending}", steps_of_grey(9))
    np.save(folder / "b.npy", np.arange(18).reshape(9, 2))
    film(folder / f"a{ending}", steps_of_grey(8))
    rows = [f"{i},{i / 2},{-i},{int(i == 4)}" for i in range(8)]
    (folder / "a.csv").write_text("steer,reward,gas,terminated\n" + "\n".join(rows) + "\n")
    found = wm.import_episodes(folder, run=tmp_path / "run")
    assert found["num_episodes"] == 3
    held = recorded(tmp_path / "run")
    assert held["lengths"].tolist() == [5, 3, 9]
    np.testing.assert_array_equal(held["action"][:8], [[i, -i] for i in range(8)])
    np.testing.assert_array_equal(held["action"][8:], np.arange(18).reshape(9, 2))
    np.testing.assert_array_equal(held["reward"][:8], np.arange(8) / 2)
    assert np.flatnonzero(held["terminated"]).tolist() == [4]
    expected = np.concatenate([steps_of_grey(8)[:, 0, 0, 0], steps_of_grey(9)[:, 0, 0, 0]])
    np.testing.assert_allclose(held["frames"].mean((1, 2, 3)), expected, atol=3)


def dataset(name, observations, actions, observation_space, action_space, episodes=2, **kwargs):
    """A dataset made by Minari itself."""
    length = len(actions)
    buffers = [
        EpisodeBuffer(
            seed=100 + i,
            observations=observations,
            actions=actions,
            rewards=np.arange(length) + 0.5,
            terminations=np.arange(length) == length - 1,
            truncations=np.zeros(length, bool),
            infos={},
        )
        for i in range(episodes)
    ]
    return minari.create_dataset_from_buffers(
        name, buffers, observation_space=observation_space, action_space=action_space, **kwargs
    )


@pytest.fixture
def minari_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_dataset_of_choices_and_of_several_observations(minari_folder, tmp_path):
    obs = {"camera": pictures(7, 80, 80), "speed": np.zeros((7, 1), np.float32)}
    space = gym.spaces.Dict({"camera": gym.spaces.Box(0, 255, (80, 80, 3), np.uint8), "speed": gym.spaces.Box(-1, 1, (1,))})
    actions = np.array([0, 2, 1, 2, 0, 2])
    dataset("ball-v0", obs, actions, space, gym.spaces.Discrete(4), jpeg_encoding=False)
    found = wm.import_episodes("ball-v0", run=tmp_path / "run")
    held = recorded(tmp_path / "run")
    np.testing.assert_array_equal(held["frames"][:6], [area_resize(picture, 64) for picture in obs["camera"][:6]])
    np.testing.assert_array_equal(held["action"][:6], np.eye(4)[actions])
    assert held["reward"].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5] * 2
    assert held["seeds"].tolist() == [100, 101]
    assert np.flatnonzero(held["terminated"]).tolist() == [5, 11]
    # C chooses one of the four, also the one that was never chosen.
    task = get_task(found["task"])
    np.testing.assert_array_equal(task.squash(np.array([[-0.5, -1, -0.9, 0.2]], np.float32)), [[0, 0, 0, 1]])


def test_a_round_trip_through_minari_gives_the_same_bytes(imported, minari_folder, tmp_path, capsys):
    assert main(["export", "minari", str(imported), str(minari_folder / "toy-v0")]) == 0
    read = minari.load_dataset("toy-v0")
    before = recorded(imported)
    assert (read.total_episodes, read.total_steps) == (12, len(before["frames"]))
    assert not read.storage.jpeg_encoding
    np.testing.assert_array_equal(np.concatenate([episode.observations[:-1] for episode in read]), before["frames"])
    assert main(["import", str(minari_folder / "toy-v0"), "--task", "toy", "--run", str(tmp_path / "run")]) == 0
    after = recorded(tmp_path / "run")
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert (values.dtype, values.tobytes()) == (after[name].dtype, after[name].tobytes()), name
    capsys.readouterr()
    for name, words in (("toy-v0", "is there already"), ("toy", "names end in a version")):
        assert main(["export", "minari", str(imported), str(minari_folder / name)]) == 2
        assert words in capsys.readouterr().err
    assert sorted(path.name for path in minari_folder.iterdir()) == ["toy-v0"]


GOOD = {"obs": pictures(6), "action": np.zeros((6, 1), np.float32)}


def with_nan(length=6, step=3):
    values = np.zeros(length)
    values[step] = np.nan
    return values


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (GOOD | {"action": np.zeros((5, 1))}, "b.npz: lengths differ: 6 frames, 5 actions"),
        (GOOD | {"action": with_nan()}, "b.npz: 'action', step 3: is [nan]; every number must be finite"),
        (GOOD | {"action": np.full((6, 1), 1e300)}, "b.npz: 'action', step 0: is [1e+300]; every number must be finite"),
        (GOOD | {"action": np.full((6, 1), -3e38)}, "b.npz, step 0: an action is [-3"),
        (GOOD | {"reward": with_nan(6, 5)}, "b.npz: 'reward', step 5: is nan"),
        (GOOD | {"obs": GOOD["obs"].astype(np.float32)}, "b.npz: 'obs': is float32; pictures are uint8"),
        (GOOD | {"obs": pictures(6)[..., :2]}, "b.npz: 'obs': has shape (6, 64, 64, 2)"),
        (GOOD | {"action": np.array(["left"] * 6)}, "b.npz: 'action': is <U4; expected numbers"),
        (GOOD | {"terminated": np.arange(6) == 2}, "b.npz, step 2: is an end, and 3 steps follow"),
        (GOOD | {"terminated": np.arange(6)}, "b.npz: 'terminated', step 2: is 2; expected 1 (the end) or 0"),
        (GOOD | {"z": np.zeros(1)}, "b.npz: holds action, obs, z; expected obs and action"),
        ({"obs": GOOD["obs"][:0], "action": np.zeros((0, 1))}, "b.npz: has no steps"),
        (GOOD | {"action": np.zeros((6, 2))}, "b.npz: its actions have 2 components, those before 1"),
        (GOOD | {"seed": np.array(-3)}, "b.npz: 'seed' is -3; expected a whole number"),
        (GOOD | {"seed": np.array([1, 2])}, "b.npz: 'seed' is int64 (2,); expected a whole number"),
        (GOOD | {"action": np.array([print] * 6, object)}, "b.npz: not readable as .npz (holds Python objects"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(tmp_path, capsys, arrays, words):
    folder = original(tmp_path / "record", (6,))
    (folder / "0.npz").rename(folder / "a.npz")
    np.savez(folder / "b.npz", **arrays)
    assert main(["import", str(folder), "--task", "toy", "--run", str(tmp_path / "run")]) == 3
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("steer\n1\n2\n", "lengths differ: more than 2 frames and 2 rows"),
        ("steer\n" + "1\n" * 5, "writers of GIFs leave out a picture like the one before it"),
        ("steer\n" + "1\n" * 9, "lengths differ: 4 frames and 9 rows"),
        ("0,1\n" + "1,2\n" * 4, "if 0, 1 in the first row are names, leave that row out"),
        ("steer\n1\n2\nleft\n4\n", "a.csv, line 4, 'steer': 'left' is no number"),
        ("1,2\n1,2\n1\n1,2\n", "a.csv, line 3: has 1 cells; expected 2"),
        ("1\n2\ninf\n4\n", "a.csv, line 3, 'column 1': is inf; every number must be finite"),
        ("steer,terminated\n1,0\n1,0.5\n", "a.csv, line 3, 'terminated': is 0.5"),
        ("reward\n1\n1\n1\n1\n", "a.csv: has no column of actions, only reward"),
        ("steer,steer\n1,1\n", "a.csv, line 1: each column needs a name of its own"),
        ("steer,reward,Reward\n1,1,1\n", "a.csv, line 1: each column needs a name of its own"),
        ("steer,rewards\n1,1\n", "a.csv, line 1: 'rewards' would be an action; call it 'reward'"),
        ("steer,done\n1,1\n", "a.csv, line 1: 'done' would be an action; call it 'terminated'"),
        ("1\n1_0\n1\n1\n", "a.csv, line 2, 'column 1': '1_0' is no number"),
        ("", "a.csv: has no rows"),
        ("\0\xff", "a.csv"),
    ],
)
def test_what_does_not_fit_a_video_is_named_by_its_line(tmp_path, capsys, table, words):
    film(tmp_path / "a.gif", steps_of_grey(4))
    (tmp_path / "a.csv").write_text(table, encoding="latin-1")
    assert main(["import", str(tmp_path / "a.gif"), "--run", str(tmp_path / "run")]) == 3
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]
    assert not (tmp_path / "run").exists()


def test_a_gif_without_durations_is_not_read_in_part(tmp_path, capsys):
    """ffmpeg finds the first picture alone, and would say nothing."""
    first, *others = map(Image.fromarray, pictures(9))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    (tmp_path / "a.csv").write_text("steer\n0.5\n")
    assert main(["import", str(tmp_path), "--run", str(tmp_path / "run")]) == 3
    assert "1 of its 9 frames can be decoded; save it with a duration for each frame" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_the_run_has_made_and_what_is_hidden_is_no_recording(tmp_path, monkeypatch):
    folder = original(tmp_path / "record", (6, 7))
    (folder / ".ipynb_checkpoints").mkdir()
    shutil.copy(folder / "0.npz", folder / ".ipynb_checkpoints" / "0-checkpoint.npz")
    monkeypatch.chdir(folder)
    assert main(["import", ".", "--run", "run"]) == 0
    film(folder / "run" / "agent.gif", steps_of_grey(4))
    again = wm.import_episodes(".", run="run")
    assert again["num_episodes"] == 2


def test_named_columns_in_capitals(tmp_path):
    (tmp_path / "a.csv").write_text("Steer,Reward,Terminated\n0.5,1,False\n0.25,2,True\n")
    found = read_table(tmp_path / "a.csv")
    assert found.actions.tolist() == [[0.5], [0.25]]
    assert found.rewards.tolist() == [1, 2]
    assert found.terminated.tolist() == [False, True]


def test_damaged_videos(tmp_path, capsys):
    film(tmp_path / "a.mp4", pictures(60))
    whole = (tmp_path / "a.mp4").read_bytes()
    np.save(tmp_path / "a.npy", np.zeros((60, 1)))
    # A list of other files to open, which ffmpeg would follow if it were asked to guess what a file is.
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    for damaged in (whole[: len(whole) // 2], whole[:100], b"", playlist):
        (tmp_path / "a.mp4").write_bytes(damaged)
        assert main(["import", str(tmp_path / "a.mp4"), "--run", str(tmp_path / "run")]) == 3
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert "a.mp4: cannot be decoded" in said or "a.mp4: lengths differ" in said
    assert not (tmp_path / "run").exists()


def test_wrong_questions(tmp_path, capsys):
    def ask(*args, words, run="run"):
        assert main(["import", *map(str, args), "--run", str(tmp_path / run)]) == 2
        assert words in capsys.readouterr().err.strip().splitlines()[-1]
        assert run != "run" or not (tmp_path / "run").exists()

    folder = original(tmp_path / "record")
    ask(tmp_path / "recrod", words="recrod: no such file, folder or local Minari dataset")
    ask(folder, "--task", "tyo", words="there is no task 'tyo'; did you mean 'toy'?")
    ask(folder, "--task", "car-racing", words="its actions have 1 components, those of car-racing 3; name another task")
    ask(folder, "--scale", "smok", words="a task of recordings has no scale 'smok'; did you mean 'smoke'?")
    ask(folder / "0.npz", words="0.npz: holds one episode; V and M need two")
    (tmp_path / "empty").mkdir()
    ask(tmp_path / "empty", words="holds no recordings; a Minari dataset, or files that end in .npz, .mp4, .gif")
    film(tmp_path / "films.gif", steps_of_grey(2))
    ask(tmp_path / "films.gif", words="films.npy, a row a frame: neither is there")
    ask(tmp_path, words="holds files of two kinds, .npz and video")
    wm.import_episodes(folder, run=tmp_path / "made", task="toy")
    before = tree(tmp_path / "made")
    other = original(tmp_path / "other")
    ask(other, "--task", "toy", words="holds other recordings", run="made")
    assert main(["collect", "--run", str(tmp_path / "made")]) == 0  # there is nothing left to collect
    assert tree(tmp_path / "made") == before


def test_a_dataset_says_nothing_of_what_code_runs(tmp_path, minari_folder, imported, capsys):
    assert main(["export", "minari", str(imported), str(tmp_path / "toy-v0")]) == 0
    file = tmp_path / "toy-v0" / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    canary = tmp_path / "canary"
    spec = {"id": "Canary-v0", "entry_point": "os:mkdir", "kwargs": {"path": str(canary)}, "additional_wrappers": []}
    for gone in ("observation_space", "action_space"):
        changed = {key: value for key, value in metadata.items() if key != gone} | {"env_spec": json.dumps(spec)}
        file.write_text(json.dumps(changed))
        assert main(["import", str(tmp_path / "toy-v0"), "--run", str(tmp_path / "run")]) == 3
        assert "names no observation_space, action_space" in capsys.readouterr().err
    assert not canary.exists()
    assert not (tmp_path / "run").exists()


def test_damaged_datasets(tmp_path, imported, capsys):
    assert main(["export", "minari", str(imported), str(tmp_path / "toy-v0")]) == 0
    data = tmp_path / "toy-v0" / "data"
    whole = {path.name: path.read_bytes() for path in data.iterdir()}
    for name, content in whole.items():
        for length in (0, len(content) // 3, len(content) - 200):
            (data / name).write_bytes(content[:length])
            capsys.readouterr()
            assert main(["import", str(tmp_path / "toy-v0"), "--run", str(tmp_path / "run")]) == 3
            said = capsys.readouterr().err.strip().splitlines()
            assert str(data) in said[-1]
            assert not (tmp_path / "run").exists()
        (data / name).write_bytes(content)


def test_without_minari_it_says_how_to_get_it(tmp_path, imported):
    (tmp_path / "minari.py").write_text("raise ImportError('no minari')\n")
    program = "import sys; sys.path.insert(0, sys.argv[1]); from worldmodels.cli import main; sys.exit(main(sys.argv[2:]))"
    args = [str(tmp_path), "export", "minari", str(imported), str(tmp_path / "toy-v0")]
    done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(how_to_install("minari"))


def test_a_killed_import_goes_on_and_ends_with_the_same_bytes(tmp_path, capsys):
    folder = original(tmp_path / "record", [40] * 40)
    wm.import_episodes(folder, task="toy", run=tmp_path / "whole")
    args = ["import", str(folder), "--task", "toy", "--run", str(tmp_path / "killed")]
    process = subprocess.Popen([sys.executable, "-m", "worldmodels", *args], stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "killed/episodes/shard-00001").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "killed/episodes/shard-00001").exists()
    (tmp_path / "killed/episodes/.shard-00008.x.tmp").mkdir(exist_ok=True)
    wm.import_episodes(folder, task="toy", run=tmp_path / "killed")
    assert shards(tmp_path / "killed") == shards(tmp_path / "whole")
    for name, values in recorded(tmp_path / "whole").items():
        np.testing.assert_array_equal(recorded(tmp_path / "killed")[name], values)
    # A shard that is gone or damaged is made again.
    shutil.rmtree(tmp_path / "killed/episodes/shard-00003")
    (tmp_path / "killed/episodes/shard-00004/frames.bin").write_bytes(b"")
    wm.import_episodes(folder, task="toy", run=tmp_path / "killed")
    made = {name: data for name, data in shards(tmp_path / "killed").items() if not name.startswith("damaged")}
    assert made == shards(tmp_path / "whole")
    shutil.rmtree(tmp_path / "killed/episodes/shard-00003")
    for verb in ("collect", "train-vae"):
        assert main([verb, "--run", str(tmp_path / "killed")]) == 2
        assert "import" in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_run_goes_on_from_recordings_as_from_episodes_that_it_played(toy_run, tmp_path):
    assert main(["export", "minari", str(toy_run), str(tmp_path / "toy-v0")]) == 0
    run = tmp_path / "run"
    wm.import_episodes(tmp_path / "toy-v0", task="toy", run=run, scale="smoke")
    for verb in ("collect", "train-vae", "encode", "train-rnn", "train-controller"):
        assert main([verb, "--run", str(run)]) == 0
    for part in ("vae/model.safetensors", "rnn/model.safetensors", "model/controller.safetensors"):
        assert (run / part).read_bytes() == (toy_run / part).read_bytes(), part


def test_a_task_of_recordings_alone(tmp_path, capsys, monkeypatch):
    action = np.stack([RNG.uniform(-1, 1, 152), np.full(152, 0.5)], 1)  # one of them never moves
    original(tmp_path / "dots", (152,) * 4, action=action)
    monkeypatch.chdir(tmp_path)
    found = wm.import_episodes("dots", run="run", scale="smoke")
    assert wm.import_episodes("dots", run="run") == found  # the scale is the run's own
    assert found["task"].startswith("dots-")
    few = ["--num-steps", "2", "--batch-size", "4"]
    assert main(["train-vae", "--run", "run", *few]) == 0
    assert main(["encode", "--run", "run"]) == 0
    assert main(["train-rnn", "--run", "run", "--held-out-fraction", "0.5", *few]) == 0
    few = ["--num-generations", "1", "--population-size", "4", "--episodes-per-candidate", "1", "--score-episodes", "2"]
    assert main(["train-controller", "--run", "run", *few, "--score-every-generations", "1"]) == 0
    assert main(["evaluate", "run", "--world", "dream", "--episodes", "2"]) == 0
    # In a process that knows nothing of the run, from the model's folder alone.
    shutil.copytree("run/model", "elsewhere")
    program = "import worldmodels as wm; agent = wm.load('elsewhere'); print(agent.task.name, agent.task.action_size)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == [found["task"], "2"]
    assert main(["video", "run", "--world", "dream", "--steps", "2", "--out", "dream.gif"]) == 0
    assert main(["plot", "run"]) == 0
    capsys.readouterr()
    assert main(["fidelity", "run"]) == 0
    assert "no real environment, so that M's predictions alone can be measured" in capsys.readouterr().out
    measured = json.loads(Path("run/evaluation/fidelity.json").read_text())
    assert (measured["policies"], len(measured["open_loop_error"]["m"])) == ([], 100)
    capsys.readouterr()
    for args in (
        ["evaluate", "run", "--episodes", "2"],
        ["video", "run", "--steps", "2", "--out", "real.gif"],
        ["evaluate", "run", "--agent", "random"],
    ):
        assert main(args) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert "a task of recordings alone, without a real environment" in said[-1], args
    (Path("run") / "task.json").write_text("{}")
    assert main(["evaluate", "run", "--world", "dream"]) == 3
    assert "run/task.json: not a task of recordings" in capsys.readouterr().err


def test_played_episodes_are_kept_and_read_again(toy_world_model, tmp_path):
    agent = Agent(toy_world_model, "zh", None, 1.0, {}, {})
    session = Session(agent, PlayConfig(seed=5), tmp_path / "mine")
    for _ in range(3):
        while not session.episode.over:
            session.step()
        session.restart(session.episode.seed + 1)
    session.step()
    session.switch_world()
    session.step()  # a dream is no recording
    session.keep_episode()
    session.close()
    assert session.kept == [tmp_path / "mine" / f"episode-{i:05d}.npz" for i in range(4)]
    wm.import_episodes(tmp_path / "mine", task="toy", run=tmp_path / "run")
    held = recorded(tmp_path / "run")
    assert held["seeds"].tolist() == [5, 6, 7, 8]
    assert held["lengths"][-1] == 1
    assert held["reward"].all()
    env = agent.task.make_env()
    frame, _ = env.reset(seed=5)
    for t in range(int(held["lengths"][0])):
        np.testing.assert_array_equal(held["frames"][t], frame)
        frame, _, terminated, _, _ = env.step(held["action"][t])
        assert held["terminated"][t] == terminated


def an_episode():
    frames, rewards = np.zeros((3, 64, 64, 3), np.uint8), np.ones(3, np.float32)
    return Episode(7, frames, np.zeros((3, 1), np.float32), rewards, np.zeros(3, np.bool_), np.zeros(3, np.float32))


def test_players_who_share_a_folder_never_write_over_each_other(tmp_path):
    with ThreadPoolExecutor(8) as players:
        paths = list(players.map(write_episode, [tmp_path] * 40, [an_episode()] * 40))
    assert sorted(paths) == sorted(tmp_path.iterdir()) == [tmp_path / f"episode-{number:05d}.npz" for number in range(40)]
    assert all(len(read_episode(path, 0).frames) == 3 for path in paths)


def test_an_episode_that_cannot_be_written_leaves_no_empty_file(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(EnvironmentFailure, match=r"episode-00000.npz: cannot be written \(No space left on device\)"):
        write_episode(tmp_path, an_episode())
    assert not list(tmp_path.iterdir())


def test_who_interrupts_the_closing_of_the_window_keeps_the_episode(toy_run, tmp_path, monkeypatch):
    """The second Ctrl-C comes while the video is still being written."""

    def impatient(window):
        raise KeyboardInterrupt

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Window, "run", lambda window: [window._session.step() for _ in range(3)])
    monkeypatch.setattr(Window, "close", impatient)
    with pytest.raises(KeyboardInterrupt):
        play(PlayConfig(player="agent", seed=5), str(toy_run), tmp_path / "mine")
    assert len(read_episode(tmp_path / "mine" / "episode-00000.npz", 0).frames) == 3


@given(st.binary(max_size=300))
def test_no_file_of_bytes_does_anything_but_say_so(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    for name, read in (("a.npz", lambda p: read_episode(p, 0)), ("a.npy", read_npy), ("a.csv", read_table)):
        (folder / name).write_bytes(data)
        try:
            read(folder / name)
        except BadFileError as error:
            assert name in str(error)  # noqa: PT017 (most bytes are no file, some are a table)


@given(st.integers(0, 2**31), st.integers(0, 255), st.booleans())
def test_a_changed_byte_is_refused_or_read_as_an_episode(tmp_path_factory, place, value, compressed):
    folder = tmp_path_factory.mktemp("changed")
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", obs=np.zeros((3, 8, 8), np.uint8), action=np.ones(3))
    data = bytearray((folder / "a.npz").read_bytes())
    data[place % len(data)] = value
    (folder / "a.npz").write_bytes(data)
    try:
        episode = read_episode(folder / "a.npz", 0)
    except WorldModelsError:
        return
    assert episode.frames.shape[1:] == (64, 64, 3)
    assert np.isfinite(episode.actions).all()


def test_an_array_that_claims_more_than_its_file_takes_no_memory(tmp_path):
    np.savez(tmp_path / "a.npz", obs=np.zeros((3, 64, 64, 3), np.uint8), action=np.zeros(3))
    data = (tmp_path / "a.npz").read_bytes().replace(b"(3, 64, 64, 3)", b"(9999999, 9, )")
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(BadFileError, match=r"a\.npz: not readable"):
        read_episode(tmp_path / "a.npz", 0)


def test_a_dataset_without_pictures_is_refused(minari_folder, tmp_path):
    space = gym.spaces.Box(-1, 1, (4,))
    with pytest.warns(UserWarning, match="is set to None"):
        dataset("pole-v0", np.zeros((4, 4), np.float32), np.zeros((3, 1), np.float32), space, gym.spaces.Box(-1, 1, (1,)))
    with pytest.raises(UserError, match="V sees pictures"):
        open_source(str(minari_folder / "pole-v0"), tmp_path)
