"""``python -m benchmarks.stages [--seconds 5] [--device auto] [--json results/bench.json]``: about eleven minutes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.stages.bench import run_bench
from worldmodels.base.errors import UserError, WorldModelsError
from worldmodels.base.files import check_output, write_json


def main() -> int:
    """Measures; returns the exit code."""
    parser = argparse.ArgumentParser(description="Every stage's speed, beside the original's way and the matrix-product bound.")
    parser.add_argument("--device", default="auto", help="where V, M and the dream compute; auto: the GPU if there is one")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of a measurement, and as long again of its baseline; 0.1 to 3600"
    )
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    asked = parser.parse_args()
    try:
        if asked.json is not None:
            check_output(asked.json)
        if not 0.1 <= asked.seconds <= 3600:
            raise UserError(f"seconds is {asked.seconds}; it must lie between 0.1 and 3600")
        rows = run_bench(asked.seconds, asked.device)
        if asked.json is not None:
            write_json(asked.json, rows)
    except WorldModelsError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
