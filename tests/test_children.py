"""The real game's processes under the whole program: nothing outlives it, and whoever dies while playing changes nothing."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from kill_loop import left_over, shared_memory_of, words_of, workers_of

from worldmodels.cli import main


def program(*command):
    return subprocess.Popen(
        [sys.executable, "-m", "worldmodels", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def games_of(process):
    """The games of the workers; a child's is the one that is looked at before the work."""
    children = process.children()
    return [p for p in process.children(recursive=True) if p not in children and "+viz_instance_id" in words_of(p)]


def wait_for_games(process, number):
    """Waits until so many games play; returns them."""
    deadline = time.monotonic() + 120
    while True:
        games = games_of(psutil.Process(process.pid))
        if len(games) >= number and len(shared_memory_of(games)) >= 3 * number:
            return games
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_outlives_a_killed_collection(tmp_path):
    """Neither workers nor games nor guardians, no shared memory, no folder of a game."""
    command = ["collect", "--run", tmp_path, "--task", "take-cover", "--scale", "smoke", "--num-workers", "2"]
    process = program(*command, "--episodes-per-shard", "100")
    games = wait_for_games(process, 2)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 6
    shared = shared_memory_of(games)
    folders = [Path(word).parent for game in games for word in words_of(game) if word.endswith("_vizdoom.ini")]
    assert len(folders) == len(games)
    assert all(folder.parent == Path(tempfile.gettempdir()) and folder.exists() for folder in folders)
    process.kill()
    process.communicate(timeout=30)
    assert left_over(family, shared + folders) == []


def test_games_and_workers_that_are_killed_change_no_score(tmp_path):
    asked = ["evaluate", "take-cover", "--agent", "random", "--episodes", "16", "--seed", "40"]
    assert main([*asked, "--num-workers", "1", "--json", str(tmp_path / "undisturbed.json")]) == 0
    process = program(*asked, "--num-workers", "2", "--json", tmp_path / "hurt.json")
    games = wait_for_games(process, 1)
    workers = workers_of(psutil.Process(process.pid))
    assert len(workers) == 2
    workers[0].kill()
    with contextlib.suppress(psutil.NoSuchProcess):  # its episode may be over already, and so may be the other worker's games
        games[-1].kill()
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert "a worker process died; " in stderr
    undisturbed, hurt = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("undisturbed", "hurt"))
    assert hurt == undisturbed
