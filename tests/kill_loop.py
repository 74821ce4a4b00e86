"""Hurts every stage of a task at random instants, again and again, and compares what it ends with to an unbroken run.

    python tests/kill_loop.py --kills 20 --json results/faults.json

Each attempt is the command itself in a process group of its own, forked from this process, which has imported everything: so
the instants fall into the work and not into the imports. The faults:

    kill        SIGKILL to the whole group, as in a power cut; the same command goes on
    interrupt   SIGINT, SIGTERM, SIGHUP or SIGINT twice to the whole group, as a terminal does; the same command goes on
    orphan      SIGKILL to the command alone: 5 s later none of its processes is alive and its shared memory is gone
    child       SIGKILL to a worker or a game, or SIGSTOP to a game: the command goes on by itself
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: Small settings of every stage: seconds of work, and several checkpoints in it.
TRAINING = ["--num-steps", "24", "--checkpoint-every-steps", "4", "--validate-every-steps", "8"]
COMMON: dict[str, list[str]] = {
    "collect": [
        "--num-episodes", "12", "--episodes-per-shard", "2", "--max-short-steps", "3", "--num-workers", "2",
    ],
    "train-vae": ["--batch-size", "4", *TRAINING],
    "encode": [],
    "train-rnn": ["--batch-size", "4", "--sequence-length", "16", *TRAINING],
    "train-controller": [
        "--num-generations", "4", "--population-size", "4", "--episodes-per-candidate", "2",
        "--score-every-generations", "2", "--score-episodes", "4",
    ],
    "evaluate": ["--episodes", "6"],
}  # fmt: skip
SHORT = ["--max-episode-steps", "100"]
SETTINGS: dict[str, dict[str, list[str]]] = {
    "toy": {
        **COMMON,
        "train-controller": [*COMMON["train-controller"], "--optimizer", "pepg", "--return-to-best"],
        "iterate": [],
        "table": [],
    },
    "take-cover": {**COMMON, "collect": [*COMMON["collect"], *SHORT, "--recipe", "original"]},
    "car-racing": {
        **COMMON,
        "collect": [*COMMON["collect"], *SHORT],
        "train-controller": [*COMMON["train-controller"], "--patience-steps", "30", "--cap-time"],
        "evaluate": ["--episodes", "4", "--fast"],
    },
}
#: What a command leaves in the run's folder, beside what it was there for.
MADE = {
    "collect": ["episodes"],
    "train-vae": ["vae"],
    "encode": ["latents"],
    "train-rnn": ["rnn"],
    "train-controller": ["controller", "model"],
    "evaluate": ["score.json"],
    "iterate": ["rounds"],
    "table": ["table"],
}
#: Commands that have children, worth to be hurt.
PARENTS = {
    "toy": ["collect", "evaluate"],
    "take-cover": ["collect", "evaluate"],
    "car-racing": ["collect", "train-controller", "evaluate"],
}
TIMES = ("time", "elapsed_seconds")
#: An attempt that takes this many times as long as the unbroken run hangs.
PATIENCE = 20
#: Within so many seconds whoever belonged to a dead command must be gone.
ORPHAN_SECONDS = 5
INTERRUPTS = ([signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT, signal.SIGINT])


def result_of(run: Path) -> dict[str, object]:
    """All of a run's results: the bytes of what it ships, and the rows of its logs without their times."""
    found: dict[str, object] = {}
    for pattern in ("episodes/shard-*/*", "latents/*.npy", "**/*.safetensors", "model/*", "*/DONE"):
        for path in run.glob(pattern):
            found[str(path.relative_to(run))] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in run.glob("**/*.jsonl"):
        if path.name == "timings.jsonl":
            continue
        rows = map(json.loads, path.read_text().splitlines())
        found[str(path.relative_to(run))] = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
    for path in [*run.glob("**/evaluation/*.json"), *run.glob("score.json")]:
        if path.stem in ("random", "dream", "real", "score"):
            found[str(path.relative_to(run))] = json.loads(path.read_text())
    return found


