"""Kills every stage of a task at random instants, again and again, and compares what it ends with to an unbroken run.

    python tests/kill_loop.py --kills 20 --json results/faults.json

Each attempt is the command itself in a process group of its own, forked from this process, which has imported everything: so
the instants fall into the work and not into the imports. The whole group gets SIGKILL at once, as in a power cut.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: Small settings of every stage: seconds of work, and several checkpoints in it.
TRAINING = ["--checkpoint-every-steps", "4", "--validate-every-steps", "20"]
COMMON: dict[str, list[str]] = {
    "collect": ["--num-episodes", "12", "--episodes-per-shard", "2", "--max-short-steps", "3"],
    "train-vae": ["--num-steps", "60", "--batch-size", "8", *TRAINING],
    "encode": [],
    "train-rnn": ["--num-steps", "60", "--batch-size", "4", "--sequence-length", "16", *TRAINING],
    "train-controller": [
        "--num-generations", "6", "--population-size", "6", "--episodes-per-candidate", "2",
        "--score-every-generations", "2", "--score-episodes", "4",
    ],
}  # fmt: skip
SETTINGS: dict[str, dict[str, list[str]]] = {
    "toy": COMMON,
    "take-cover": COMMON,
    "car-racing": {**COMMON, "train-controller": [*COMMON["train-controller"], "--patience-steps", "30"]},
}
FOLDERS = {
    "collect": ["episodes"],
    "train-vae": ["vae"],
    "encode": ["latents"],
    "train-rnn": ["rnn"],
    "train-controller": ["controller", "model"],
}
TIMES = ("time", "elapsed_seconds")
#: An attempt that takes this many times as long as the unbroken run hangs.
PATIENCE = 20


def result_of(run: Path) -> dict[str, object]:
    """All of a run's results: the bytes of what it ships, and the rows of its logs without their times."""
    found: dict[str, object] = {}
    for pattern in ("episodes/shard-*/*", "latents/*.npy", "**/*.safetensors", "model/*", "*/DONE"):
        for path in run.glob(pattern):
            found[str(path.relative_to(run))] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in run.glob("*/*.jsonl"):
        rows = map(json.loads, path.read_text().splitlines())
        found[str(path.relative_to(run))] = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
    for path in run.glob("evaluation/*.json"):
        if path.stem in ("random", "dream", "real"):
            found[path.stem] = json.loads(path.read_text())
    return found


def attempt(command: list[str], seconds: float) -> int | None:
    """Runs a command; after so many seconds its whole process group is killed. Returns its exit code, None if killed."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        from worldmodels.cli import main

        os._exit(main(command))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def finish(command: list[str], seconds: float = 600) -> float:
    """Runs a command to its end; returns its seconds. Raises RuntimeError if it fails or hangs."""
    start = time.monotonic()
    code = attempt(command, seconds)
    if code != 0:
        raise RuntimeError(f"{' '.join(command)}: {'hangs' if code is None else f'exit code {code}'}")
    return time.monotonic() - start


def kill_stages(task: str, kills: int, folder: Path) -> list[dict[str, Any]]:
    """Kills every stage of a task ``kills`` times; returns a row a stage: kills, and whether it ended as the unbroken one."""
    whole, broken = folder / f"{task} unbroken", folder / f"{task} killed"
    instants = random.Random(0)
    rows = []
    for verb, settings in SETTINGS[task].items():
        options = ["--task", task, "--scale", "smoke", *settings]
        seconds = finish([verb, "--run", str(whole), *options])
        command = [verb, "--run", str(broken), *options]
        done, completed, equal = 0, 0, True
        while done < kills:
            code = attempt(command, instants.uniform(0, seconds))
            if code is None:
                done += 1
                continue
            # It ended before its instant came: compare, and begin the stage anew for the kills that are left.
            completed += 1
            equal = equal and code == 0 and result_of(broken) == result_of(whole)
            for name in FOLDERS[verb]:
                shutil.rmtree(broken / name)
        finish(command, PATIENCE * seconds + 60)
        completed += 1
        equal = equal and result_of(broken) == result_of(whole)
        rows.append({"task": task, "stage": verb, "kills": done, "completed": completed, "same_bytes": equal})
        print(
            f"{task:12} {verb:18} {done:3} kills, {completed:2} times to the end: {'same' if equal else 'OTHER'} bytes",
            flush=True,
        )
    return rows


def main() -> int:
    """Returns 0 if every stage survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent / "plugin"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH", "")]))
    import worldmodels.stages.reproduce  # noqa: F401 (so that no attempt has to)

    with tempfile.TemporaryDirectory() as folder:
        rows = [row for task in asked.tasks for row in kill_stages(task, asked.kills, Path(folder))]
    if asked.json is not None:
        from worldmodels.files import write_json
        from worldmodels.run import versions

        write_json(asked.json, {"fault": "SIGKILL at a random instant", "versions": versions(), "rows": rows})
    return 0 if all(row["same_bytes"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
