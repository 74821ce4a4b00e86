"""M's switches, which the original has and leaves off: what each does to the likelihood of held-out episodes.

    python -m benchmarks.memory_switches RUN [--num-steps 1000] [--json FILE]

RUN is a run whose latents are made. M is trained on them once a row, from the same seed and on the same batches.
The rows' runs lie beside it, in RUN-switches/, and share its files; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.stages.bench import describe_machine
from worldmodels.base.files import write_json
from worldmodels.cli import main as worldmodels
from worldmodels.runs.run import Run
from worldmodels.runs.shared import share_stages

#: The rows: what each is called, and its flags of ``train-rnn``. The dropout rates are the original's examples.
SWITCHES: dict[str, tuple[str, ...]] = {
    "off": (),
    "layer normalization": ("--layer-norm",),
    "input dropout 0.1": ("--input-dropout", "0.1"),
    "recurrent dropout 0.1": ("--recurrent-dropout", "0.1"),
    "output dropout 0.1": ("--output-dropout", "0.1"),
}


def begun(run: Run, folder: Path) -> Path:
    """Returns the folder of a row's run, with the given one's stages before M."""
    if not folder.exists():
        before = None if run.previous is None else run.previous.path
        share_stages(run, Run.plan(folder, run.task, run.scale, run.seed, run.preset, before, run.recipe), before="rnn")
    return folder


def trained(folder: Path, flags: tuple[str, ...], num_steps: int) -> dict[str, float]:
    """Trains M, and returns its last measurements."""
    if worldmodels(["train-rnn", "--run", str(folder), "--num-steps", str(num_steps), *flags]) != 0:
        raise SystemExit(f"{folder}: M was not trained")
    rows = [json.loads(line) for line in (folder / "rnn" / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if "held_out_nll" in row][-1]
    return {name: last[name] for name in ("nll", "done_loss", "held_out_nll", "held_out_done_loss")}


def main() -> None:
    """Trains M once a row and writes what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--num-steps", type=int, default=1_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: switches.json in RUN-switches/")
    parsed = parser.parse_args()
    folder = parsed.run.with_name(f"{parsed.run.name}-switches")
    folder.mkdir(exist_ok=True)
    run, rows = Run.open(parsed.run), list[dict[str, Any]]()
    for name, flags in SWITCHES.items():
        found = trained(begun(run, folder / name.replace(" ", "-")), flags, parsed.num_steps)
        rows.append({"switch": name, "flags": " ".join(flags), **found})
        print(f"{name}: held-out nll {found['held_out_nll']:.4f}", flush=True)
    facts = {"task": run.task, "seed": run.seed, "num_episodes": run.preset.collect.num_episodes, "num_steps": parsed.num_steps}
    write_json(parsed.json or folder / "switches.json", {**facts, "rows": rows, "machine": describe_machine("cpu")})


if __name__ == "__main__":
    main()
