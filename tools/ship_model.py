"""Ships a finished run's agent with the package: ``python -m tools.ship_model RUN`` → src/worldmodels/shipped/TASK/.

Weights are rounded to float16 first and scored afterwards, so that the scores are those of the files. ``--check`` writes
nothing: it makes every shipped model's card anew from the JSON beside it, and returns 1 if one differs or a hash does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from tools import made_by
from tools.make_again import describe
from worldmodels.agent.files import PARTS
from worldmodels.agent.load import load_model
from worldmodels.agent.target import SHIPPED
from worldmodels.base import files
from worldmodels.base.logs import read_jsonl
from worldmodels.config import EvaluateConfig
from worldmodels.models.world_model import InitialLatents
from worldmodels.runs.run import Run
from worldmodels.runs.timings import stage_seconds
from worldmodels.stages.evaluate import evaluate

#: The dream's beginnings that are shipped: enough that they do not repeat much, few enough for the package's size.
NUM_INITIAL_LATENTS = 1_000
TRAINING_STAGES = ("collect", "vae", "encode", "rnn", "controller")
WORLDS = {"dream": "in the dream", "real": "in the real environment"}


def compact(result: dict[str, Any]) -> dict[str, Any]:
    """A result without its repeated keys: episode i has the seed ``seed`` + i."""
    episodes = result["episodes"]
    assert [e["seed"] for e in episodes] == list(range(result["seed"], result["seed"] + len(episodes)))
    short = {key: value for key, value in result.items() if key not in ("episodes", "sha256", "task", "asked")}
    return {**short, "returns": [round(e["return"], 4) for e in episodes], "lengths": [e["length"] for e in episodes]}


def training_record(run: Run) -> dict[str, Any]:
    """How a run was made: its settings, the time of every stage, and where each stage's measure ended.

    A stage that no command made is told in words, by the run's ``by_hand.json``: {stage: what was done}.
    """
    hand = run.path / "by_hand.json"
    by_hand = files.read_json(hand) if hand.exists() else {}
    last = {}
    for stage in ("vae", "rnn"):
        if stage in by_hand:
            continue
        rows = read_jsonl(run.stage_path(stage) / "metrics.jsonl")
        last[stage] = {key: value for key, value in rows[-1].items() if key.startswith("held_out") or key == "step"}
    scores = [] if "controller" in by_hand else read_jsonl(run.stage_path("controller") / "scores.jsonl")
    return {
        "config": files.read_json(run.path / "config.json"),
        "seconds": stage_seconds(run),
        "held_out": last,
        "scored_means": [{key: row[key] for key in ("generation", "mean", "std", "episodes")} for row in scores],
        **({"by_hand": by_hand} if by_hand else {}),
    }


def earlier_rounds(first: Run) -> list[dict[str, Any]]:
    """The rounds before a run's first one, where that one began with a shipped agent's model."""
    record = first.path / "model" / "training.json"
    return list(files.read_json(record)["rounds"]) if record.exists() else []


def ship(path: Path, episodes: int) -> Path:
    """Writes the model's folder, scores what is in it, and writes the card."""
    run = Run.open(path)
    agent = load_model(path / "model")
    world_model = agent.world_model
    initial = InitialLatents(*(part[:NUM_INITIAL_LATENTS] for part in (world_model.initial.mu, world_model.initial.logvar)))
    rounded = dataclasses.replace(world_model, vae=world_model.vae.half(), rnn=world_model.rnn.half(), initial=initial)
    folder = SHIPPED / run.task
    dataclasses.replace(agent, world_model=rounded).save(folder)

    shipped = load_model(folder)
    base = EvaluateConfig(episodes=100)
    many = dataclasses.replace(base, episodes=episodes)
    played = path / "evaluation" / "shipped.played.jsonl"  # the official CarRacing takes an hour
    results = {
        "random": files.read_json(path / "evaluation" / "random.json"),  # chance has no weights to be rounded
        "dream": evaluate(dataclasses.replace(base, world="dream"), shipped),
        "real": evaluate(many, shipped, played),
    }
    if shipped.task.official_id:
        results["fast"] = evaluate(dataclasses.replace(many, fast=True), shipped)
    line = [*run.ancestors(), run]
    rounds = [*earlier_rounds(line[0]), *map(training_record, line)]
    for name, value in (("evaluation", {k: compact(v) for k, v in results.items()}), ("training", {"rounds": rounds})):
        files.write_bytes(folder / f"{name}.json", (json.dumps(value, separators=(",", ":")) + "\n").encode())
    files.write_bytes(folder / "MODEL_CARD.md", make_card(folder).encode())
    played.unlink()
    made_by.record([(folder / "evaluation.json").relative_to(made_by.ROOT).as_posix()])
    return folder


