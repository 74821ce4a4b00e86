"""How fast every stage is on this machine, beside the original's way and beside what its matrix products allow.

All in one run, so that a ratio compares what the same machine did in the same minutes. Nothing is downloaded and no
trained weights are needed: speed does not depend on them.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.stages import bounds, foreign
from benchmarks.stages.collection import measure_collection
from benchmarks.stages.driving import measure_driving
from benchmarks.stages.learning import measure_encoding, measure_rnn_training, measure_vae_training
from benchmarks.stages.plan import SCALE, Bench
from benchmarks.stages.playing import measure_cma_es, measure_dream, measure_game
from benchmarks.stages.timing import Row, best_of, rates
from worldmodels.config import Device
from worldmodels.envs.registry import get_task
from worldmodels.models.precision import compute_dtype, pick_device
from worldmodels.runtime.memory import keep_freed_memory
from worldmodels.runtime.workers import available_cores

#: What is measured of every task, in this order.
MEASURES: dict[str, tuple[Callable[[Bench], Row | list[Row]], ...]] = {
    "take-cover": (
        measure_collection,
        measure_vae_training,
        measure_encoding,
        measure_rnn_training,
        measure_dream,
        measure_game,
        measure_cma_es,
    ),
    "car-racing": (
        measure_collection,
        measure_vae_training,
        measure_encoding,
        measure_rnn_training,
        measure_dream,
        measure_driving,
        measure_cma_es,
    ),
}


#: How often everything is measured: minutes lie between, in which a machine that others use may have become quiet.
PASSES = 3


def run_bench(seconds: float, asked: Device) -> dict[str, Any]:
    """Measures every stage of both tasks, prints a table and returns ``machine`` and ``rows`` as JSON values.

    Args:
        seconds: how long each measurement goes on, at least: games must start, and generations of the dream are played whole.
        asked: where V, M and the dream compute.
    """
    device = pick_device(asked)
    machine = describe_machine(device)
    keep_freed_memory()
    passes = [_measure_all(seconds / PASSES, device) for _ in range(PASSES)]
    rows = [best_of(same) for same in zip(*passes, strict=True)]
    result = {"machine": machine, "seconds_each": seconds, "rows": [row.to_dict() for row in rows]}
    _print(result)
    return result


def _measure_all(seconds: float, device: str) -> list[Row]:
    """Measures everything once."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="worldmodels-bench-", ignore_cleanup_errors=True) as folder:
        for where in dict.fromkeys(("cpu", device)):
            # bfloat16 without hardware for it takes minutes and bounds nothing.
            for dtype in dict.fromkeys((torch.float32, compute_dtype(where))):
                (product,) = rates([bounds.matrix_product(where, dtype)], [seconds / 4], where)
                name = f"matrix product, {_name(dtype)}, {where}"
                rows.append(Row("", name, product / 1e9, "GFLOP/s", "square, by itself; a stage's bound is measured beside it"))
        for env_id in foreign.ENVS:
            print(f"bench: --env {env_id}", file=sys.stderr, flush=True)
            rows.append(foreign.measure_foreign(env_id, seconds))
        for task, measures in MEASURES.items():
            bench = Bench(get_task(task), Path(folder) / task, device, seconds)
            bench.folder.mkdir()
            for measure in measures:
                what = measure.__name__.removeprefix("measure_").replace("_", " ")
                print(f"bench: {task}, {what}", file=sys.stderr, flush=True)
                found = measure(bench)
                rows += [found] if isinstance(found, Row) else found
    return rows


def describe_machine(device: str) -> dict[str, Any]:
    """Returns what the numbers depend on. A load average far above 0 at the start means that others were working too."""
    return {
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "gpu": torch.cuda.get_device_name() if device.startswith("cuda") else None,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "compute_dtype": _name(compute_dtype(device)),
        "scale": SCALE,
    }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _cpu_model() -> str:
    """Returns the processor's name: Linux keeps it in a file, elsewhere Python's guess must do."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _print(result: dict[str, Any]) -> None:
    machine = result["machine"]
    table = Table(
        title=f"{machine['cpu']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}, torch {machine['torch']} "
        f"({machine['torch_threads']} threads), {machine['compute_dtype']}, load before {machine['load_average_before']}"
    )
    for name in ("task", "measured", "value", "unit", "baseline", "ratio", "bound", "of bound"):
        table.add_column(name, justify="left" if name in ("task", "measured", "unit") else "right")
    for row in result["rows"]:
        share = row["fraction_of_bound"]
        table.add_row(
            row["task"],
            row["name"],
            _number(row["value"]),
            row["unit"],
            _number(row["baseline"]),
            "" if row["ratio"] is None else f"{_number(row['ratio'])}×",
            _number(row["bound"]),
            "" if share is None else f"{share:.0%}",
        )
    # Outside a terminal rich assumes 80 columns, which would break the table's rows.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for row in result["rows"]:
        console.print(f"{row['task']} {row['name']}: {row['note']}".strip(), highlight=False)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
