"""Shards at fsspec URLs: there whole or not at all, checked when they are brought home, and nobody else's."""

import shutil
import time
import uuid

import fsspec
import pytest

from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.cli import main
from worldmodels.data.episodes import Shard, shard_sha256
from worldmodels.data.shard_store import ShardStore
from worldmodels.stages import collect


@pytest.fixture(params=["memory", "file", "path"])
def url(request, tmp_path):
    """A file system that cannot rename, and two names of one that can."""
    kinds = {"memory": f"memory://{uuid.uuid4()}", "file": f"file://{tmp_path}/far away", "path": f"{tmp_path}/far away"}
    return kinds[request.param]


@pytest.fixture
def shard(toy_run):
    return toy_run / "episodes" / "shard-00001"


def test_a_shard_goes_there_and_back(url, shard, tmp_path):
    store = ShardStore(url)
    store.claim("us")
    assert not store.has(shard.name)
    store.put(shard)
    assert ShardStore(url).has(shard.name)
    target = tmp_path / "home" / shard.name
    store.fetch(target)
    assert shard_sha256(target) == shard_sha256(shard)
    Shard(target).verify()
    assert [path.name for path in target.parent.iterdir()] == [shard.name]


def test_without_its_manifest_it_is_not_there(shard):
    url = f"memory://{uuid.uuid4()}"
    store = ShardStore(url)
    store.put(shard)
    fsspec.filesystem("memory").rm(f"{url}/{shard.name}/shard.json")
    assert not store.has(shard.name)
    store.put(shard)
    assert store.has(shard.name)


def test_a_damaged_shard_is_not_taken(url, shard, tmp_path):
    store = ShardStore(url)
    store.claim("us")
    store.put(shutil.copytree(shard, tmp_path / shard.name))
    files, root = fsspec.core.url_to_fs(url)
    path = f"{root}/{shard.name}/frames.bin"
    files.pipe_file(path, files.cat_file(path)[:-1] + b"\0")
    with pytest.raises(BadFileError, match="checksum"):
        store.fetch(tmp_path / "home" / shard.name)
    assert not (tmp_path / "home" / shard.name).exists()


def test_a_url_belongs_to_one_collection(url):
    ShardStore(url).claim("us")
    ShardStore(url).claim("us")
    with pytest.raises(UserError, match="another run"):
        ShardStore(url).claim("them")


@pytest.mark.parametrize(("url", "why"), [("nowhere://at/all", "nowhere"), ("s3://bucket/x", "s3fs")])
def test_a_bad_url_is_refused(url, why):
    with pytest.raises(UserError, match=why):
        ShardStore(url)


def test_a_failing_file_system_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match=str(tmp_path)):
        ShardStore(f"file://{tmp_path}/file/below").claim("us")


def test_what_is_at_the_url_is_not_played_again(toy_run, tmp_path, monkeypatch):
    command = ["collect", "--run", str(tmp_path / "run"), "--task", "toy", "--scale", "smoke", "--num-workers", "1"]
    command += ["--episodes-url", f"file://{tmp_path}/far"]
    assert main(command) == 0
    done = (tmp_path / "run" / "episodes" / "DONE").read_bytes()
    assert done == (toy_run / "episodes" / "DONE").read_bytes()
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(tmp_path / "far" / "shard-00002")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("far/*/shard.json")}
    assert len(before) == 2
    time.sleep(0.01)
    assert main(command) == 0
    assert (tmp_path / "run" / "episodes" / "DONE").read_bytes() == done
    assert before.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.glob("far/*/shard.json")}.items()


def test_another_machine_without_the_folder_says_so(toy_copy):
    config = collect.CollectConfig()
    for started in ("of another run", ""):
        with pytest.raises(EnvironmentFailure, match="episodes-url"):
            collect._play_shard(toy_copy / "episodes" / "shard-00000", started, "toy", config, 0, range(2))
        (toy_copy / "episodes" / "STARTED").unlink(missing_ok=True)