def describe_round(number: int, record: dict[str, Any]) -> list[str]:
    """Returns a card's lines about one round: what was collected and how V, M and C were trained."""
    collect, by_hand = record["config"]["stages"]["collect"], record.get("by_hand", {})
    who = "the last round's agent, with some random actions mixed in" if collect["policy"] == "agent" else "a random policy"
    said = {"vae": describe_vae, "rnn": describe_rnn, "controller": describe_controller}
    return [
        f"Round {number}" + (", which goes on from the one before:" if number else ":"),
        "",
        f"- {collect['num_episodes']:,} episodes of {who};",
        *(f"- {by_hand[stage] if stage in by_hand else tell(record)}" for stage, tell in said.items()),
        "",
    ]


def describe_vae(record: dict[str, Any]) -> str:
    """Returns a card's line about V."""
    asked, held_out = record["config"]["stages"]["vae"], record["held_out"]["vae"]
    return (
        f"V: {asked['num_steps']:,} batches of {asked['batch_size']}; squared error {held_out['held_out_recon_loss']:.2f} "
        f"and KL {held_out['held_out_kl_loss']:.2f} on held-out frames;"
    )


def describe_rnn(record: dict[str, Any]) -> str:
    """Returns a card's line about M."""
    asked, held_out = record["config"]["stages"]["rnn"], record["held_out"]["rnn"]
    mirrored = record["config"]["stages"]["encode"].get("mirror_episodes", 0)
    of_what = f", the newest {mirrored:,} episodes in a mirror, too" if mirrored else ""
    return (
        f"M: {asked['num_steps']:,} batches of {asked['batch_size']} × {asked['sequence_length']} steps{of_what}; negative log-"
        f"likelihood {held_out['held_out_nll']:.4f} a dimension on held-out episodes;"
    )


def describe_controller(record: dict[str, Any]) -> str:
    """Returns a card's lines about C."""
    asked, scored = record["config"]["stages"]["controller"], record["scored_means"]
    best = max(scored, key=lambda row: row["mean"])
    judge = asked.get("score_world", "same")  # older runs have none
    judge = asked["world"] if judge == "same" else judge
    where = f"in M's dream at τ {asked['temperature']:g}" if asked["world"] == "dream" else "in the real environment"
    steps = []
    if asked.get("lookahead_rounds"):  # what PPO has replaced
        states = f" from {asked['lookahead_states']:,} states each" if "lookahead_states" in asked else ""
        steps.append(f"{asked['lookahead_rounds']} rounds of looking ahead in the dream{states}")
    if asked.get("ppo_iterations"):
        steps.append(f"{asked['ppo_iterations']:,} iterations of PPO")
    if asked["num_generations"]:
        sizes = f"{asked['population_size']} × {asked['episodes_per_candidate']}"
        steps.append(f"{scored[-1]['generation']:,} generations of {sizes} episodes")
        kept = f"the mean of generation\n  {best['generation']} is kept, the best over"
    else:
        kept = f"mean {best['mean']:.0f} over"
    scoring = f"{kept} {best['episodes']:,} episodes {WORLDS[judge]}, with training's seeds."
    return f"C ({asked['inputs']}): {', then '.join(steps)} {where}; {scoring}"


