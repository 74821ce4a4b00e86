"""Ctrl-C before a command's work has begun, at many instants: one line or none, never a traceback, and nothing is left."""

import os
import signal
import subprocess
import sys
import time

import pytest

#: Runs the program as its installed script does, and sends itself a signal at the N-th import that it asks for after its start.
AT_AN_IMPORT = """
import importlib.abc, os, sys
number, kind, *command = sys.argv[1:]
class Count(importlib.abc.MetaPathFinder):
    left = int(number)
    def find_spec(self, name, path, target=None):
        Count.left -= 1
        if Count.left == 0:
            os.kill(os.getpid(), int(kind))
sys.meta_path.insert(0, Count())
sys.argv = ["worldmodels", *command]
from worldmodels_program import run
run()
"""
#: Imported by the interpreter before it looks for the program, as `sitecustomize`: a signal at the N-th import of the program.
BEFORE_THE_PROGRAM = """
import importlib.abc, os, sys
class Count(importlib.abc.MetaPathFinder):
    left = None
    def find_spec(self, name, path, target=None):
        if name == "worldmodels" and Count.left is None:
            Count.left = int(os.environ["SIGNAL_AT_IMPORT"])
        if Count.left is not None:
            Count.left -= 1
            if Count.left == 0:
                os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Count())
"""
#: The same, telling when it begins.
AT_A_TIME = """
import os, sys
sys.argv = ["worldmodels", *sys.argv[1:]]
from worldmodels_program import run
os.write(1, b".")
run()
"""


def listening():
    """As in a terminal, whatever the tests themselves were started with."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for kind in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)


def is_quiet(code, err, words):
    """Before the program had handlers of its own it died of the signal, as any program does; after that it says so."""
    if code == -signal.SIGINT:
        return err == ""
    again = f"worldmodels {' '.join(words)}; with --json FILE what was played is kept, and a second call goes on"
    return code == 130 and err == f"\nworldmodels: interrupted; nothing was kept; to begin anew: {again}\n"


#: A command looks for some 1,400 modules before it begins; the first are the program's beginning itself.
@pytest.mark.parametrize("number", [5, 10, 60, 150, 300, 500, 700, 900, 1100, 1300])
def test_a_signal_at_an_import(tmp_path, number):
    words = ["evaluate", "take-cover", "--world", "dream"]
    command = [sys.executable, "-c", AT_AN_IMPORT, str(number), str(int(signal.SIGINT)), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, preexec_fn=listening)
    assert is_quiet(done.returncode, done.stderr, words), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [5, 10, 60, 150, 300, 500, 900, 1300])
def test_a_signal_at_an_import_of_the_module(tmp_path, number):
    """As ``python -m worldmodels``: the package is imported before its program."""
    words = ["evaluate", "take-cover", "--world", "dream"]
    (tmp_path / "sitecustomize.py").write_text(BEFORE_THE_PROGRAM)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, "SIGNAL_AT_IMPORT": str(number)}
    command = [sys.executable, "-m", "worldmodels", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60, preexec_fn=listening)
    assert is_quiet(done.returncode, done.stderr, words), done.stderr


@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.7, 1.0, 1.5])
def test_a_signal_at_a_time(tmp_path, seconds):
    words = ["evaluate", "take-cover", "--world", "dream"]
    process = subprocess.Popen(
        [sys.executable, "-c", AT_A_TIME, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=listening,
    )
    assert process.stdout.read(1) == b"."
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1].decode()
    assert is_quiet(process.returncode, err, words), err


def test_an_ignored_signal_stays_ignored(tmp_path):
    """As in a background job: the command goes on."""
    command = [sys.executable, "-c", AT_AN_IMPORT, "100", str(int(signal.SIGINT)), "tasks"]
    ignoring = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=ignoring)
    assert (done.returncode, done.stderr) == (0, "")
    assert "car-racing" in done.stdout


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_at_an_import(tmp_path, kind):
    words = ["evaluate", "take-cover", "--world", "dream"]
    command = [sys.executable, "-c", AT_AN_IMPORT, "300", str(int(kind)), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, preexec_fn=listening)
    assert done.returncode in (130, -kind)
    assert "Traceback" not in done.stderr
