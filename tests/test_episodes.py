"""Shards of episodes: what goes in comes out, and nothing damaged or malicious is loaded."""

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodels.base.errors import BadFileError, EnvironmentFailure
from worldmodels.base.files import sha256_of
from worldmodels.data.episodes import CHUNK_FRAMES, Episode, EpisodeStore, Shard, _npz_content, shard_sha256, write_shard


def make_episode(length, seed):
    rng = np.random.default_rng(seed)
    frames = np.broadcast_to(rng.integers(0, 256, (length, 1, 1, 3), np.uint8), (length, 64, 64, 3)).copy()
    frames[:, :8, :8] = rng.integers(0, 256, (length, 8, 8, 3), np.uint8)
    terminated = np.zeros(length, np.bool_)
    terminated[-1] = seed % 2
    actions = rng.normal(size=(length, 2)).astype(np.float32)
    rewards, damage = rng.normal(size=(2, length)).astype(np.float32)
    return Episode(seed, frames, actions, rewards, terminated, damage)


@given(st.lists(st.sampled_from([1, 2, 5, 127, 128, 129, 256]), min_size=1, max_size=3), st.integers(0, 99))
def test_round_trip(tmp_path_factory, lengths, seed):
    folder = tmp_path_factory.mktemp("shard") / "shard-00000"
    episodes = [make_episode(n, seed + i) for i, n in enumerate(lengths)]
    write_shard(folder, episodes)
    shard = Shard(folder)
    shard.verify()
    assert shard.lengths == lengths
    assert shard.seeds == [e.seed for e in episodes]
    np.testing.assert_array_equal(shard.frames(0, shard.num_frames), np.concatenate([e.frames for e in episodes]))
    steps = shard.steps()
    np.testing.assert_array_equal(steps["action"], np.concatenate([e.actions for e in episodes]))
    np.testing.assert_array_equal(steps["reward"], np.concatenate([e.rewards for e in episodes]))
    np.testing.assert_array_equal(steps["terminated"], np.concatenate([e.terminated for e in episodes]))
    np.testing.assert_array_equal(steps["damage"], np.concatenate([e.damage for e in episodes]))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two shards of 300 and 20 frames."""
    path = tmp_path_factory.mktemp("episodes")
    write_shard(path / "shard-00000", [make_episode(200, 0), make_episode(100, 1)])
    write_shard(path / "shard-00001", [make_episode(20, 2)])
    return path


@pytest.fixture
def shard(folder, tmp_path):
    """A copy of the first shard, to be damaged."""
    return Path(shutil.copytree(folder / "shard-00000", tmp_path / "shard-00000"))


@given(st.data())
def test_any_range_through_all_shards(folder, data):
    store = EpisodeStore(folder)
    whole = np.concatenate([make_episode(n, s).frames for n, s in ((200, 0), (100, 1), (20, 2))])
    start = data.draw(st.integers(0, store.num_frames - 1))
    stop = data.draw(st.integers(start + 1, store.num_frames))
    np.testing.assert_array_equal(store.frames(start, stop), whole[start:stop])


def test_store_numbers_episodes_and_chunks_through(folder):
    store = EpisodeStore(folder)
    assert store.lengths.tolist() == [200, 100, 20]
    assert store.offsets.tolist() == [0, 200, 300, 320]
    assert list(store.chunks()) == [(0, 128), (128, 256), (256, 300), (300, 320)]


def test_written_twice_gives_the_same_bytes(folder, tmp_path):
    write_shard(tmp_path / "shard-00000", [make_episode(200, 0), make_episode(100, 1)])
    for name in ("frames.bin", "steps.npz", "shard.json"):
        assert (tmp_path / "shard-00000" / name).read_bytes() == (folder / "shard-00000" / name).read_bytes()
    assert shard_sha256(tmp_path / "shard-00000") == shard_sha256(folder / "shard-00000")


def test_nothing_is_left_when_the_disk_refuses(tmp_path):
    (tmp_path / "shard-00000").mkdir()
    (tmp_path / "shard-00000" / "occupied").touch()
    with pytest.raises(EnvironmentFailure, match="shard-00000"):
        write_shard(tmp_path / "shard-00000", [make_episode(3, 0)])
    assert os.listdir(tmp_path) == ["shard-00000"]  # noqa: PTH208


def read_everything(path):
    shard = Shard(path)
    shard.frames(0, shard.num_frames)
    shard.steps()
    shard.verify()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("frames.bin", "steps.npz", "shard.json")
        for damage in ("missing", "empty", "truncated", "grown")
        if (name, damage) != ("steps.npz", "grown")  # a zip may be followed by anything
    ],
)
def test_a_damaged_file_is_named(shard, name, damage):
    path = shard / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "grown": content + b"x"}[damage])
    with pytest.raises(BadFileError, match="shard-00000"):
        read_everything(shard)


@given(st.data())
def test_verify_catches_a_flipped_bit(folder, tmp_path_factory, data):
    shard = Path(shutil.copytree(folder / "shard-00001", tmp_path_factory.mktemp("flip") / "shard-00001"))
    path = shard / "frames.bin"
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(BadFileError, match="checksum"):
        Shard(shard).verify()
    # Nothing of it is given out, whatever the decoder would make of it.
    with pytest.raises(BadFileError, match="checksum"):
        Shard(shard).frames(0, 20)
    # Somebody who vouches for it gets frames or the documented error, and never anything else.
    vouch(shard)
    with contextlib.suppress(BadFileError):
        assert Shard(shard).frames(0, 20).shape == (20, 64, 64, 3)


@pytest.mark.parametrize("name", ["action.npy", "terminated.npy"])
def test_verify_catches_other_steps(folder, shard, name):
    with np.load(shard / "steps.npz") as archive:
        steps = dict(archive)
    steps[name.removesuffix(".npy")][7] = 1 - steps[name.removesuffix(".npy")][7].astype(np.int8)
    np.savez(shard / "steps.npz", **steps)
    with pytest.raises(BadFileError, match="checksum"):
        Shard(shard).verify()


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {},
        None,
        {"episodes": []},
        {"episodes": [{"seed": 0}]},
        {"episodes": [{"seed": 0, "length": 300}], "chunk_bytes": [1], "frames_sha256": "", "steps_sha256": ""},
        {"episodes": [{"seed": 0, "length": -1}], "chunk_bytes": [], "frames_sha256": "", "steps_sha256": ""},
        {"episodes": [{"seed": 0, "length": 10**15}], "chunk_bytes": [9], "frames_sha256": "", "steps_sha256": ""},
        {"episodes": [{"seed": 0, "length": 300}], "chunk_bytes": "123", "frames_sha256": "", "steps_sha256": ""},
        {"episodes": "abc", "chunk_bytes": [1, 2, 3], "frames_sha256": "", "steps_sha256": ""},
    ],
)
def test_a_manifest_of_another_kind_is_refused(shard, manifest):
    (shard / "shard.json").write_text(json.dumps(manifest))
    with pytest.raises(BadFileError, match="shard-00000"):
        Shard(shard)


@pytest.mark.parametrize("sizes", [[-10, 20, 0], [10**30, 0, -(10**30)]])
def test_absurd_chunk_sizes_are_refused(shard, sizes):
    manifest = json.loads((shard / "shard.json").read_text())
    manifest["chunk_bytes"] = [*sizes[:-1], sum(manifest["chunk_bytes"]) - sum(sizes[:-1])]
    (shard / "shard.json").write_text(json.dumps(manifest))
    with pytest.raises(BadFileError, match="shard-00000"):
        read_everything(shard)


def vouch(shard):
    """Makes the manifest's checksums those of the content as it is now, as somebody would who means harm."""
    manifest = json.loads((shard / "shard.json").read_text())
    manifest["frames_sha256"] = sha256_of(shard / "frames.bin")
    with contextlib.suppress(zipfile.BadZipFile):
        manifest["steps_sha256"] = hashlib.sha256(_npz_content(shard / "steps.npz")).hexdigest()
    (shard / "shard.json").write_text(json.dumps(manifest))


