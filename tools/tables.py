"""Writes the pages' figures from the JSON files under results/: ``python -m tools.tables``; ``--check`` only compares."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools import speed_tables
from worldmodels.base.files import sha256_of
from worldmodels.diagnostics.statistics import score_text, summarise
from worldmodels.envs.registry import get_task

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    ROOT / "README.md",
    ROOT / "docs/benchmarks.md",
    ROOT / "docs/scaling.md",
    ROOT / "docs/cluster.md",
    ROOT / "docs/paper_tables.md",
    ROOT / "docs/games.md",
    ROOT / "docs/ideas.md",
    ROOT / "docs/install.md",
    ROOT / "docs/zoo.md",
    ROOT / "docs/probe.md",
    ROOT / "docs/experiments/controllers.md",
    ROOT / "docs/dream_for_another_agent.md",
)


def read_result(name: str) -> Any:
    """Reads a JSON file under results/."""
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


def shipped_scores(task: str) -> Any:
    """Reads the scores beside a shipped agent's weights."""
    return json.loads((ROOT / "src/worldmodels/shipped" / task / "evaluation.json").read_text(encoding="utf-8"))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"


def _score(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    return f"{row['mean']:.0f} ± {row['std']:.0f} | {row['num_episodes']} | {low:.0f} to {high:.0f}"


ORIGINAL_CURVES = ROOT / "src/worldmodels/plots/original_curves.json"
#: Ha & Schmidhuber's scores, 100 episodes each; how long they searched for C is in their logs, `ORIGINAL_CURVES`.
PAPER = {
    "take-cover": [
        "| paper (10,000 episodes, a P100 and 64 cores) | dream, τ 1.15 | 918 ± 546 | 100 | | |",
        "| paper | real game | 1092 ± 556 | 100 | | {time} (C alone) |",
    ],
    "car-racing": ["| paper (1,800 generations on 64 cores) | real | 906 ± 21 | 100 | | {time} (C alone) |"],
}


def scores_table(task: str) -> str:
    """The scores of a task's committed runs, from their evaluation/results.json."""
    lines = ["| | where | mean ± std | episodes | 95% interval | time on two cores |", "| --- | --- | --: | --: | --: | --: |"]
    found = [(scale, ROOT / "results" / task / scale / "results.json") for scale in ("smoke", "laptop", "paper")]
    runs = [(scale, json.loads(path.read_text(encoding="utf-8"))) for scale, path in found if path.exists()]
    lines.append(f"| random policy | real | {_score(runs[-1][1]['evaluations']['random'])} | |")
    for scale, summary in runs:
        rows = summary["evaluations"]
        lines.append(f"| `SCALE={scale}` | dream, τ {rows['dream']['temperature']:g} | {_score(rows['dream'])} | |")
        lines.append(f"| `SCALE={scale}` | **real** | {_score(rows['real'])} | {_minutes(summary['seconds']['total'])} |")
    hours = json.loads(ORIGINAL_CURVES.read_text(encoding="utf-8"))[task][-1][1]
    time = f"{hours / 24:.0f} days" if hours > 72 else f"{hours:.0f} hours"
    return "\n".join(lines + [line.format(time=time) for line in PAPER[task]])


def shipped_table(task: str) -> str:
    """The shipped agent's scores, from the evaluation.json beside its weights, and those of a C that sees its V alone."""
    lines = ["| | where | mean ± std | episodes | 95% interval |", "| --- | --- | --: | --: | --: |"]
    for name, row in shipped_scores(task).items():
        where = f"`{row['env']['id']}`" if row["temperature"] is None else f"dream, τ {row['temperature']:g}"
        who = "random policy" if name == "random" else "shipped agent"
        lines.append(f"| {who} | {where} | {_score(row)} |")
        if name == "random":
            lines += v_only(task)
    return "\n".join(lines)


def v_only(task: str) -> list[str]:
    """The row of the ablation's C that sees V alone; none where that V is another than the shipped agent's."""
    table = read_result(f"{task}/ablation/table.json")
    if table["model"]["vae"] != sha256_of(ROOT / "src/worldmodels/shipped" / task / "vae.safetensors"):
        return []
    row = next(row for row in table["rows"] if row["row"] == "v")
    who = f"C that sees V alone, {row['controller']['num_generations']} generations"
    return [f"| {who} | `{table['env']}` | {_score(row['real'])} |"]


def environment_table() -> str:
    """The fast CarRacing beside Gymnasium's and EnvPool's, from results/car-racing/environment/."""
    speed, alike = read_result("car-racing/environment/speed.json"), read_result("car-racing/environment/likeness.json")
    rows = {row["name"]: row for row in speed["rows"]}
    ours, envpool = rows["CarRacing, ours, 64x64"], rows["CarRacing, ours beside EnvPool"]
    same = "equal bit for bit" if alike["all_equal"] else "NOT EQUAL"
    return "\n".join(
        [
            f"- one core: {ours['value']:,.0f} steps/s with the observation, {ours['ratio']:.0f} times Gymnasium's "
            f"({ours['baseline']:,.0f}) and {envpool['ratio']:.1f} times EnvPool's ({envpool['baseline']:,.0f}) in one run;",
            f"- reward, ends, car and tiles: {same} over {alike['steps']:,} steps of {alike['seeds']} seeds;",
            f"- pixels: {alike['mean_difference']:.2f} of 255 apart on average over {alike['frames']:,} frames, "
            f"{alike['share_far_off']:.4%} of them by more than 32.",
        ]
    )


def hours_to_the_papers_level() -> str:
    """What CarRacing's 900 took, beside the original, from results/car-racing/progress.json."""
    found = read_result("car-racing/progress.json")
    ours, original = (next(row for row in found[who] if row["mean"] >= 900) for who in ("ours", "original"))
    return (
        f"The search's mean passed 900 after {ours['generation']} generations, {ours['agent_steps'] / 1e6:.0f} million steps "
        f"and {ours['hours']:.1f} hours of {found['cores']} cores,\nall stages included. The original's took "
        f"{original['generation']:,} generations, {original['agent_steps'] / 1e6:,.0f} million steps and "
        f"{original['hours'] / 24:.0f} days of 64 cores\n([`results/car-racing/progress.md`](results/car-racing/progress.md))."
    )


def paper_table(name: str) -> str:
    """One of the paper's tables, as `worldmodels table` left it."""
    return (ROOT / "results" / name / "table.md").read_text(encoding="utf-8").rstrip("\n")


def crossed_temperatures() -> str:
    """Every C of a temperature table in the dream of every row, as `benchmarks.temperatures_crossed` has scored it."""
    found = read_result("take-cover/temperature-original/crossed.json")
    means = {(row["searched_at"], row["dream"]): row["mean"] for row in found["scores"]}
    labels = list(dict.fromkeys(row["dream"] for row in found["scores"]))
    real = {row["label"]: row["real"] for row in read_result("take-cover/temperature-original/table.json")["rows"]}
    lines = [f"| C searched at | {' | '.join(f'dream, {label}' for label in labels)} | real |"]
    lines.append("| --- |" + " --: |" * (len(labels) + 1))
    for label in labels:
        cells = [f"{means[label, dream]:.0f}" for dream in labels]
        lines.append(f"| {label} | {' | '.join(cells)} | {real[label]['mean']:.0f} |")
    count = real[labels[0]]["num_episodes"]
    return "\n".join([*lines, "", f"Means over {found['num_episodes']} dreams each, and over {count:,} real episodes."])


def temperature_seeds() -> str:
    """The hot rows of the original's temperature table at other seeds, as `benchmarks.temperature_seeds` has searched them."""
    found = read_result("take-cover/temperature-original/seeds.json")
    lines = ["| | dream | real |", "| --- | --: | --: |"]
    lines += [f"| {row['label']} | {score_text(row['dream'])} | {score_text(row['real'])} |" for row in found["rows"]]
    count = found["rows"][0]["real"]["num_episodes"]
    return "\n".join([*lines, "", f"Mean ± standard deviation over {count} episodes; {found['max_steps']:,} steps a search."])


def hidden_layer() -> str:
    """TakeCover's C without and with a hidden layer, both found by PPO in the shipped M's dream."""
    lines = ["| C | played in | mean ± std | episodes | 95% interval of the mean |", "| --- | --- | --: | --: | --- |"]
    for name, label in (("linear", "linear, `--inputs zch`"), ("hidden", "40 hidden units, `--inputs zch+hidden`")):
        for world, ending in (("its dream", "-dream"), ("the game", "")):
            found = read_result(f"take-cover/hidden-layer/{name}{ending}.json")
            lines.append(f"| {label} | {world} | {_score(found)} |")
    return "\n".join(lines)


def memory_switches() -> str:
    """What the switches of M do to the likelihood of held-out episodes, as `benchmarks.memory_switches` has measured it."""
    found = read_result("take-cover/memory_switches.json")
    lines = ["| switch | training, nll | held-out, nll | held-out, done loss |", "| --- | --: | --: | --: |"]
    for row in found["rows"]:
        flags = f" (`{row['flags']}`)" if row["flags"] else ""
        cells = (row["nll"], row["held_out_nll"], row["held_out_done_loss"])
        lines.append(f"| {row['switch']}{flags} | {' | '.join(f'{value:.4f}' for value in cells)} |")
    lines += ["", f"{found['num_steps']:,} steps of M a row, on {found['num_episodes']:,} episodes of a random policy."]
    return "\n".join(lines)


def time_and_disk() -> str:
    """How long a run takes and how much room its episodes, from the kept runs and from `worldmodels inspect` of episodes."""
    lines = ["| | time on two cores | episodes | on the disk |", "| --- | --: | --: | --: |"]
    for task, title in (("take-cover", "TakeCover"), ("car-racing", "CarRacing")):
        measured = read_result(f"{task}/smoke/episodes.json")
        for scale in ("smoke", "laptop", "paper"):
            kept = (ROOT / "results" / task / scale / "results.json").exists()
            time = _minutes(read_result(f"{task}/{scale}/results.json")["seconds"]["total"]) if kept else "days"
            count = get_task(task).preset(scale).collect.num_episodes
            room = measured["bytes"] / measured["episodes"] * count / 1e9
            words = "measured" if count == measured["episodes"] else "reckoned from smoke's"
            lines.append(f"| {title}, {scale} | {time} | {count:,} | {room:.2g} GB, {words} |")
    return "\n".join(lines)


#: What C sees, as `worldmodels evaluate --json` has scored it; a task has some of these.
MEMORY_ROWS = {
    "random": "nothing (random policy)",
    "z": "V alone (`--inputs z`)",
    "zh": "V and M (`--inputs zh`)",
    "mu": "V alone, its mean (`--inputs mu`)",
    "muh": "V's mean and M (`--inputs muh`)",
    "ppo": "V and M (`--inputs zh`), but 14 iterations of PPO in the dream",
    "z-dream": "V alone, in its dream",
    "zh-dream": "V and M, in its dream",
}


def memory_table(folder: str) -> str:
    """What M is worth in a task: C without it beside C with it, in the real game."""
    lines = ["| C sees | mean ± std | episodes | 95% interval of the mean |", "| --- | --: | --: | --- |"]
    for name, seen in MEMORY_ROWS.items():
        if not (ROOT / "results" / folder / f"{name}.json").exists():
            continue
        lines.append(f"| {seen} | {_score(read_result(f'{folder}/{name}.json'))} |")
    return "\n".join(lines)


#: The games without a shipped agent: what they are called, and the file of their best agent's scores; empty: none was trained.
GAMES = {
    "cart-pole": ("CartPole from pixels", "real"),
    "health-gathering": ("Doom's HealthGathering", "zh"),
    "health-gathering-supreme": ("Doom's HealthGatheringSupreme", "round/mu"),
    "pong": ("Atari's Pong", ""),
    "boxing": ("Atari's Boxing", "real"),
    "airstriker": ("Retro's Airstriker", "real"),
}


def games_table() -> str:
    """The best agent of every game that ships none, beside chance; each folder of results/ has its GIF."""
    lines = [
        "| game | random policy | agent | episodes | 95% interval of its mean | seen |",
        "| --- | --: | --: | --: | --- | --- |",
    ]
    for folder, (game, name) in GAMES.items():
        chance = read_result(f"{folder}/random.json")
        of_agent = "none trained | | | |"
        if name:
            of_agent = f"{_score(read_result(f'{folder}/{name}.json'))} | [GIF](../results/{folder}/agent.gif) |"
        lines.append(f"| {game} | {chance['mean']:.1f} ± {chance['std']:.1f} | {of_agent}")
    return "\n".join(lines)


#: How each row of a shipped agent's scores is made again, by its name in evaluation.json.
SCORED_BY = {
    "random": "worldmodels evaluate {task} --agent random",
    "dream": "worldmodels evaluate {task} --world dream",
    "real": "worldmodels evaluate {task} --episodes 1000",
    "fast": "worldmodels evaluate {task} --episodes 1000 --fast",
}


#: What examples/sb3_in_the_dream.py has scored.
SB3 = "sb3-in-the-dream.json"


def zoo_table(task: str) -> str:
    """Every agent of a task that was scored, with the command that makes the row again."""
    lines = ["| agent | where | mean ± std | episodes | 95% interval | made by |", "| --- | --- | --: | --: | --: | --- |"]

    def add(who: str, where: str, row: dict[str, Any], command: str) -> None:
        lines.append(f"| {who} | {where} | {_score(row)} | `{command}` |")

    def played(row: dict[str, Any]) -> str:
        return f"`{row['env']['id']}`" if row["temperature"] is None else f"dream, τ {row['temperature']:g}"

    for name, row in shipped_scores(task).items():
        add("random policy" if name == "random" else "**shipped**", played(row), row, SCORED_BY[name].format(task=task))
    for scale in ("smoke", "laptop"):
        for name, row in read_result(f"{task}/{scale}/results.json")["evaluations"].items():
            if name in ("dream", "real"):
                add(f"scale {scale}", played(row), row, f"worldmodels reproduce {task} --scale {scale}")
    made_by, path = read_result("made_by.json"), f"{task}/ablation/table.json"
    table, command = read_result(path), made_by[f"results/{path}"]["command"].partition(" && ")[0]
    for row in table["rows"]:
        add(f"ablation: {row['label']}", f"`{table['env']}`", row["real"], command)
    if task == "take-cover":
        found = summarise(np.array(read_result(SB3)["returns"]))
        add("Stable-Baselines3's PPO", "`worldmodels/TakeCoverLatent-v1`", found, made_by[f"results/{SB3}"]["command"])
    return "\n".join(lines)


def sb3_table() -> str:
    """An agent of another library that learned in the dream, beside chance and the shipped agent, on the same seeds."""
    found, shipped = read_result(SB3), shipped_scores("take-cover")
    steps, num = found["choices"] * found["hold_steps"], len(found["returns"])
    rows = {
        "random policy": shipped["random"]["returns"],
        "**Stable-Baselines3's PPO**": found["returns"],
        "the shipped agent": shipped["real"]["returns"],
    }
    place = "one thread" if found["threads"] == 1 else f"{found['threads']} threads"
    return "\n".join(
        [
            "| in the real game | mean ± std | episodes | 95% interval |",
            "| --- | --: | --: | --: |",
            *(f"| {who} | {_score(summarise(np.array(returns[:num])))} |" for who, returns in rows.items()),
            "",
            f"{found['choices'] / 1e6:.1f} million choices, {steps / 1e6:.1f} million steps of dreams, took "
            f"{_minutes(found['training_seconds'])} on {place} of {found['cores']} cores, beside other work (load average "
            f"{found['load_average']:.1f}).",
        ]
    )


def probe_table() -> str:
    """What the shipped TakeCover agent's parts know of fireballs."""
    found = read_result("take-cover/probe.json")
    names = list(found["rows"][0]["explained"])
    lines = [f"| | yes | {' | '.join(names)} |", f"| --- {'| --: ' * (len(names) + 1)}|"]
    for row in found["rows"]:
        explained = " | ".join(f"{row['explained'][name]:.2f}" for name in names)
        lines.append(f"| {row['question']} | {row['yes']:.1%} | {explained} |")
        if row["questions"] == 1:
            aucs = " | ".join(f"{row['auc'][name]:.2f}" for name in names)
            lines.append(f"| {row['question']}, AUC | | {aucs} |")
    lines += [
        "",
        f"{found['returns']['num_episodes']} episodes, {found['moments']:,} moments, {found['held_out_moments']:,} of them "
        f"held out ([`results/take-cover/probe.json`](../results/take-cover/probe.json)).",
    ]
    return "\n".join(lines)


def package_sizes() -> str:
    """The table of what an installation's parts take, of docs/install.md: the ones of 10 MB and more."""
    found = read_result("package.json")
    total, cuda = found["total_bytes"], found["torch_with_cuda"]
    torch = next(row for row in found["dependencies"] if row["name"] == "torch")
    lines = ["| | with what only it needs | of all |", "| --- | --: | --: |"]
    for row in found["dependencies"]:
        if row["alone_bytes"] >= 1e7:
            share = row["alone_bytes"] / total
            lines.append(f"| {row['name']} {row['version']} | {row['alone_bytes'] / 1e6:,.0f} MB | {share:.0%} |")
    lines.append(
        f"| worldmodels itself, with both agents | {found['own_bytes'] / 1e6:,.0f} MB | {found['own_bytes'] / total:.0%} |"
    )
    lines.append(f"| **all, with torch's CPU build** | {total / 1e6:,.0f} MB | |")
    with_cuda = total - torch["alone_bytes"] + cuda["bytes"]
    lines.append(
        f"| **all, with pip's default torch for Linux** ({cuda['version']}, with CUDA) | {with_cuda / 1e6:,.0f} MB | |"
    )
    return "\n".join(lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "TakeCover scores": lambda: scores_table("take-cover"),
    "CarRacing scores": lambda: scores_table("car-racing"),
    "shipped TakeCover agent": lambda: shipped_table("take-cover"),
    "shipped CarRacing agent": lambda: shipped_table("car-racing"),
    "CarRacing environment": environment_table,
    "hours to 900": hours_to_the_papers_level,
    "temperature table": lambda: paper_table("take-cover/temperature"),
    "original's temperatures": lambda: paper_table("take-cover/temperature-original"),
    "crossed temperatures": crossed_temperatures,
    "departures table": lambda: paper_table("take-cover/departures"),
    "laptop departures": lambda: paper_table("take-cover/departures-laptop"),
    "memory switches": memory_switches,
    "hot seeds": temperature_seeds,
    "hidden layer": hidden_layer,
    "optimizers table": lambda: paper_table("take-cover/optimizers"),
    "cheating table": lambda: paper_table("take-cover/temperature-original-7000"),
    "TakeCover ablation": lambda: paper_table("take-cover/ablation"),
    "time and disk": time_and_disk,
    "HealthGathering memory": lambda: memory_table("health-gathering"),
    "HealthGatheringSupreme memory": lambda: memory_table("health-gathering-supreme"),
    "HealthGatheringSupreme round": lambda: memory_table("health-gathering-supreme/round"),
    "HealthGatheringSupreme dream": lambda: memory_table("health-gathering-supreme/dream"),
    "HealthGathering curiosity": lambda: paper_table("health-gathering/curiosity"),
    "HealthGathering transfer": lambda: paper_table("health-gathering/transfer"),
    "games": games_table,
    "package sizes": package_sizes,
    "ablation table": lambda: paper_table("car-racing/ablation"),
    "TakeCover zoo": lambda: zoo_table("take-cover"),
    "CarRacing zoo": lambda: zoo_table("car-racing"),
    "PPO in the dream": sb3_table,
    "CarRacing robustness": lambda: paper_table("car-racing/robustness"),
    "TakeCover robustness": lambda: paper_table("take-cover/robustness"),
    "TakeCover probe": probe_table,
}
BLOCKS |= speed_tables.BLOCKS


def fill(text: str) -> str:
    """Returns a page with every marked block made anew."""
    for name, make in BLOCKS.items():
        start, end = f"<!-- {name}: made by tools/tables.py -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if pattern.search(text):
            block = f"{start}\n{make()}\n{end}"
            text = pattern.sub(block.replace("\\", r"\\"), text)
    return text


def main() -> int:
    """Rewrites the pages; with ``--check`` returns 1 if that would change one."""
    changed = False
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = fill(old)
        changed |= new != old
        if "--check" not in sys.argv[1:]:
            page.write_text(new, encoding="utf-8")
    return int(changed and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
