"""What lies around a run: another process in it, other versions, a kill in the middle of a rename, a missing encoder."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kill_loop import result_of

from worldmodels.cli import main
from worldmodels.runs.lock import RunLock


def said(capsys, code, *command):
    capsys.readouterr()
    assert main([str(word) for word in command]) == code
    return capsys.readouterr().err


def test_a_second_command_in_a_run_is_refused_and_a_stale_lock_is_not(toy_copy, capsys):
    with RunLock(toy_copy):
        assert "in use by process" in said(capsys, 2, "train-vae", "--run", toy_copy)
    (toy_copy / ".lock").write_text("process 4194303 on another-machine")
    assert said(capsys, 0, "train-vae", "--run", toy_copy) == ""


def test_other_versions_are_said_with_what_to_expect(toy_copy, capsys):
    file = toy_copy / "config.json"
    config = json.loads(file.read_text())
    config["versions"] |= {"torch": "99.0", "gymnasium": "0.1"}
    file.write_text(json.dumps(config))
    err = said(capsys, 0, "train-vae", "--run", toy_copy)
    assert "torch 99.0 → " in err
    assert "gymnasium 0.1 → " in err
    assert "the same up to rounding, no longer to the byte; scores then agree within their 95% intervals" in err


#: Runs a command and is killed right before a file of the given name gets it, or right after.
KILLED_AT_A_RENAME = """
import os, pathlib, signal, sys
name, when, *command = sys.argv[1:]
rename = pathlib.Path.replace
def replace(self, target):
    if pathlib.Path(target).name != name:
        return rename(self, target)
    if when == "after":
        rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.replace = replace
from worldmodels.cli import main
main(command)
"""


def test_killed_before_and_after_a_rename(toy_run, toy_copy, capsys):
    """The state without the weights, the weights without DONE, and what was half-written."""
    for name in ("vae", "latents", "rnn", "controller", "model"):
        shutil.rmtree(toy_copy / name)
    command = ["train-vae", "--run", str(toy_copy)]
    for name, when in (("state.safetensors", "before"), ("state.safetensors", "after"), ("DONE", "before")):
        program = [sys.executable, "-c", KILLED_AT_A_RENAME, name, when, *command]
        killed = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
        assert killed.returncode == -signal.SIGKILL
        assert ("cleared 1 half-written" in killed.stderr) == (when == "after")
    assert "cleared 1 half-written leftovers of a process that was killed" in said(capsys, 0, *command)
    assert list(toy_copy.rglob(".*.tmp*")) == []
    found, expected = result_of(toy_copy), result_of(toy_run)
    of_v = [name for name in expected if name.startswith("vae/")]
    assert {name: found[name] for name in of_v} == {name: expected[name] for name in of_v}


@pytest.mark.parametrize("encoder", ["missing", "broken"])
def test_without_an_encoder_the_mend_is_named(toy_run, tmp_path, capsys, monkeypatch, encoder):
    program = tmp_path / "ffmpeg"
    if encoder == "broken":
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    err = said(capsys, 4, "video", toy_run, "--world", "dream", "--steps", "30", "--out", tmp_path / "x.mp4")
    assert "the video encoder" in err
    assert ("pip install --force-reinstall imageio-ffmpeg" in err) == (encoder == "missing")
    assert [p.name for p in tmp_path.glob("*.mp4")] == []


def test_the_soak_watches_a_command_and_its_children(tmp_path):
    found = tmp_path / "soak.json"
    command = [sys.executable, "-m", "worldmodels", "collect", "--run", tmp_path / "run", "--task", "toy", "--scale", "smoke"]
    soak = [sys.executable, "-m", "benchmarks.soak", "--seconds", "15", "--every", "0.5", "--json", found]
    watched = subprocess.run(
        [*map(str, soak), "--", *map(str, command), "--num-episodes", "4000"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert watched.returncode == 0, watched.stderr
    assert "resident_mb" in watched.stdout
    result = json.loads(found.read_text())
    assert result["summary"]["resident_mb"]["max"] > 10
    assert result["summary"]["handles"]["first"] > 0
    assert [row["seconds"] for row in result["samples"]] == sorted(row["seconds"] for row in result["samples"])
    assert len(result["samples"]) > 2
