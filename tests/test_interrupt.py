"""Ctrl-C, SIGTERM and a closed terminal: the state is saved, the line that goes on is shown, 130, and no process is left."""

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest
from conftest import DISPOSITIONS
from kill_loop import left_over, result_of, workers_of

from worldmodels.base.tensors import load_metadata
from worldmodels.cli import main
from worldmodels.envs.registry import get_task
from worldmodels.runtime import interrupt
from worldmodels.runtime.progress import Progress


def listen():
    """In a child, before the program: a test in the background or after an interrupt ignores signals, and hands that on."""
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)


def take_terminal():
    """In a child: the terminal on its standard input is its own."""
    listen()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def program(*command, **kwargs):
    """Starts the program in a session of its own, as a terminal has one."""
    return subprocess.Popen(
        [sys.executable, "-m", "worldmodels", *map(str, command)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=listen,
        **kwargs,
    )


def wait_for(what, process, seconds=120):
    """Waits until ``what`` gives something; returns it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_resumable(stderr, command):
    assert "Traceback" not in stderr
    assert stderr.strip().splitlines()[-1] == f"worldmodels: interrupted; to go on: worldmodels {command}"
    return True


@pytest.mark.parametrize("kinds", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_collection_is_interrupted_and_goes_on(tmp_path, kinds):
    """The whole group gets the signals, as from a terminal: the workers have nothing to say."""
    run = tmp_path / "a run"
    command = ["collect", "--run", run, "--task", "toy", "--scale", "smoke", "--num-episodes", "4000"]
    process = program(*command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list((run / "episodes").glob("shard-*/shard.json")), process)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    for kind in kinds:
        os.killpg(process.pid, kind)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert is_resumable(stderr, f"collect --run '{run}' --task toy --scale smoke --num-episodes 4000")
    assert left_over(workers, []) == []
    done = len(list((run / "episodes").glob("shard-*/shard.json")))
    assert 0 < done < 1000
    # The run is kept as it is: other settings are refused.
    assert main(["collect", "--run", str(run), "--num-episodes", "3999"]) == 2


@pytest.mark.parametrize("time", ["first", "second"])
def test_no_test_leaves_the_signals_ignored(time):
    """A command that is interrupted in this process leaves them so."""
    assert {kind: signal.getsignal(kind) for kind in interrupt.SIGNALS} == DISPOSITIONS
    interrupt.ignore()


def test_workers_that_are_still_starting_are_quiet(tmp_path):
    command = ["collect", "--run", tmp_path, "--task", "toy", "--scale", "smoke", "--num-episodes", "4000"]
    process = program(*command, stderr=subprocess.PIPE, text=True)

    wait_for(lambda: workers_of(psutil.Process(process.pid)), process)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert is_resumable(stderr, f"collect --run {tmp_path} --task toy --scale smoke --num-episodes 4000")


def without_v(toy_run, path):
    """A copy of a run, as it was before V."""
    gone = ["vae", "latents", "rnn", "controller", "model", "evaluation", "tensorboard"]
    shutil.copytree(toy_run, path, ignore=lambda folder, names: gone if Path(folder) == toy_run else [])
    return path


def test_an_interrupted_training_saves_its_state_and_ends_the_same(toy_run, tmp_path):
    """Checkpoints are far apart: what the interrupts save is all there is. The first one is `timeout`'s of `make`, which both
    pass it on; the second one is a terminal that is closed."""
    rare = ["--checkpoint-every-steps", "100000", "--validate-every-steps", "100"]
    options = ["--num-steps", "200", "--batch-size", "4", *rare]
    whole, run = without_v(toy_run, tmp_path / "whole"), without_v(toy_run, tmp_path / "broken")
    command = ["train-vae", "--run", str(run), *options]
    state = run / "vae" / "training_state" / "state.safetensors"

    def first_steps(process, begin):
        # The log is begun anew right before the first step.
        log = run / "vae" / "metrics.jsonl"
        wait_for(lambda: log.exists() and log.stat().st_mtime_ns > begin, process)
        time.sleep(0.5)

    begin = time.time_ns()
    process = program(*command, stderr=subprocess.PIPE, text=True)
    first_steps(process, begin)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.count("stopping after this step") == 1
    assert is_resumable(stderr, f"train-vae --run {run} --num-steps 200 --batch-size 4 {' '.join(rare)}")
    first = int(load_metadata(state)["step"])
    assert 0 < first < 200

    master, slave = pty.openpty()
    begin = time.time_ns()
    process = subprocess.Popen(
        [sys.executable, "-m", "worldmodels", *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(slave)
    first_steps(process, begin)
    os.close(master)
    assert process.wait(60) == 130
    second = int(load_metadata(state)["step"])
    assert first < second < 200

    assert main(command) == 0
    assert main(["train-vae", "--run", str(whole), *options]) == 0
    found, expected = result_of(run), result_of(whole)
    assert found == expected
    assert [row["step"] for row in found["vae/metrics.jsonl"]] == [50, 100, 150, 200]


def test_what_comes_right_after_is_the_same_request(monkeypatch, capfd):
    """And only what comes later asks for an end at once; so it is in work that is cut off anywhere."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(interrupt, "time", clock)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's is ignored
    interrupt.listen()
    with contextlib.suppress(KeyboardInterrupt), interrupt.deferred():
        for kind in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.raise_signal(kind)
            clock.now += 0.5
        assert interrupt.requested()
        assert capfd.readouterr().err.count("stopping after this step") == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    interrupt.listen()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # what is being tidied up goes on


#: A process without other threads: one of those would take the signal that this one holds back.
HELD_BACK_A_THOUSAND_TIMES = """
import contextlib, signal
from worldmodels.runtime import interrupt

def alarm(signum, frame):
    raise InterruptedError

signal.signal(signal.SIGALRM, alarm)
for number in range(1000):
    with contextlib.suppress(InterruptedError):
        signal.setitimer(signal.ITIMER_REAL, 1e-4 + 1e-7 * number)
        while True:
            with interrupt.held_back({signal.SIGALRM}):
                pass
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(), number
"""


def test_a_signal_that_comes_as_others_are_held_back_leaves_none_blocked():
    subprocess.run([sys.executable, "-c", HELD_BACK_A_THOUSAND_TIMES], timeout=60, check=True)


@pytest.mark.parametrize("task", ["take-cover", "car-racing", "health-gathering"])
def test_a_kill_loses_no_whole_training(task):
    """Whatever the signal, something of a short training is kept."""
    preset = get_task(task).preset("smoke")
    for training in (preset.vae, preset.rnn):
        assert training.checkpoint_every_steps <= training.num_steps / 3


def test_a_closed_terminal_does_not_end_the_work_before_its_signal_comes(monkeypatch):
    master, slave = pty.openpty()
    terminal = os.fdopen(slave, "w")
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("train-vae", 10, "frames")
    monkeypatch.setattr(progress, "_last_line", -1.0)
    os.close(master)
    progress.update(1)
    progress.finish("done")
    with pytest.raises(OSError, match="Input/output error"):
        print("gone", file=terminal, flush=True)
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        terminal.close()
