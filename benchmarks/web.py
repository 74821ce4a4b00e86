"""The page in Chromium, measured: how soon it dreams, how much it fetches, how fast it is, and what the agent scores in it.

    worldmodels export web car-racing take-cover --out site
    python -m benchmarks.web site [--seeds 200] [--json results/web/page.json]

One thread computes, as in every browser. A throttled processor is Chromium's own: four times slower. The agent's scores in the
page's dream are compared to those in Python's dream (``evaluation.json``): other dice, the same world.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser

from benchmarks.browser import begun, browsing, opened, serving
from benchmarks.stages.bench import describe_machine
from worldmodels.agent.load import load
from worldmodels.base.files import write_json

#: Which demo begins with which task.
FIRST = {"car-racing": "drive", "take-cover": "dodge"}
THROTTLE = 4
#: What a browser asks a server to pack; the rest is packed already.
TEXT = (".html", ".css", ".js", ".json")

WORLD = """
    const { World, Dream, loadFacts } = await import(new URL("assets/core.js", location.href));
    const root = new URL(".", location.href);
    const facts = (await loadFacts(root)).find((each) => each.task === task);
    const world = await World.load(root, facts);
    const agent = world.controller();
"""
SPEED = (
    "async ([task, steps]) => {"
    + WORLD
    + """
    const dream = new Dream(world, [facts.temperature]);
    dream.reset([1]);
    const one = async () => {
        const slot = dream.slots[0];
        slot.over = "";
        await dream.step([agent.act(slot.z, slot.hidden, slot.cell)]);
        await dream.decode();
    };
    for (let i = 0; i < 20; i++) await one();
    const started = performance.now();
    for (let i = 0; i < steps; i++) await one();
    return (steps * 1000) / (performance.now() - started);
}"""
)
SCORES = (
    "async ([task, seeds]) => {"
    + WORLD
    + """
    const dream = new Dream(world, seeds.map(() => facts.temperature));
    dream.reset(seeds);
    while (dream.slots.some((slot) => !slot.over)) {
        await dream.step(dream.slots.map((slot) => (slot.over ? null : agent.act(slot.z, slot.hidden, slot.cell))));
    }
    return dream.slots.map((slot) => slot.score);
}"""
)


def first_frame(browser: Browser, address: str, task: str, times: int = 5) -> float:
    """Returns the seconds from the navigation to the first dreamt frame, the median of some visits with nothing cached."""
    found = []
    for _ in range(times):
        demo = FIRST[task]
        with opened(browser, f"{address}?demo={demo}&world={task}") as told:
            begun(told.page, demo)
            mark = f"performance.getEntriesByName('first-frame-{demo}')[0].startTime"
            found.append(float(told.page.evaluate(mark)) / 1000)
    return statistics.median(found)


def frames_per_second(browser: Browser, address: str, task: str, throttle: int, steps: int = 300) -> float:
    """Returns how many frames of the dream are computed in a second: C acts, M steps, V draws."""
    with opened(browser, f"{address}worlds.json") as told:
        told.page.context.new_cdp_session(told.page).send("Emulation.setCPUThrottlingRate", {"rate": throttle})
        return float(told.page.evaluate(SPEED, [task, steps]))


def transferred(site: Path) -> int:
    """Returns the bytes of the whole site, text packed as servers pack it."""
    return sum(
        len(gzip.compress(path.read_bytes())) if path.suffix in TEXT else path.stat().st_size
        for path in site.rglob("*")
        if path.is_file()
    )


def scores(browser: Browser, address: str, task: str, num_seeds: int) -> dict[str, Any]:
    """Returns the agent's scores in the page's dream beside the recorded ones of Python's."""
    recorded = load(task).card["evaluation"]["dream"]
    with opened(browser, f"{address}worlds.json") as told:
        found = np.array(told.page.evaluate(SCORES, [task, list(range(1, num_seeds + 1))]))
    low, high = recorded["ci95"]
    error = float(found.std(ddof=1) / np.sqrt(len(found)))
    return {
        "seeds": num_seeds,
        "mean": round(float(found.mean()), 2),
        "standard_error": round(error, 2),
        "python_mean": recorded["mean"],
        "python_episodes": recorded["num_episodes"],
        "python_ci95": [low, high],
        "within": bool(low <= found.mean() <= high),
    }


def main() -> None:
    """Measures and prints; ``--json`` also writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    result: dict[str, Any] = {
        "machine": describe_machine("cpu"),
        "transferred_bytes": transferred(parsed.site),
        "tasks": {},
    }
    with serving(parsed.site) as address, browsing() as browser:
        result["browser"] = f"Chromium {browser.version}"
        for task in FIRST:
            row: dict[str, Any] = {"first_frame_seconds": round(first_frame(browser, address, task), 3)}
            for name, rate in (("frames_per_second", 1), (f"frames_per_second_throttled_{THROTTLE}x", THROTTLE)):
                row[name] = round(frames_per_second(browser, address, task, rate), 1)
            if parsed.seeds:
                row["dream_scores"] = scores(browser, address, task, parsed.seeds)
            result["tasks"][task] = row
            print(task, row, flush=True)
    if parsed.json is not None:
        write_json(parsed.json, result)


if __name__ == "__main__":
    main()
