"""The latents' folder: what is missing, damaged or of another kind is named."""

import numpy as np
import pytest

from worldmodels.base.errors import BadFileError
from worldmodels.data.latents import LatentStore

LENGTHS = [3, 5, 2]


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "mu": rng.normal(size=(10, 4)).astype(np.float16),
        "logvar": rng.normal(size=(10, 4)).astype(np.float16),
        "action": rng.normal(size=(10, 1)).astype(np.float32),
        "reward": np.ones(10, np.float32),
        "terminated": np.arange(10) == 9,
        "damage": rng.normal(size=10).astype(np.float32),
        "lengths": np.array(LENGTHS, np.int64),
    }


@pytest.fixture
def folder(arrays, tmp_path):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def test_reads_what_was_written(folder, arrays):
    store = LatentStore(folder)
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(store, name), array)
    assert store.offsets.tolist() == [0, 3, 8, 10]
    assert store.num_episodes == 3


@pytest.mark.parametrize("name", ["mu", "logvar", "action", "reward", "terminated", "damage", "lengths"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "shorter", "other type", "pickle"])
def test_a_bad_array_is_named(folder, arrays, name, damage):
    path = folder / f"{name}.npy"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "shorter":
        np.save(path, arrays[name][:-1])
    elif damage == "other type":
        np.save(path, arrays[name].astype(np.float64))
    elif damage == "pickle":
        np.save(path, arrays[name].astype(object), allow_pickle=True)
    else:
        path.write_bytes({"empty": b"", "truncated": content[:-1]}[damage])
    with pytest.raises(BadFileError, match="npy" if (name, damage) == ("lengths", "shorter") else name):
        LatentStore(folder)


def test_an_archive_named_npy_is_refused(folder, arrays):
    with (folder / "mu.npy").open("wb") as file:
        np.savez(file, mu=arrays["mu"])
    with pytest.raises(BadFileError, match=r"mu\.npy"):
        LatentStore(folder)


@pytest.mark.parametrize("name", ["mu", "lengths"])
def test_a_scalar_is_refused(folder, arrays, name):
    np.save(folder / f"{name}.npy", arrays[name].flat[0] * 0 + 10)
    with pytest.raises(BadFileError, match=name):
        LatentStore(folder)


def test_a_negative_length_is_refused(folder):
    np.save(folder / "lengths.npy", np.array([12, -4, 2], np.int64))
    with pytest.raises(BadFileError, match="lengths"):
        LatentStore(folder)


@pytest.mark.parametrize(
    ("rows", "columns", "first"), [(2, 4, 2), (7, 4, 1), (10, 4, 0), (0, 4, 3), (3, 4, None), (2, 3, None)]
)
def test_the_mirror_shows_whole_episodes(folder, arrays, rows, columns, first):
    for name in ("mirrored_mu", "mirrored_logvar"):
        np.save(folder / f"{name}.npy", np.full((rows, columns), 7, np.float16))
    if first is None:
        with pytest.raises(BadFileError, match=r"mirrored_mu\.npy: .* not the last episodes'"):
            LatentStore(folder)
        return
    store = LatentStore(folder)
    assert store.first_mirrored == first
    steps = np.arange(10)
    shown = steps >= store.offsets[first]
    mu, logvar = store.latents(steps, shown)
    np.testing.assert_array_equal(mu[shown], 7)
    np.testing.assert_array_equal(logvar[~shown], arrays["logvar"][~shown].astype(np.float32))


def test_a_mirror_without_spread_is_refused(folder):
    np.save(folder / "mirrored_mu.npy", np.zeros((2, 4), np.float16))
    with pytest.raises(BadFileError, match="mirrored_logvar"):
        LatentStore(folder)