def test_a_chunk_that_claims_a_huge_size_is_refused_at_once(shard):
    path = shard / "frames.bin"
    content = bytearray(path.read_bytes())
    content[4:8] = (2**31 - 1).to_bytes(4, "little")  # Blosc's header: the size after decompression
    path.write_bytes(content)
    vouch(shard)
    start = time.monotonic()
    with pytest.raises(BadFileError, match="2,147,483,647 bytes"):
        Shard(shard).frames(0, CHUNK_FRAMES)
    assert time.monotonic() - start < 1


class Canary:
    """Unpickling one leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_an_object_array_is_refused_unopened(shard, tmp_path):
    canary = tmp_path / "canary"
    objects = np.array([Canary(canary)] * 300, object)
    np.savez(shard / "steps.npz", action=objects, reward=objects, terminated=objects, damage=objects, allow_pickle=True)
    vouch(shard)
    with pytest.raises(BadFileError, match=r"steps\.npz"):
        Shard(shard).steps()
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()  # the canary does sing


def test_a_pickle_in_place_of_the_steps_is_refused_unopened(shard, tmp_path):
    canary = tmp_path / "canary"
    (shard / "steps.npz").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(BadFileError, match=r"steps\.npz"):
        Shard(shard).steps()
    assert not canary.exists()


def test_an_array_that_claims_a_petabyte_is_refused_at_once(shard):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (300, 1000000000000), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(shard / "steps.npz", "w") as archive:
        for name in ("action", "reward", "terminated", "damage"):
            archive.writestr(f"{name}.npy", member)
    vouch(shard)
    start = time.monotonic()
    with pytest.raises(BadFileError, match=r"steps\.npz"):
        Shard(shard).steps()
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("name", ["action", "reward", "terminated", "damage"])
def test_steps_of_another_type_or_length_are_refused(shard, name):
    with np.load(shard / "steps.npz") as archive:
        steps = dict(archive)
    for wrong in (steps[name][:-1], steps[name].astype(np.float64)):
        np.savez(shard / "steps.npz", **{**steps, name: wrong})
        vouch(shard)
        with pytest.raises(BadFileError, match=name):
            Shard(shard).steps()


def test_a_zip_bomb_is_refused_unopened(shard):
    with zipfile.ZipFile(shard / "steps.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("action", "reward", "terminated", "damage"):
            with archive.open(f"{name}.npy", "w") as member:
                for _ in range(100):
                    member.write(bytes(10**6))
    assert (shard / "steps.npz").stat().st_size < 10**6
    tracemalloc.start()
    start = time.monotonic()
    try:
        with pytest.raises(BadFileError, match=r"is compressed"):
            Shard(shard).steps()
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 5


def test_no_shards_is_a_bad_folder(tmp_path):
    with pytest.raises(BadFileError, match="no episodes"):
        EpisodeStore(tmp_path)
