"""``python -m benchmarks.stages [--seconds 5] [--device auto] [--json results/bench.json]``: about eight minutes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stages.bench import run_bench
from worldmodels.base.errors import UserError, WorldModelsError
from worldmodels.cli.parse import check_json, parse, write_result
from worldmodels.config import Device


@dataclass(frozen=True)
class BenchArgs:
    """Measure every stage's speed on this machine, each beside the original's way and the matrix-product bound."""

    device: Device = "auto"
    """Where V, M and the dream compute; auto is the GPU if there is one."""
    seconds: float = 5.0
    """How long a measurement goes on, and its baseline as long again; 0.1 to 3600."""
    json: Path | None = None
    """Also write the rows to this file; - is standard output."""


def main() -> int:
    """Measures; returns the exit code."""
    try:
        args: BenchArgs = parse(BenchArgs, "bench", sys.argv[1:])
        check_json(args.json)
        if not 0.1 <= args.seconds <= 3600:
            raise UserError(f"seconds is {args.seconds}; it must lie between 0.1 and 3600")
        write_result(args.json, run_bench(args.seconds, args.device))
    except WorldModelsError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
