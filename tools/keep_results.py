"""Copies what a finished run measured into results/: ``python -m tools.keep_results RUN`` → results/TASK/SCALE/.

``make figures`` draws its pictures anew then, all but the reconstructions, which need the run.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools import made_by
from worldmodels.runs.run import Run

ROOT = Path(__file__).resolve().parent.parent
KEPT = (
    "config.json",
    "timings.jsonl",
    "vae/metrics.jsonl",
    "rnn/metrics.jsonl",
    "controller/ppo.jsonl",
    "controller/history.jsonl",
    "controller/scores.jsonl",
    "evaluation/random.json",
    "evaluation/dream.json",
    "evaluation/real.json",
    "evaluation/fast.json",
    "evaluation/results.json",
    "evaluation/reconstructions.png",
)
#: Not every task has a faster copy of its environment to be scored on, and not every C comes from PPO.
OPTIONAL = {"controller/ppo.jsonl", "evaluation/fast.json"}


def kept_name(name: str) -> str:
    """Returns what a run's file is called in results/: a name that two stages share gets its stage in front."""
    stage, _, file = name.rpartition("/")
    return f"{stage}-{file}" if file == "metrics.jsonl" else file


@contextlib.contextmanager
def unpacked(folder: Path) -> Iterator[Run]:
    """Gives what is kept of a run as a run again, as far as drawing it needs."""
    with tempfile.TemporaryDirectory() as temporary:
        for name in KEPT:
            if (folder / kept_name(name)).exists():
                target = Path(temporary) / name
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / kept_name(name), target)
        yield Run.open(Path(temporary))


def main(path: Path) -> None:
    """Copies the files of a run."""
    run = Run.open(path)
    target = ROOT / "results" / run.task / run.scale
    target.mkdir(parents=True, exist_ok=True)
    kept = [name for name in KEPT if name not in OPTIONAL or (path / name).exists()]
    for name in kept:
        shutil.copyfile(path / name, target / kept_name(name))
    made_by.record([f"results/{run.task}/{run.scale}/reconstructions.png"])
    print(f"kept {len(kept)} files in {target.relative_to(ROOT)}; now 'make figures'")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
