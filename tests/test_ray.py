"""The Ray backend on a cluster of several raylets on this machine: the local backend's results, also when a node is killed.

The tests share one cluster and go through it in order: two nodes, then four, then none.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.extras import how_to_install
from worldmodels.cli import main
from worldmodels.config import EvaluateConfig, PlaceConfig
from worldmodels.envs.registry import get_task
from worldmodels.experiments import table
from worldmodels.experiments.visited import visited_shares
from worldmodels.models.sizes import own_parameters
from worldmodels.runs.run import Run
from worldmodels.runtime import ray_workers
from worldmodels.runtime.workers import make_workers
from worldmodels.search.evaluators import RealEvaluator
from worldmodels.stages import evaluate
from worldmodels.worlds.rollout import EpisodeJob

# Twelve chunks, with candidates that straddle them.
JOBS = [EpisodeJob(candidate, 100 + seed) for candidate in (4, 0, 2, 1, 3) for seed in range(72)]


@pytest.fixture(scope="module")
def cluster():
    """The head has no CPU: whoever plays is on another node."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.nodes = [add_node(cluster) for _ in range(2)]
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def add_node(cluster):
    return cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, wait=True)


@pytest.fixture(scope="module")
def solutions():
    return torch.randn(5, own_parameters(get_task("toy"), "zh"), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def expected(toy_world_model, solutions):
    return play(toy_world_model, solutions)[0]


def play(world_model, solutions, on_result=None, address="", num_workers=1):
    backend = "ray" if address else "local"
    population = RealEvaluator(get_task("toy"), world_model, "zh", False, num_workers, backend, address)
    try:
        return population.evaluate(solutions, JOBS, on_result), population.num_failures
    finally:
        population.close()


def actors():
    """The processes of this cluster's workers that are alive; its raylets are children of ours."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ray::_Actor" in " ".join(process.cmdline()):
                found.append(process)
    return found


def listening():
    """In a child: as in a terminal, whatever the tests themselves were started with."""
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)


def no_actor_is_left(seconds=30):
    deadline = time.monotonic() + seconds
    while actors() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not actors()


def test_a_missing_extra_is_one_line(tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError('no Ray here')")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"}
    command = ["evaluate", "toy", "--agent", "random", "--backend", "ray"]
    done = subprocess.run(
        [sys.executable, "-m", "worldmodels", *command], capture_output=True, text=True, check=False, timeout=120, env=environ
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.endswith(how_to_install("ray"))


def test_an_address_needs_the_backend(capsys):
    assert main(["evaluate", "toy", "--agent", "random", "--address", "127.0.0.1:6379"]) == 2
    assert "use --backend ray" in capsys.readouterr().err


def test_who_answers_nothing_is_no_cluster(capsys):
    assert not ray.is_initialized()
    assert main(["evaluate", "toy", "--agent", "random", "--backend", "ray", "--address", "127.0.0.1:1"]) == 4
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert "127.0.0.1:1 cannot be joined: " in line


def test_two_nodes_give_the_local_results(cluster, toy_world_model, solutions, expected):
    assert len({result.episode_return for result in expected}) > 3
    # No number of workers: all CPUs of the cluster.
    assert play(toy_world_model, solutions, address=cluster.address, num_workers=0) == (expected, 0)
    assert no_actor_is_left()


def test_every_command_gives_the_local_bytes(cluster, toy_run, tmp_path):
    place = ["--backend", "ray", "--address", cluster.address]
    search = ["--world", "real", "--num-generations", "3", "--score-episodes", "4", "--optimizer", "pepg", "--cap-time"]
    results = []
    for name, where in (("local", ["--num-workers", "1"]), ("ray", ["--num-workers", "2", *place])):
        run, score = Path(shutil.copytree(toy_run, tmp_path / name)), tmp_path / f"{name}.json"
        for folder in ("controller", "model"):
            shutil.rmtree(run / folder)
        assert main(["train-controller", "--run", str(run), *search, *where]) == 0
        assert main(["evaluate", str(run), "--episodes", "6", "--json", str(score), *where]) == 0
        rows = map(json.loads, (run / "controller" / "history.jsonl").read_text().splitlines())
        files = ("config.json", "controller/STARTED", "controller/DONE", "controller/best.safetensors", "model/config.json")
        content = [(run / file).read_text(errors="replace").replace('"num_workers": 2', '"num_workers": 1') for file in files]
        results.append(([row["fitness"] for row in rows], json.loads(score.read_text()), content))
    assert results[0] == results[1]
    assert no_actor_is_left()
    # The toy run's episodes are the local backend's.
    run = tmp_path / "collected"
    assert main(["collect", "--run", str(run), "--task", "toy", "--scale", "smoke", *place]) == 0
    assert (run / "episodes" / "DONE").read_bytes() == (toy_run / "episodes" / "DONE").read_bytes()
    assert "ray" not in (run / "config.json").read_text()


def test_a_table_gives_the_local_scores(cluster, toy_run, tmp_path, monkeypatch):
    monkeypatch.setitem(table.TABLES, "ablation", lambda spec, base: table.ablation_rows(spec, base)[:1])
    path = tmp_path / "table"
    command = ["table", "ablation", "--model", str(toy_run), "--run", str(path), "--backend", "ray"]
    assert main([*command, "--address", cluster.address]) == 0
    found = json.loads((path / "table.json").read_text())
    config = EvaluateConfig(episodes=6, num_workers=1)
    for agent, row in (("trained", found["rows"][0]["real"]), ("random", found["random"])):
        asked = dataclasses.replace(config, agent=agent)
        played = evaluate.evaluate(asked, evaluate.load(path / "v") if agent == "trained" else evaluate.task_of(path / "v"))
        assert row == {key: played[key] for key in row}


def test_what_measures_gives_the_local_numbers(cluster, toy_run, tmp_path):
    place = ["--backend", "ray", "--address", cluster.address]
    results = []
    for name, where, on in (("local", [], PlaceConfig()), ("ray", place, PlaceConfig(backend="ray", address=cluster.address))):
        run, looks = shutil.copytree(toy_run, tmp_path / name), tmp_path / f"{name}-table"
        found = []
        for words in (
            ["fidelity", str(run), "--real-episodes", "6", "--dream-episodes", "4"],
            ["table", "robustness", "--model", str(run), "--episodes", "6", "--run", str(looks)],
        ):
            assert main([*words, *where, "--json", str(tmp_path / "result")]) == 0
            found.append(json.loads((tmp_path / "result").read_text()))
        results.append((*found, visited_shares(Run.open(run), on)))
    assert results[0] == results[1]
    assert no_actor_is_left()


def test_shards_travel_through_a_url(cluster, toy_run, tmp_path, capsys):
    run, shards = tmp_path / "run", tmp_path / "shards of all"
    command = [
        "collect",
        "--run",
        str(run),
        "--task",
        "toy",
        "--scale",
        "smoke",
        "--backend",
        "ray",
        "--address",
        cluster.address,
    ]
    assert main([*command, "--episodes-url", f"file://{shards}"]) == 0
    assert (run / "episodes" / "DONE").read_bytes() == (toy_run / "episodes" / "DONE").read_bytes()
    assert sorted(path.name for path in shards.iterdir()) == ["RUN", "shard-00000", "shard-00001", "shard-00002"]
    # Another run's shards are not taken for one's own.
    other = ["--run", str(tmp_path / "other"), "--seed", "1"]
    assert main([*command[:1], *other, *command[3:], "--episodes-url", f"file://{shards}"]) == 2
    assert "another run" in capsys.readouterr().err


def test_an_interrupted_command_leaves_no_worker(cluster, tmp_path):
    run = tmp_path / "run"
    command = ["collect", "--run", str(run), "--task", "toy", "--scale", "smoke", "--num-episodes", "40000"]
    command += ["--num-workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "worldmodels", *command, "--backend", "ray", "--address", cluster.address],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listening,
    )
    deadline = time.monotonic() + 180
    while not list((run / "episodes").glob("shard-*/shard.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert actors()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.strip().splitlines()[-1].startswith("worldmodels: interrupted; to go on: worldmodels collect --run ")
    assert "Traceback" not in stderr
    assert no_actor_is_left()


def test_a_task_that_kills_its_workers_is_given_up(cluster, monkeypatch, capsys):
    monkeypatch.setattr(ray_workers, "MAX_FAILURES", 2)
    workers = make_workers("ray", cluster.address, 1, repr, None)
    with pytest.raises(EnvironmentFailure, match="died 2 times in a row"):
        list(workers.map_unordered(os._exit, [(1,)]))
    assert workers.num_failures == 2
    assert "a worker of the Ray cluster died, failure 2 here" in capsys.readouterr().err
    # What a task raises is not a death.
    with pytest.raises(ValueError, match="invalid literal"):
        list(workers.map_unordered(int, [("seven",)]))
    assert no_actor_is_left()


def test_four_nodes_and_one_dies_at_work(cluster, toy_world_model, solutions, expected):
    cluster.nodes += [add_node(cluster) for _ in range(2)]
    killed = []

    def kill(result):
        deadline = time.monotonic() + 300
        while not killed and time.monotonic() < deadline:
            if ray.available_resources().get("CPU", 0) == 0:  # all four have a worker
                killed.append(cluster.nodes.pop())
                killed[0].kill_raylet(check_alive=False)
            time.sleep(0.1)

    found, num_failures = play(toy_world_model, solutions, kill, cluster.address, num_workers=4)
    assert found == expected
    assert killed
    assert num_failures >= 1


def test_all_nodes_gone_is_said_and_a_new_one_goes_on(cluster, toy_world_model, solutions, expected, monkeypatch):
    monkeypatch.setattr(ray_workers, "WAIT_SECONDS", 5.0)

    def kill_all(result):
        while cluster.nodes:
            cluster.nodes.pop().kill_raylet(check_alive=False)

    with pytest.raises(EnvironmentFailure, match="the same command goes on where it stopped"):
        play(toy_world_model, solutions, kill_all, cluster.address, num_workers=3)
    monkeypatch.undo()
    cluster.nodes.append(add_node(cluster))
    assert play(toy_world_model, solutions, address=cluster.address, num_workers=1) == (expected, 0)