@dataclass
class Attempt:
    """A command that runs in a process of its own; what it says goes to ``log``."""

    pid: int
    log: Path
    code: int | None = None

    def ended(self, seconds: float) -> bool:
        """Waits at most so long for the end; says whether it has come."""
        end = time.monotonic() + seconds
        while self.code is None and time.monotonic() < end:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.code = os.waitstatus_to_exitcode(status)
                break
            time.sleep(0.002)
        return self.code is not None

    def kill(self) -> None:
        """The power cut: everybody at once."""
        os.killpg(self.pid, signal.SIGKILL)
        self.ended(60)

    def workers(self) -> list[psutil.Process]:
        """Its workers."""
        try:
            return workers_of(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return []

    def family(self) -> list[psutil.Process]:
        """Its children, and theirs."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def start(command: list[str], folder: Path) -> Attempt:
    """Starts a command."""
    log = folder / "said.txt"
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for kind in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(kind, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        quiet, said = os.open(os.devnull, os.O_RDWR), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for stream, target in ((0, quiet), (1, quiet), (2, said)):
            os.dup2(target, stream)
        from worldmodels.cli import main

        os._exit(main(command))
    while os.getpgid(pid) != pid:  # whoever is killed at once must be in a group of its own by then
        time.sleep(0.001)
    return Attempt(pid, log)


def words_of(process: psutil.Process) -> list[str]:
    """A process's command line; nothing once it has ended."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """A command's workers: what the server that it has started has forked."""
    try:
        servers = [p for p in process.children() if "multiprocessing.forkserver" in " ".join(words_of(p))]
        return [worker for server in servers for worker in server.children()]
    except psutil.NoSuchProcess:
        return []


def shared_memory_of(family: list[psutil.Process]) -> list[Path]:
    """The files of shared memory of the games among some processes."""
    games = [words[words.index("+viz_instance_id") + 1] for p in family if "+viz_instance_id" in (words := words_of(p))]
    return [path for game in games for path in Path("/dev/shm").glob(f"ViZDoom*{game}")]


def left_over(family: list[psutil.Process], shared: list[Path]) -> list[str]:
    """What is still there of a dead command after `ORPHAN_SECONDS` at most."""
    end = time.monotonic() + ORPHAN_SECONDS
    while True:
        alive = [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        found = [" ".join(words_of(p)) or str(p.pid) for p in alive] + [str(path) for path in shared if path.exists()]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)


class Victim:
    """A command on a run that was whole before it, and what the unbroken run holds after it."""

    def __init__(self, task: str, verb: str, settings: list[str], whole: Path, broken: Path) -> None:
        self.task, self.verb, self.broken = task, verb, broken
        self._made = MADE[verb]
        self._whole_command, self.command = (self._words(settings, run) for run in (whole, broken))
        begun = time.monotonic()
        self._finish(self._whole_command, 1200, whole.parent)
        self.seconds = time.monotonic() - begun
        self._expected = result_of(whole)
        self.faults: list[str] = []

    def _words(self, settings: list[str], run: Path) -> list[str]:
        if self.verb == "evaluate":
            return ["evaluate", str(run), *settings, "--json", str(run / "score.json")]
        if self.verb == "iterate":
            return ["iterate", self.task, "--rounds", "2", "--run", str(run / "rounds")]
        if self.verb == "table":
            return ["table", "ablation", "--model", str(run), "--run", str(run / "table")]
        return [self.verb, "--run", str(run), "--task", self.task, "--scale", "smoke", *settings]

    def _finish(self, command: list[str], seconds: float, folder: Path) -> None:
        attempt = start(command, folder)
        if not attempt.ended(seconds):
            attempt.kill()
            raise RuntimeError(f"{' '.join(command)}: hangs")
        if attempt.code != 0:
            raise RuntimeError(f"{' '.join(command)}: exit code {attempt.code}: {attempt.log.read_text()}")

    def begin(self) -> Attempt:
        """Starts the command, from wherever it is."""
        return start(self.command, self.broken.parent)

    def compare(self, attempt: Attempt) -> bool:
        """Notes in what an attempt that came to its end differs from the unbroken run; says if in nothing."""
        found = result_of(self.broken)
        other = sorted(name for name in found.keys() | self._expected.keys() if found.get(name) != self._expected.get(name))
        if attempt.code != 0:
            self.faults.append(f"exit code {attempt.code}: {attempt.log.read_text()[-2000:]}")
        elif other:
            self.faults.append(f"other bytes: {', '.join(other)}")
        return attempt.code == 0 and not other

    def clear(self) -> None:
        """Takes away what the command made, so that it begins anew."""
        for name in self._made:
            path = self.broken / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def end(self) -> bool:
        """Lets the command come to its end; says whether it ended as the unbroken one."""
        attempt = self.begin()
        if not attempt.ended(PATIENCE * self.seconds + 60):
            attempt.kill()
            self.faults.append("hangs")
            return False
        return self.compare(attempt)


def killed(victim: Victim, tries: int, instants: random.Random) -> int:
    """Kills the whole group; returns how many kills were survived."""
    survived = since = 0
    while survived + since < tries:
        attempt = victim.begin()
        if attempt.ended(instants.uniform(0, victim.seconds)):
            # It ended before its instant came: compare, and begin anew for the kills that are left.
            survived, since = survived + since * victim.compare(attempt), 0
            victim.clear()
        else:
            shared = shared_memory_of(attempt.family())
            attempt.kill()
            if left := left_over([], shared):
                victim.faults.append(f"left by a power cut: {left}")
            since += 1
        if victim.faults:
            return survived
    return survived + since * victim.end()


def interrupted(victim: Victim, tries: int, instants: random.Random) -> int:
    """Interrupts the whole group; returns how many interrupts were survived."""
    survived = 0
    for number in range(tries):
        while True:
            attempt = victim.begin()
            if not attempt.ended(instants.uniform(min(0.3, victim.seconds / 2), victim.seconds)):
                break
            victim.compare(attempt)
            victim.clear()
            if victim.faults:
                return survived
        family = attempt.family()
        for kind in INTERRUPTS[number % len(INTERRUPTS)]:
            os.killpg(attempt.pid, kind)
            time.sleep(0.05)
        if not attempt.ended(60):
            attempt.kill()
            victim.faults.append("an interrupt was not heeded")
            return survived
        said = attempt.log.read_text()
        if attempt.code == 0:
            victim.compare(attempt)  # it was over just then
            victim.clear()
        elif attempt.code != 130 or f"to go on: worldmodels {victim.verb} " not in said or "Traceback" in said:
            victim.faults.append(f"exit code {attempt.code} after an interrupt: {said[-2000:]}")
        if left := left_over(family, []):
            victim.faults.append(f"left after an interrupt: {left}")
        survived += not victim.faults
    return survived * victim.end()


def orphaned(victim: Victim, tries: int, instants: random.Random) -> int:
    """Kills the command alone; returns how often nothing was left of it and it went on to the same end."""
    survived = 0
    for _ in range(tries):
        while True:
            attempt = victim.begin()
            if not attempt.ended(instants.uniform(victim.seconds / 4, victim.seconds)):
                break
            victim.compare(attempt)
            victim.clear()
            if victim.faults:
                return survived
        family = attempt.family()
        shared = shared_memory_of(family)
        os.kill(attempt.pid, signal.SIGKILL)
        attempt.ended(60)
        if left := left_over(family, shared):
            victim.faults.append(f"left by a killed command: {left}")
            return survived
        survived += victim.end()
        victim.clear()
    return survived


def hurt(attempt: Attempt, number: int, instants: random.Random) -> bool:
    """Kills or stops one of the command's children; says whether there was any."""
    family = attempt.family()
    games = [p for p in family if "+viz_instance_id" in words_of(p)]
    workers = attempt.workers()
    chosen = (games, workers)[number % 2] or games or workers
    if not chosen:
        return False
    one = instants.choice(chosen)
    try:
        one.send_signal(signal.SIGSTOP if one in games and number % 4 == 2 else signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return True


def hurt_in_a_child(victim: Victim, tries: int, instants: random.Random) -> int:
    """Kills or stops a child; returns how often the command came to the same end by itself."""
    survived = number = 0
    end = time.monotonic() + 60 * tries + PATIENCE * victim.seconds
    while number < tries and time.monotonic() < end:
        attempt = victim.begin()
        if not attempt.ended(instants.uniform(victim.seconds / 4, victim.seconds)):
            number += hurt(attempt, number, instants)
            if not attempt.ended(PATIENCE * victim.seconds + 60):
                attempt.kill()
                victim.faults.append("hangs after a child's death")
                return survived
        same = victim.compare(attempt)
        if not same:
            return survived
        survived = number
        victim.clear()
    if number < tries:
        victim.faults.append("had no child to hurt; on a single core everything is played in one process")
    return survived


#: Fault → (who does it, how many times for twenty kills, whose commands).
FAULTS = {
    "kill": (killed, 1.0, None),
    "interrupt": (interrupted, 0.2, None),
    "orphan": (orphaned, 0.1, PARENTS),
    "child": (hurt_in_a_child, 0.2, PARENTS),
}


def hurt_task(task: str, kills: int, commands: list[str], faults: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Hurts every command of a task; yields a row a fault and command: tried, and survived with the same result."""
    whole, broken = folder / f"{task} unbroken", folder / f"{task} hurt"
    instants = random.Random(0)
    asked = [verb for verb in SETTINGS[task] if verb in commands]
    for verb, settings in SETTINGS[task].items():
        if not asked:
            return
        victim = Victim(task, verb, settings, whole, broken)
        for fault in faults:
            work, share, parents = FAULTS[fault]
            if verb not in commands or (parents is not None and verb not in parents[task]):
                continue
            tried = max(1, round(kills * share))
            victim.clear()
            survived = work(victim, tried, instants)
            row = {"fault": fault, "task": task, "command": verb, "tried": tried, "survived": survived}
            print(f"{task:12} {verb:18} {fault:10} {tried:3} tried, {survived:3} survived", flush=True)
            for problem in victim.faults:
                print(f"    {problem}", flush=True)
            yield row
            if victim.faults:
                return
        victim.clear()
        if not victim.end():
            raise RuntimeError(f"{verb}: {victim.faults}")
        asked = [other for other in asked if other != verb]


def main() -> int:
    """Returns 0 if every command survived every fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--commands", nargs="+", default=list(MADE), choices=list(MADE))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent / "plugin"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH", "")]))
    import worldmodels.cli.commands
    import worldmodels.experiments.iterate
    import worldmodels.experiments.table  # noqa: F401 (so that no attempt has to)

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in asked.tasks:
            for row in hurt_task(task, asked.kills, asked.commands, asked.faults, Path(folder)):
                rows.append(row)
                if asked.json is not None:
                    from worldmodels.base.files import write_json
                    from worldmodels.base.versions import versions

                    write_json(asked.json, {"versions": versions(), "rows": rows})
    return 0 if all(row["survived"] == row["tried"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
