"""Ctrl-C and SIGTERM: exit code 130, the line that goes on, no process left, and what was collected stays."""

import signal
import subprocess
import sys
import time

import psutil
import pytest

from worldmodels.cli import main


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_collection_is_interrupted_and_goes_on(tmp_path, kind):
    run = tmp_path / "a run"
    command = ["collect", "--run", str(run), "--task", "toy", "--scale", "smoke", "--num-episodes", "4000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "worldmodels", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A test that is itself run in the background has SIGINT ignored, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    deadline = time.monotonic() + 60
    while not list((run / "episodes").glob("shard-*/shard.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(kind)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("worldmodels: interrupted; to go on: worldmodels collect --run '")
    assert "Traceback" not in stderr
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert alive == []
    done = len(list((run / "episodes").glob("shard-*/shard.json")))
    assert 0 < done < 1000
    # The run is kept as it is: other settings are refused.
    assert main(["collect", "--run", str(run), "--num-episodes", "3999"]) == 2
