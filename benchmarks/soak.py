"""Watches a running command and all its children for hours: do memory, file handles, processes and shared memory stay flat?

    python -m benchmarks.soak --pid PID [--seconds 3600] [--every 5] [--json results/soak-….json]
    python -m benchmarks.soak [--seconds 3600] [--json FILE] -- worldmodels train-controller --run runs/mine

The first form attaches to what runs already and leaves it running; the second starts the command and, when the time is up,
ends it as SIGTERM does. Either ends early when the command does. Linux only: the numbers come from ``/proc``.

The JSON holds every sample; what is printed is each number's first, last and largest value and its slope per hour: a straight
line by least squares, through all samples and through the second half alone, where whatever grows at the start has grown.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from worldmodels.base.files import write_json
from worldmodels.base.versions import versions

SHARED = Path("/dev/shm")
#: What is sampled, and its unit.
UNITS = {
    "resident_mb": "MB resident, summed over the processes",
    "resident_parent_mb": "MB resident in the command's own process",
    "handles": "open file handles of all processes",
    "threads": "threads of all processes",
    "processes": "the command and all its children",
    "shared_files": "files in /dev/shm that the processes have mapped",
    "shared_mb": "MB of those",
    "shared_files_machine": "files in /dev/shm, whoever made them",
}


def mapped_shared_files(pid: int) -> set[Path]:
    """Returns the files of shared memory that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line[line.index("/dev/shm/") :].removesuffix(" (deleted)")) for line in lines if "/dev/shm/" in line}


def sample(root: psutil.Process) -> dict[str, float]:
    """Returns the numbers of `UNITS` now. Raises `psutil.NoSuchProcess` when the command has ended."""
    if root.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(root.pid)
    own = root.memory_info().rss
    resident, handles, threads, processes = 0, 0, 0, 0
    shared: set[Path] = set()
    for process in [root, *root.children(recursive=True)]:
        try:
            with process.oneshot():
                now = process.memory_info().rss, process.num_fds(), process.num_threads()
            shared |= mapped_shared_files(process.pid)
        except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            continue  # a child that ended while we looked
        resident, handles, threads, processes = resident + now[0], handles + now[1], threads + now[2], processes + 1
    sizes = [path.stat().st_size for path in shared if path.exists()]
    return {
        "resident_mb": resident / 1e6,
        "resident_parent_mb": own / 1e6,
        "handles": handles,
        "threads": threads,
        "processes": processes,
        "shared_files": len(shared),
        "shared_mb": sum(sizes) / 1e6,
        "shared_files_machine": sum(1 for _ in SHARED.iterdir()) if SHARED.is_dir() else 0,
    }


def slope_per_hour(seconds: list[float], values: list[float]) -> float:
    """Returns the slope of the straight line through the values; 0 for fewer than two."""
    return float(np.polyfit(np.array(seconds) / 3600, values, 1)[0]) if len(values) > 1 else 0.0


def summarize(samples: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns first, last, max and slopes of every number."""
    seconds = [row["seconds"] for row in samples]
    half = len(samples) // 2
    found = {}
    for name in UNITS:
        values = [row[name] for row in samples]
        found[name] = {
            "first": values[0],
            "last": values[-1],
            "max": max(values),
            "slope_per_hour": slope_per_hour(seconds, values),
            "slope_per_hour_second_half": slope_per_hour(seconds[half:], values[half:]),
        }
    return found


def named(arguments: list[str]) -> str:
    """Returns a command line without the folders of this machine."""
    words = [Path(word).name if word.startswith("/") else word for word in arguments]
    return " ".join(words)


def watch(root: psutil.Process, seconds: float, every: float) -> list[dict[str, float]]:
    """Samples until the time is up or the command has ended."""
    samples: list[dict[str, float]] = []
    start = time.monotonic()
    while (now := time.monotonic() - start) <= seconds:
        try:
            samples.append({"seconds": round(now, 1), **sample(root)})
        except psutil.NoSuchProcess:
            break
        time.sleep(every)
    return samples


def main() -> int:
    """Returns 0 if at least two samples were taken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pid", type=int, help="a command that runs already")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--every", type=float, default=5, help="seconds from sample to sample")
    parser.add_argument("--json", type=Path)
    parser.add_argument("command", nargs="*", help="or a command to start, after --")
    asked = parser.parse_args()
    if (asked.pid is None) == (not asked.command):
        parser.error("name a --pid, or a command after --")
    started = subprocess.Popen(asked.command) if asked.command else None
    try:
        root = psutil.Process(started.pid if started is not None else asked.pid)
        command = named(root.cmdline() if started is None else asked.command)
        samples = watch(root, asked.seconds, asked.every)
    except psutil.NoSuchProcess:
        parser.error("that process has ended")
    finally:
        if started is not None and started.poll() is None:
            started.send_signal(signal.SIGTERM)  # not SIGINT: a shell's background jobs do not hear it
            started.wait()
    if len(samples) < 2:
        print("soak: the command ended before two samples were taken", file=sys.stderr)
        return 1
    summary = summarize(samples)
    print(f"{command}\n{len(samples)} samples in {samples[-1]['seconds']:.0f} s")
    print(f"{'':22}{'first':>10}{'last':>10}{'max':>10}{'per hour':>12}{'2nd half':>12}")
    for name, row in summary.items():
        print(f"{name:22}" + "".join(f"{row[key]:10.1f}" for key in ("first", "last", "max")), end="")
        print(f"{row['slope_per_hour']:+12.2f}{row['slope_per_hour_second_half']:+12.2f}")
    if asked.json is not None:
        found: dict[str, Any] = {"command": command, "units": UNITS, "versions": versions()}
        write_json(asked.json, {**found, "every_seconds": asked.every, "summary": summary, "samples": samples})
    return 0


if __name__ == "__main__":
    sys.exit(main())
