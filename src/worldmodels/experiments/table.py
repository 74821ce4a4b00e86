"""Tables of controllers, the paper's two among them: one a row, evolved on the same V and M, and scored.

DIR/
  <row>/        a run's folder with controller/, model/ and evaluation/ only: V and M are the given model's
  table.json    every row's scores and seconds    table.md    the same to read    table.png    the same to look at

The same command again goes on where it stopped; a row that is done is not evolved again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from worldmodels.agent.agent import Agent
from worldmodels.agent.target import is_model, target_path
from worldmodels.base.errors import BadFileError, UserError, nearest
from worldmodels.base.seeding import derive_seed
from worldmodels.base.versions import versions
from worldmodels.config import BEST_RECIPE, Backend, ControllerConfig, EvaluateConfig, Optimizer
from worldmodels.diagnostics.statistics import score_text, short_score
from worldmodels.envs.registry import tasks
from worldmodels.envs.task import Task
from worldmodels.models.controller import num_parameters
from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.sizes import run_sizes
from worldmodels.models.world_model import WorldModel
from worldmodels.plots.table import draw_bars, draw_temperatures
from worldmodels.runs.layout import CONFIG
from worldmodels.runs.made_once import write_table
from worldmodels.runs.run import Run
from worldmodels.runs.timings import note_time, stage_seconds
from worldmodels.runtime.memory import keep_freed_memory
from worldmodels.search.dream_ppo import check_ppo
from worldmodels.search.evolve import evolve
from worldmodels.stages import evaluate

#: Shown beside ours: mean and standard deviation over 100 episodes.
Score = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One controller: how it is evolved, and what the paper says of it."""

    name: str
    label: str
    config: ControllerConfig
    paper_dream: Score | None = None
    paper_real: Score | None = None
    untrained: bool = False
    """M has its random initial weights: a control, which no dream can be had of."""


#: τ → (dream, real): paper, table 2 (DoomTakeCover).
PAPER_TEMPERATURES: dict[float, tuple[Score, Score]] = {
    0.10: ((2086, 140), (193, 58)),
    0.50: ((2060, 277), (196, 50)),
    1.00: ((1145, 690), (868, 511)),
    1.15: ((918, 546), (1092, 556)),
    1.30: ((732, 269), (753, 139)),
}
#: Those of the rows: the paper's, and a dream that is nearly deterministic.
TEMPERATURES = (0.01, *PAPER_TEMPERATURES)


#: Those that `--optimizer` takes, as they are called.
OPTIMIZERS: dict[Optimizer, str] = {
    "cma": "CMA-ES",
    "openes": "OpenAI-ES",
    "pepg": "PEPG",
    "ses": "simple ES",
    "simple-ga": "simple GA",
}


def temperature_rows(spec: Task, base: ControllerConfig) -> list[Row]:
    """One controller per temperature of the dream it is evolved in (paper, table 2, and one that is colder)."""
    rows = []
    for temperature in TEMPERATURES:
        config = dataclasses.replace(base, world="dream", temperature=temperature)
        paper = PAPER_TEMPERATURES.get(temperature, (None, None)) if spec.name == "take-cover" else (None, None)
        rows.append(Row(f"tau-{temperature:.2f}", f"τ {temperature:.2f}", config, *paper))
    return rows


def ablation_rows(spec: Task, base: ControllerConfig) -> list[Row]:
    """What C sees (paper, table 1, and an untrained M as a control, which only the real environment can train on)."""
    paper: dict[str, Score] = {"z": (632, 251), "z+hidden": (788, 141), "zh": (906, 21)} if spec.name == "car-racing" else {}
    rows = [
        Row("v", "V only", dataclasses.replace(base, inputs="z"), paper_real=paper.get("z")),
        Row("v-hidden", "V, hidden layer", dataclasses.replace(base, inputs="z+hidden"), paper_real=paper.get("z+hidden")),
        Row("v-m", "V and M", base, paper_real=paper.get(base.inputs)),
    ]
    if base.world == "real":
        rows.append(Row("v-untrained-m", "V, untrained M", base, untrained=True))
    return rows


def optimizer_rows(spec: Task, base: ControllerConfig) -> list[Row]:
    """What searches, each for the same number of the dream's or the game's steps.

    Raises:
        UserError: that number is not given.
    """
    if not base.max_steps:
        raise UserError("this table compares searches of equally many steps; say how many with --max-steps, such as 50000000")
    return [Row(name, label, dataclasses.replace(base, optimizer=name)) for name, label in OPTIMIZERS.items()]


