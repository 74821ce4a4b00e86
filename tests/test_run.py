"""A run's folder: seeds, the lock, what is finished, and logs that resume."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.logs import MetricsLog, read_jsonl
from worldmodels.base.seeding import FIRST_TRAINING_SEED, derive_seed
from worldmodels.envs.registry import get_task
from worldmodels.runs.lock import RunLock
from worldmodels.runs.run import Run


@given(st.integers(0, 2**40), st.text(max_size=20), st.lists(st.integers(0, 10**9), max_size=3))
def test_derived_seeds_are_never_held_out_ones(seed, stage, index):
    derived = derive_seed(seed, stage, *index)
    assert FIRST_TRAINING_SEED <= derived < 2**31
    assert derived == derive_seed(seed, stage, *index)


def test_derived_seeds_differ():
    seeds = {derive_seed(s, stage, i) for s in range(5) for stage in ("a", "b") for i in range(100)}
    assert len(seeds) == 1000


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", "toy", "smoke", 3, get_task("toy").preset("smoke"))


def test_open_reads_what_create_wrote(run):
    assert Run.open(run.path) == run
    with pytest.raises(UserError, match="holds a run already"):
        Run.create(run.path, "toy", "smoke", 3, run.preset)


def test_no_run_here(tmp_path):
    with pytest.raises(UserError, match="no run is here"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"extra": 1}, BadFileError, "exactly the keys"),
        ({"format": 2}, UserError, "format 2"),
        ({"seed": "0"}, BadFileError, "seed"),
        ({"task": 5}, BadFileError, "task"),
        ({"stages": {}}, UserError, "'collect' is missing"),
    ],
)
def test_a_bad_configuration_is_named(run, change, error, message):
    file = run.path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(error, match=message):
        Run.open(run.path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_configuration_that_is_no_json(run, content):
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(BadFileError, match=r"config\.json"):
        Run.open(run.path)


def test_a_stage_begins_goes_on_and_is_finished(run):
    config = run.preset.encode
    assert run.begin("encode", config, {"vae": "a"})
    assert run.begin("encode", config, {"vae": "a"})
    with pytest.raises(UserError, match="worldmodels encode --run"):
        run.require("encode")
    run.finish("encode", {"mu": "b"}, num=3)
    assert not run.begin("encode", config, {"vae": "a"})
    assert run.require("encode")["outputs"] == {"mu": "b"}


def test_changed_settings_and_inputs_are_refused_by_name(run):
    config = run.preset.vae
    run.begin("vae", config, {"episodes": "a"})
    with pytest.raises(UserError, match=r"settings \(num_steps 20 → 21\)"):
        run.begin("vae", replace(config, num_steps=21), {"episodes": "a"})
    with pytest.raises(UserError, match=r"inputs \(episodes\)"):
        run.begin("vae", config, {"episodes": "b"})
    assert run.begin("vae", replace(config, checkpoint_every_steps=3), {"episodes": "a"})


def test_a_killed_process_leftovers_are_cleared(run):
    folder = run.stage_path("collect")
    (folder / ".shard-00000.123.tmp").mkdir(parents=True)
    (folder / ".x.abc.tmp.json").touch()
    run.begin("collect", run.preset.collect, {})
    assert sorted(p.name for p in folder.iterdir()) == ["STARTED"]


def test_a_second_process_is_refused_with_the_firsts_pid(tmp_path):
    script = (
        "import sys; from pathlib import Path; from worldmodels.runs.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])): print('in')"
    )

    def other():
        command = [sys.executable, "-c", script, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with RunLock(tmp_path):
        refused = other()
        assert refused.returncode != 0
        assert f"in use by process {os.getpid()} on " in refused.stderr
    assert list(tmp_path.iterdir()) == []
    assert other().stdout == "in\n"


def test_a_log_is_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, "step", 0)
    for step in (10, 20, 30):
        log.write(step=step, loss=1.0)
    with path.open("a") as file:
        file.write('{"step": 40, "lo')  # torn by a kill
    log = MetricsLog(path, "step", 20)
    log.write(step=30, loss=2.0)
    assert [(row["step"], row["loss"]) for row in read_jsonl(path)] == [(10, 1.0), (20, 1.0), (30, 2.0)]


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(BadFileError, match=r"x\.jsonl: missing"):
        read_jsonl(tmp_path / "x.jsonl")
