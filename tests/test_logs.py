"""Where a training shows its curves: the same run whatever shows them, with the real packages, offline."""

import importlib.util
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time

import pytest
from conftest import run_cli

from worldmodels.base.extras import how_to_install
from worldmodels.base.logs import read_jsonl
from worldmodels.cli import main

needs_trackio = pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="the extra [trackio] is not installed")


def records(path):
    """The records of a file of wandb's, in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, whole, place = path.read_bytes(), b"", 7
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(whole)
            whole = b""


def wandb_log(run):
    """The ids, and the rows by step, of all pieces of the curves that a run's folder holds; later pieces win."""
    ids, rows = set(), {}
    for path in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        for record in records(path):
            if record.WhichOneof("record_type") == "run":
                ids.add(record.run.run_id)
            elif record.WhichOneof("record_type") == "history":
                row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
                rows.setdefault(row["_step"], {}).update(row)
    return ids, rows


def trackio_log(folder, project):
    with sqlite3.connect(folder / f"{project}.db") as base:
        found = base.execute("select run_name, step, metrics from metrics order by id").fetchall()
    rows = {}
    for _, step, text in found:
        rows.setdefault(step, {}).update(json.loads(text))
    return {name for name, _, _ in found}, rows


@pytest.fixture
def begun(toy_run, tmp_path):
    """The toy run's episodes alone, from which the training is repeated."""
    shutil.copytree(toy_run / "episodes", tmp_path / "run" / "episodes")
    shutil.copy2(toy_run / "config.json", tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("kind", ["wandb", pytest.param("trackio", marks=needs_trackio)])
def test_the_run_is_the_same_and_the_log_has_its_numbers(toy_run, begun, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    assert main(["train-vae", "--run", str(begun), "--log", kind]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("train-vae: finished ")
    assert (begun / "vae" / "model.safetensors").read_bytes() == (toy_run / "vae" / "model.safetensors").read_bytes()
    assert '"log"' not in (begun / "config.json").read_text()
    assert not (begun / "tensorboard").exists()
    names, rows = wandb_log(begun) if kind == "wandb" else trackio_log(tmp_path / "trackio", "worldmodels-toy")
    assert len(names) == 1
    for row in read_jsonl(begun / "vae" / "metrics.jsonl"):
        shown = rows[row["step"]]
        measured = {name: value for name, value in row.items() if name not in ("step", "time", "learning_rate")}
        assert {name: shown[f"vae/{name}"] for name in measured} == measured
    assert any(name.startswith("vae/reconstructions") for name in rows[max(rows)])
    wanted = "no key of wandb; 'wandb sync " if kind == "wandb" else "'trackio show --project worldmodels-toy' shows run-vae-"
    assert wanted in said.err


@pytest.mark.parametrize("kind", ["wandb", pytest.param("trackio", marks=needs_trackio)])
def test_a_killed_training_goes_on_with_its_log(begun, tmp_path, kind):
    log = begun / "vae" / "metrics.jsonl"
    # Without the service of wandb that this process may have begun.
    env = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    env |= {"WANDB_MODE": "offline", "TRACKIO_DIR": str(tmp_path / "trackio")}
    command = ["train-vae", "--run", begun, "--log", kind, "--num-steps", 60, "--validate-every-steps", 60]
    command += ["--checkpoint-every-steps", 5, "--batch-size", 4]
    process = subprocess.Popen([sys.executable, "-m", "worldmodels", *map(str, command)], env=env, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 100
    while not (log.exists() and read_jsonl(log)) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(read_jsonl(log)) < 12
    done = run_cli(*command, env=env)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"train-vae: finished .*\n", done.stdout)
    names, rows = wandb_log(begun) if kind == "wandb" else trackio_log(tmp_path / "trackio", "worldmodels-toy")
    assert len(names) == 1
    shown = {step: row["vae/recon_loss"] for step, row in rows.items() if "vae/recon_loss" in row}
    found = {row["step"]: row["recon_loss"] for row in read_jsonl(log)}
    # What a kill has left unwritten is the log's last moments at most.
    assert set(shown) >= set(list(found)[2:])
    assert all(found[step] == value for step, value in shown.items())


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_an_absent_package_is_one_line_before_any_work(toy_run, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setitem(sys.modules, kind, None)
    line = f"worldmodels: --log {kind} needs {kind}, which is not installed: {how_to_install(kind)}\n"
    for command in (
        ["reproduce", "toy", "--run", str(tmp_path / "new")],
        ["iterate", "toy", "--run", str(tmp_path / "new")],
        ["train-vae", "--run", str(toy_run)],
        ["train-controller", "--run", str(toy_run)],
    ):
        assert main([*command, "--log", kind]) == 2
        assert capsys.readouterr().err == line
    assert not (tmp_path / "new").exists()


@needs_trackio
def test_a_folder_that_trackio_cannot_write_is_one_line_before_any_work(begun):
    done = run_cli("train-vae", "--run", begun, "--log", "trackio", env={**os.environ, "TRACKIO_DIR": "/etc/passwd"})
    said = "/etc/passwd cannot be written (File exists); TRACKIO_DIR names another folder"
    assert (done.returncode, done.stderr) == (4, f"worldmodels: --log trackio: {said}\n")
    assert not (begun / "vae").exists()


def test_another_word(tmp_path, capsys):
    assert main(["reproduce", "toy", "--run", str(tmp_path / "new"), "--log", "mlflow"]) == 2
    said = capsys.readouterr().err
    assert "tensorboard" in said
    assert said.count("\n") == 1