def row_search(config: ControllerConfig, num_generations: int, ppo_iterations: int, max_steps: int) -> ControllerConfig:
    """Returns how the rows' C are found, from zeros: by CMA-ES as the paper's, along every weight (a row has no episodes to
    take components from), or by PPO and then as many generations as are asked for."""
    sigma = ControllerConfig().sigma if config.num_components else config.sigma
    along_all = dataclasses.replace(config, num_components=0, sigma=sigma, ppo_iterations=0)
    return along_all.with_effort(num_generations, ppo_iterations, max_steps)


TABLES: dict[str, Callable[[Task, ControllerConfig], list[Row]]] = {
    "temperature": temperature_rows,
    "ablation": ablation_rows,
    "optimizers": optimizer_rows,
}
DRAW: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "temperature": draw_temperatures,
    "ablation": partial(draw_bars, title="what C scores by what it sees"),
    "optimizers": partial(draw_bars, title="what C scores by what searches for it"),
}


def check_table(name: str, others: tuple[str, ...] = ()) -> None:
    """Raises `UserError` with the nearest match if there is no such table, here or among ``others``."""
    if name not in (known := (*TABLES, *others)):
        raise UserError(f"there is no table '{name}'{nearest(name, known)}")


def check_recipe(name: str, target: str, agent: Agent, scale: str, recipe: str) -> None:
    """Raises `UserError` where the V and M that rows are to share were made by another recipe than the rows. A model's folder
    does not say by which it was: it is taken where M learns the same ends and its dream ends in the same way."""
    path, own = target_path(target), recipe
    if target in tasks():
        own = BEST_RECIPE
    elif not is_model(path) and (path / CONFIG).exists():
        own = Run.open(path).recipe
    else:
        sizes, task = agent.world_model.sizes, agent.task
        others = [known for known in (BEST_RECIPE, *task.recipes) if known != recipe]
        same = (known for known in (recipe, *others) if _ends(run_sizes(task, task.preset(scale, known))) == _ends(sizes))
        own = next(same, recipe)
    if own != recipe:
        raise UserError(
            f"table {name}: V and M of {target} are of the recipe {own}; use --recipe {own}, or name a run of the recipe "
            f"{recipe} with --model ('worldmodels reproduce TASK --recipe {recipe}' makes one)"
        )


def _ends(sizes: RNNSizes) -> tuple[bool, bool]:
    """Returns what M's end head learns and whether the dream's ends are drawn."""
    return sizes.hits, sizes.drawn


def make_table(
    name: str,
    agent: Agent,
    path: Path,
    scale: str,
    seed: int,
    recipe: str = BEST_RECIPE,
    num_generations: int = 0,
    ppo_iterations: int = 0,
    max_steps: int = 0,
    episodes: int = 0,
    fast: bool = False,
    backend: Backend = "local",
    address: str = "",
) -> dict[str, Any]:
    """Evolves and scores every row of a table into ``path``; returns what ``table.json`` holds.

    Args:
        name: a key of `TABLES`.
        agent: its V, M and initial latents are what every row is evolved on; its C is not used.
        scale: whose settings of the controller and of the evaluation are used; ``recipe``: of which recipe.
        seed: of every row's evolution.
        num_generations: of every row's evolution; 0 is the scale's, or none with ``ppo_iterations``.
        ppo_iterations: of every row's PPO in the dream before its evolution, from dreamt moments.
        max_steps: of every row's evolution, which ends with the generation that reaches them; 0: no limit.
        fast: score on the environment that training uses.
        episodes: of every row's scores; 0: as many as the scale has.
        backend: who plays the real environment; ``address`` is the Ray cluster's.

    Raises:
        UserError: a row in ``path`` was made with other settings or from another model, or cannot be made by PPO.
    """
    spec = agent.task
    preset = spec.preset(scale, recipe).on(backend=backend, address=address)
    config = row_search(preset.controller, num_generations, ppo_iterations, max_steps)
    config.validate()
    asked = dataclasses.replace(preset.evaluate, fast=fast, episodes=episodes or preset.evaluate.episodes)
    rows = TABLES[name](spec, config)
    if ppo_iterations:
        for row in rows:
            check_ppo(row.config)
    keep_freed_memory()
    found = [make_row(row, agent, path / row.name, scale, recipe, seed, asked) for row in rows]
    asked = dataclasses.replace(asked, agent="random", world="real")
    chance = evaluate.run(asked, Run.open(path / rows[0].name), "random")
    result = {
        "table": name,
        "task": spec.name,
        "scale": scale,
        **({} if recipe == BEST_RECIPE else {"recipe": recipe}),
        "seed": seed,
        "env": chance["env"]["id"],
        "model": {part: digest for part, digest in agent.sha256.items() if part != "controller"},
        "versions": versions(),
        "random": short_score(chance),
        "rows": found,
        "seconds": round(sum(row["seconds"] for row in found), 2),
    }
    write_table(path, result, to_markdown(result), partial(DRAW[name], result))
    return result


