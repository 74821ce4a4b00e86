"""The Makefile's .venv, in a folder with a space in its name: made once, and made anew where it is not what it should be."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Where this Python's own program is: in a virtual environment, `python3` would be that one's.
HERE = {"PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"}


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "a folder"
    found.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, found)
    return found


def make(folder, *words, **env):
    command = ["make", *words, ".venv/made"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**HERE, **env}, timeout=120)


def works(folder):
    pip = subprocess.run([folder / ".venv/bin/pip", "--version"], capture_output=True, text=True, check=True)
    return str(folder) in pip.stdout


def test_it_is_made_once_and_anew_when_it_is_broken_or_moved(folder):
    assert make(folder).stdout == "making .venv\n"
    assert works(folder)
    made = (folder / ".venv" / "made").stat().st_mtime_ns
    assert make(folder).stdout == ""
    assert (folder / ".venv" / "made").stat().st_mtime_ns == made  # nothing that depends on it is made anew either
    # One that somebody has made by hand is kept.
    (folder / ".venv" / "made").unlink()
    assert make(folder).stdout == ""
    # What a killed `python -m venv` leaves: a Python, and a pip that is not all there.
    record = next((folder / ".venv").glob("lib/*/site-packages/pip-*.dist-info/RECORD"))
    record.unlink()
    (folder / ".venv" / "made").unlink()
    assert make(folder).stdout == "making .venv\n"
    assert works(folder)
    moved = folder.rename(folder.with_name("another folder"))
    assert make(moved).stdout == "making .venv\n"
    assert works(moved)
    (moved / ".venv" / "bin" / "python").unlink()
    assert make(moved).stdout == "making .venv\n"


def test_killed_while_it_is_made_it_is_made_anew(folder):
    """The real `python -m venv`, killed with all its children as soon as its Python is there."""
    process = subprocess.Popen(["make", ".venv/made"], cwd=folder, env=HERE, start_new_session=True, stdout=subprocess.DEVNULL)
    while not (folder / ".venv" / "bin" / "python").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / ".venv" / "made").exists()
    assert make(folder).stdout == "making .venv\n"
    assert works(folder)


def other_python():
    """Another Python that is not this one's version, if the machine has one."""
    version = "3.12" if sys.version_info[:2] == (3, 11) else "3.11"
    beside = sorted(Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python{version}"))
    found = shutil.which(f"python{version}", path="/usr/bin:/bin")
    return str(beside[-1]) if beside else found


@pytest.mark.skipif(other_python() is None, reason="this machine has one Python only")
def test_another_python_is_taken_when_it_is_asked_for(folder):
    assert make(folder).returncode == 0
    assert make(folder, f"PYTHON={other_python()}").stdout == "making .venv\n"
    version = subprocess.run([folder / ".venv/bin/python", "-V"], capture_output=True, text=True, check=True).stdout
    assert version.split()[1].rpartition(".")[0] != "{}.{}".format(*sys.version_info)
    assert make(folder, PYTHON=other_python()).stdout == ""
    assert make(folder).stdout == ""  # nobody has asked for another one


def test_a_python_that_cannot_be_used_leaves_what_is_there(folder):
    (folder / "python").write_text("#!/bin/sh\nexit 3\n")
    (folder / "python").chmod(0o755)
    assert make(folder).returncode == 0
    assert make(folder, "PYTHON=./python").returncode == 2
    assert works(folder)
