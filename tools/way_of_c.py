"""Controllers of the way to a C, for the page's "How C learned": ``python -m tools.way_of_c TASK`` → shipped/TASK/way.*

The searches that made the shipped agents kept none of theirs. This is another search: from zeros, in the dream of the shipped
V and M, by what `worldmodels train-controller` does. PPO's controllers of every quarter, or CMA-ES's means of every sixth of
the way, are kept in float16, and scored as they lie in the file.

    way.safetensors   solutions float16 [controllers, parameters]
    way.json          the command, the search's settings, and of every controller its generation and its score in the dream
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

from worldmodels.agent.load import load
from worldmodels.agent.target import SHIPPED
from worldmodels.base import files
from worldmodels.base.tensors import save_tensors
from worldmodels.base.versions import versions
from worldmodels.config import ControllerConfig, DreamPPOConfig
from worldmodels.runs.layout import WAY, WAY_RECORD
from worldmodels.runs.run import Run
from worldmodels.runs.timings import note_time, stage_seconds
from worldmodels.runtime.memory import keep_freed_memory
from worldmodels.search.evolve import evolve, make_evaluator
from worldmodels.web.source import kept_controllers
from worldmodels.worlds.rollout import EpisodeJob

#: Small searches, of minutes a task: what the agents themselves came from took hours.
SEARCHES = {
    "car-racing": ControllerConfig(
        inputs="muh", world="dream", temperature=1.0, num_generations=24, population_size=32, episodes_per_candidate=2,
        score_every_generations=24, score_episodes=32,
    ),
    "take-cover": ControllerConfig(
        inputs="zch", world="dream", temperature=1.0, num_generations=0, ppo_iterations=16, score_episodes=32,
        ppo=DreamPPOConfig(start_episodes=128, num_blocks=1, block_slots=512),
    ),
}  # fmt: skip
#: Episodes in the dream that each kept controller is scored over, and their first seed: none that the search plays.
EPISODES, SEED = 100, 0
#: Episodes of training's environment that the last of them is scored over.
REAL_EPISODES = 16


def search(task: str, path: Path) -> None:
    """Searches into a run's folder, or goes on, and writes the two files."""
    agent, config = load(task), SEARCHES[task]
    assert config.inputs == agent.inputs
    sizes = agent.world_model.sizes
    preset = agent.task.preset("laptop").with_sizes(sizes.latent_size, sizes.width, sizes.hidden_size, sizes.num_mixtures)
    run = Run.open_or_create(path, task, "laptop", 0, dataclasses.replace(preset, controller=config))
    keep_freed_memory()
    start = time.monotonic()
    if run.begin("controller", config, {part: agent.sha256[part] for part in ("vae", "rnn", "initial_latents")}):
        evolve(config, run, agent.world_model, None)
        note_time(run, "controller", time.monotonic() - start)
    kept = kept_controllers(run)
    solutions = torch.stack([each.solution for each in kept]).half()
    evaluator = make_evaluator(agent.world_model, dataclasses.replace(config, temperature=agent.temperature), "dream")
    jobs = [EpisodeJob(candidate, SEED + i) for candidate in range(len(kept)) for i in range(EPISODES)]
    results = evaluator.evaluate(solutions.float(), jobs)
    evaluator.close()
    outside = make_evaluator(agent.world_model, config, "real")
    last = outside.evaluate(solutions[-1:].float(), [EpisodeJob(0, SEED + i) for i in range(REAL_EPISODES)])
    outside.close()
    returns = np.array([result.episode_return for result in results]).reshape(len(kept), EPISODES)
    means, stds = returns.mean(1).round(2).tolist(), returns.std(1, ddof=1).round(2).tolist()
    controllers = [
        {"name": each.name, "generation": each.generation, "mean": mean, "std": std}
        for each, mean, std in zip(kept, means, stds, strict=True)
    ]
    record = {
        "command": f"python -m tools.way_of_c {task}",
        "controller": config.to_dict(),
        "seed": run.seed,
        "seconds": stage_seconds(run)["controller"],
        "temperature": agent.temperature,
        "episodes": EPISODES,
        "controllers": controllers,
        "last_in_reality": {
            "mean": round(float(np.mean([each.episode_return for each in last])), 2),
            "episodes": REAL_EPISODES,
        },
        "sha256": {part: agent.sha256[part] for part in ("vae", "rnn")},
        "versions": versions(),
    }
    save_tensors(SHIPPED / task / WAY, {"solutions": solutions})
    files.write_bytes(SHIPPED / task / WAY_RECORD, (json.dumps(record, separators=(",", ":")) + "\n").encode())
    for row in controllers:
        print(row, flush=True)


def main() -> None:
    """Parses and searches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=sorted(SEARCHES))
    parser.add_argument("--run", type=Path, help="the folder to work in (default: runs/way-TASK)")
    parsed = parser.parse_args()
    search(parsed.task, parsed.run or Path("runs") / f"way-{parsed.task}")


if __name__ == "__main__":
    main()