def make_row(row: Row, agent: Agent, path: Path, scale: str, recipe: str, seed: int, base: EvaluateConfig) -> dict[str, Any]:
    """Evolves one controller and scores it, or reads what an earlier call left."""
    world_model = _with_untrained_memory(agent.world_model, seed) if row.untrained else agent.world_model
    spec = world_model.spec
    sizes = world_model.sizes
    preset = spec.preset(scale, recipe).with_sizes(sizes.latent_size, sizes.width, sizes.hidden_size, sizes.num_mixtures)
    collect = dataclasses.replace(preset.collect, frames=spec.frames_name)
    preset = dataclasses.replace(preset, collect=collect, controller=row.config)
    run = Run.open_or_create(path, spec.name, scale, seed, preset, recipe=recipe)
    run.refuse_other_settings("controller", row.config)
    inputs = {part: agent.sha256[part] for part in ("vae", "rnn", "initial_latents")}
    if row.untrained:
        inputs["rnn"] = "untrained"
    print(f"{row.label}:", flush=True)
    start, begun, refused = time.monotonic(), False, False
    try:
        with run.nothing_left_if_refused("controller"):
            begun = run.begin("controller", row.config, inputs)
            if begun:
                evolve(row.config, run, world_model, None)
    except (UserError, BadFileError):
        refused = True
        raise
    finally:
        if begun and not refused:
            note_time(run, "controller", time.monotonic() - start)
    dream = None
    if not row.untrained:
        dream = evaluate.run(base.in_dream_of(row.config), run, "dream")
    real = evaluate.run(dataclasses.replace(base, world="real"), run, "real")
    return {
        "row": row.name,
        "label": row.label,
        "controller": row.config.to_dict(),
        "parameters": num_parameters(sizes, row.config.inputs, spec.controller_bias),
        "dream": None if dream is None else short_score(dream),
        "real": short_score(real),
        "paper_dream": row.paper_dream,
        "paper_real": row.paper_real,
        "seconds": stage_seconds(run).get("controller", 0.0),
    }


def _with_untrained_memory(world_model: WorldModel, seed: int) -> WorldModel:
    """Returns the world model with an M of random weights in the trained one's place."""
    torch.manual_seed(derive_seed(seed, "controller/untrained"))
    return dataclasses.replace(world_model, rnn=MDNRNN(world_model.sizes).eval())


def to_markdown(result: dict[str, Any]) -> str:
    """Returns the table for people."""

    def score(row: dict[str, Any] | None) -> str:
        return "" if row is None else score_text(row)

    def paper(found: Score | None) -> str:
        return "" if found is None else f"{found[0]:g} ± {found[1]:g}"

    lines = ["| | parameters of C | dream | real | paper, dream | paper, real |", "| --- | --: | --: | --: | --: | --: |"]
    for row in result["rows"]:
        lines.append(
            f"| {row['label']} | {row['parameters']:,} | {score(row['dream'])} | {score(row['real'])} | "
            f"{paper(row['paper_dream'])} | {paper(row['paper_real'])} |"
        )
    lines.append(f"| random policy | | | {score(result['random'])} | | |")
    episodes = result["random"]["num_episodes"]
    config = result["rows"][0]["controller"]
    ways = []
    if config.get("ppo_iterations"):
        ways.append(f"improved by {config['ppo_iterations']} iterations of PPO in its dream")
    if config.get("max_steps"):
        ways.append(f"evolved until its candidates had played {config['max_steps']:,} steps")
    elif config["num_generations"]:
        size, each = config["population_size"], config["episodes_per_candidate"]
        ways.append(f"evolved for {config['num_generations']} generations of {size} × {each} episodes")
    lines += [
        "",
        f"{result['env']}: mean ± standard deviation over {episodes} held-out episodes; every C {' and '.join(ways)}, "
        f"{result['seconds'] / 60:.0f} minutes in all; seed {result['seed']}.",
    ]
    return "\n".join(lines) + "\n"