def make_card(folder: Path) -> str:
    """Returns the card of a shipped model, made from the JSON in its folder alone."""
    config, training, scores = (files.read_json(folder / f"{name}.json") for name in ("config", "training", "evaluation"))
    rounds = training["rounds"]
    asked, real = rounds[-1]["config"], scores["real"]
    rows = []
    labels = {
        "random": "random policy, real environment",
        "dream": "agent, in its dream",
        "real": "**agent, real environment**",
        "fast": "agent, training's copy of it",
    }
    for name, row in scores.items():
        label = labels[name]
        low, high = row["ci95"]
        where = f", τ {row['temperature']:g}" if row["temperature"] else ""
        rows.append(
            f"| {label}{where} | {row['mean']:.0f} ± {row['std']:.0f} | {row['num_episodes']:,} | {low:.0f} to {high:.0f} |"
        )
    hours = sum(sum(part["seconds"].get(name, 0) for name in TRAINING_STAGES) for part in rounds) / 3600
    return "\n".join(
        [
            f"# {asked['task']}: V, M and C",
            "",
            "The agent that comes with the package: Ha & Schmidhuber's V (a convolutional variational autoencoder), M (a",
            "recurrent mixture density network) and C (a linear controller). Made by `tools/ship_model.py`; every figure is",
            "read from the JSON beside it.",
            "",
            "## Scores",
            "",
            "| | mean ± std | episodes | 95% interval of the mean |",
            "| --- | --: | --: | --: |",
            *rows,
            "",
            f"Environment `{real['env']['id']}`, at most {real['env']['max_episode_steps']:,} steps; episode i has seed "
            f"{real['seed']} + i, seeds that no training uses. The float16 weights of this folder were scored.",
            "",
            "## How it was made",
            "",
            f"{hours:.1f} hours without the scores, seed {rounds[0]['config']['seed']}; every setting is in `training.json`.",
            "",
            *(line for number, part in enumerate(rounds) for line in describe_round(number, part)),
            *describe(rounds, asked["task"]),
            "## Files",
            "",
            "| part | SHA-256 |",
            "| --- | --- |",
            *(f"| `{name}.safetensors` | `{config['sha256'][name]}` |" for name in PARTS),
            "",
            "Made with " + ", ".join(f"{name} {version}" for name, version in asked["versions"].items()) + ".",
            "",
            "## Limits",
            "",
            "The agent knows this task at this difficulty and nothing else. Its scores spread widely from episode to episode.",
            "On another processor single episodes may differ: one rounding can turn one action.",
            "",
            "## Licence",
            "",
            "MIT, like the package. No weights of the original authors are used.",
            "",
        ]
    )


def check(folder: Path) -> list[str]:
    """Returns what is wrong with a shipped model's folder."""
    faults = []
    agent = load_model(folder)  # refuses wrong hashes
    scored_at = files.read_json(folder / "evaluation.json")["dream"]["temperature"]
    if agent.temperature != scored_at:
        faults.append(f"{folder / 'config.json'}: temperature {agent.temperature:g}; its dream was scored at {scored_at:g}")
    if (folder / "MODEL_CARD.md").read_text(encoding="utf-8") != make_card(folder):
        faults.append(f"{folder / 'MODEL_CARD.md'}: is not what its JSON says; run tools/ship_model.py")
    return faults


def main() -> int:
    """Ships a run, or checks what is shipped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument(
        "--episodes",
        type=int,
        default=1_000,
        help="held-out episodes, on the faster copy where there is one",
    )
    parser.add_argument("--check", action="store_true")
    parsed = parser.parse_args()
    if parsed.check:
        faults = [fault for folder in sorted(SHIPPED.iterdir()) for fault in check(folder)]
        print("\n".join(faults) or "every card is what its JSON says")
        return int(bool(faults))
    if parsed.run is None:
        parser.error("name a run, or --check")
    print(ship(parsed.run, parsed.episodes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
