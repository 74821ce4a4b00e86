"""Steps per second of the fast CarRacing and of Gymnasium's own, in the same run, on one core.

    python -m benchmarks.car_racing_speed [--seconds 20] [--json FILE]

What is counted is the processor's time of this process, so that other work on the machine does not count as ours; it
still costs caches and clock rate, which the ratio mostly cancels, because the environments take turns. Actions are
random and held; an episode that ends is followed by the next, and the resets are not counted for any of them.
The bound of our row is the same environment without any drawing: the physics in Python. Where EnvPool can be imported it
is measured too, with one environment and one thread.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# One core: nothing here may start a pool of threads.
for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402 (after the threads)
from gymnasium.envs.box2d.car_racing import CarRacing  # noqa: E402

from worldmodels.envs.car_racing.env import CarRacingEnv  # noqa: E402

#: Turns that each environment gets.
ROUNDS = 5
MAX_EPISODE_STEPS = 1000


class _PhysicsOnly(CarRacingEnv):
    def _render(self, mode: str) -> Any:
        return None


class _Player:
    """Plays on and on, and counts steps and the processor's seconds of the steps alone."""

    def __init__(self, env: CarRacing) -> None:
        self._env = env
        self._rng = np.random.default_rng(0)
        self._seed = 0
        self._left = 0
        self.steps, self.seconds = 0, 0.0

    def play(self, seconds: float) -> None:
        """Plays for ``seconds`` of the processor's time, at least 50 steps."""
        spent, first = 0.0, self.steps
        while spent < seconds or self.steps < first + 50:
            if self._left == 0:
                self._env.reset(seed=self._seed)
                self._seed, self._left = self._seed + 1, MAX_EPISODE_STEPS
            action = self._rng.uniform([-1, 0, 0], [1, 1, 0.3]).astype(np.float32)
            start, count, over = time.process_time(), 0, False
            while count < min(10, self._left) and not over:
                _, _, terminated, truncated, _ = self._env.step(action)
                over, count = terminated or truncated, count + 1
            took = time.process_time() - start
            self._left = 0 if over else self._left - count
            self.steps, self.seconds, spent = self.steps + count, self.seconds + took, spent + took

    @property
    def rate(self) -> float:
        """Steps per second of the processor's time."""
        return self.steps / self.seconds


def _envpool_rate(seconds: float) -> float | None:
    """Returns EnvPool's steps/s, one environment and one thread, or None where EnvPool is not installed."""
    if importlib.util.find_spec("envpool") is None:
        return None
    make: Callable[..., Any] = importlib.import_module("envpool").make_gymnasium
    env = make("CarRacing-v3", num_envs=1, num_threads=1, seed=0)
    env.reset()
    rng, steps, spent = np.random.default_rng(0), 0, 0.0
    while spent < seconds:
        action = rng.uniform([[-1, 0, 0]], [[1, 1, 0.3]]).astype(np.float32)
        start, count, over = time.process_time(), 0, False
        while count < 10 and not over:
            _, _, terminated, truncated, _ = env.step(action)
            over, count = bool(terminated[0] or truncated[0]), count + 1
        steps, spent = steps + count, spent + time.process_time() - start
        if over:
            env.reset()
    return steps / spent


def _row(name: str, value: float, baseline: float | None, bound: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": "steps/s of one core's time",
        "baseline": baseline,
        "ratio": value / baseline if baseline else None,
        "bound": bound,
        "fraction_of_bound": value / bound if bound else None,
    }


def measure(seconds: float) -> list[dict[str, Any]]:
    """Measures all; ``seconds`` is the processor's time for each."""
    ours, official, physics = _Player(CarRacingEnv()), _Player(CarRacing()), _Player(_PhysicsOnly())
    ours.play(0)  # compiles
    ours.steps, ours.seconds = 0, 0.0
    for _ in range(ROUNDS):
        for player in (ours, official, physics):
            player.play(seconds / ROUNDS)
    envpool = _envpool_rate(seconds)
    rows = [
        _row("CarRacing, ours, 64x64", ours.rate, official.rate, physics.rate),
        _row("CarRacing, Gymnasium, 96x96", official.rate, None, None),
        _row("CarRacing, physics alone", physics.rate, None, None),
    ]
    if envpool is not None:
        rows.append(_row("CarRacing, ours beside EnvPool", ours.rate, envpool, None))
    return rows


def main() -> None:
    """Measures, prints, and writes the rows where asked."""
    parser = argparse.ArgumentParser(description="Steps per second of the fast CarRacing beside Gymnasium's own.")
    parser.add_argument("--seconds", type=float, default=20, help="the processor's time for each environment")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    arguments = parser.parse_args()
    load = round(os.getloadavg()[0], 2)
    rows = measure(arguments.seconds)
    for row in rows:
        beside = f", {row['ratio']:.1f} times {row['baseline']:,.0f}" if row["ratio"] else ""
        print(f"{row['name']}: {row['value']:,.0f} {row['unit']}{beside}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"load_average_before": load, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
