"""Copies what a finished run measured into results/: ``python docs/keep_results.py RUN`` → results/TASK/SCALE/."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from worldmodels.plots.evolution import draw_scores
from worldmodels.plots.figures import save
from worldmodels.run import Run

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
    "evaluation/curve.png",
    "evaluation/reconstructions.png",
)
#: Not every task has a faster copy of its environment to be scored on, and not every C comes from PPO.
OPTIONAL = {"controller/ppo.jsonl", "evaluation/fast.json"}


def main(path: Path) -> None:
    """Copies the files of a run; a name that two stages share gets its stage in front."""
    run = Run.open(path)
    target = ROOT / "results" / run.task / run.scale
    target.mkdir(parents=True, exist_ok=True)
    kept = [name for name in KEPT if name not in OPTIONAL or (path / name).exists()]
    for name in kept:
        stage, _, file = name.rpartition("/")
        shutil.copyfile(path / name, target / (f"{stage}-{file}" if file == "metrics.jsonl" else file))
    figure = draw_scores(run)
    if figure is not None:
        save(figure, target / "scores.png")
    print(f"kept {len(kept)} files and the histogram in {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
