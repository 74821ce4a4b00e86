"""The tables of speeds and of how cost grows: Markdown from results/bench.json, results/scaling.json and
results/ray-overhead.json.

What is computed rather than measured is computed here, from those files and the presets, and every such table says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.stages import bounds
from benchmarks.stages.learning import BUSY
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import own_parameters, own_sizes
from worldmodels.models.vae import VAE
from worldmodels.runtime.progress import format_number
from worldmodels.search.real_player import split_jobs
from worldmodels.worlds.rollout import EpisodeJob

RESULTS = Path(__file__).resolve().parent.parent / "results"
TITLES = {"": "", "take-cover": "TakeCover", "car-racing": "CarRacing"}
#: The goals for one GPU: V training in frames/s, the dream in steps/s. Nothing of a GPU was measured.
GPU_GOALS = {"V training": 60_000.0, "dream": 1_000_000.0}
GPU_CORES = 16
CLUSTER_CORES = 1_000
GENERATION = ["steps played", "measured", "steps/s", "with 1,000-step episodes, computed"]


def _read(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def _table(head: list[str], rows: list[list[str]], right: int) -> str:
    """Returns a Markdown table whose last ``right`` columns are right-aligned."""
    rule = ["---"] * (len(head) - right) + ["--:"] * right
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def _machine(machine: dict[str, Any]) -> str:
    gpu = f", {machine['gpu']}" if machine["gpu"] else ", no GPU"
    return (
        f"{machine['cores']} cores of {machine['cpu']}{gpu}, torch {machine['torch']}, {machine['compute_dtype']}; "
        f"load average before the run: {machine['load_average_before']:g}."
    )


def _digits(value: float) -> str:
    return format_number(value, 4)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _times(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _hours(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _cells(row: dict[str, Any]) -> list[str]:
    """Returns a row's speed, how many times the others' way it is, and its share of the bound."""
    return [f"{_digits(row['value'])} {row['unit']}", _times(row["ratio"]), _share(row["fraction_of_bound"])]


def speed_table() -> str:
    """The bench's rows, short: for the README."""
    bench = _read("bench.json")
    rows = [[TITLES[row["task"]], row["name"], *_cells(row)] for row in bench["rows"] if not row["name"].endswith(BUSY)]
    head = ["", "", "speed", "times the others' way", "of the bound"]
    return _table(head, rows, 3) + "\n\nMeasured on " + _machine(bench["machine"])


def bench_table(task: str) -> str:
    """The rows of a task with all there is to say of them; an empty task is the machine itself."""
    rows = []
    for row in _read("bench.json")["rows"]:
        if row["task"] == task and not row["name"].endswith(BUSY):
            value, ratio, share = _cells(row)
            baseline, bound = ("" if row[key] is None else _digits(row[key]) for key in ("baseline", "bound"))
            rows.append([row["name"], row["note"], value, baseline, ratio, bound, share])
    return _table(["", "how", "ours", "others' way", "times", "bound", "of the bound"], rows, 5)


def busy_table() -> str:
    """The rows of training beside busy processes, each with the same alone."""
    rows = [
        [
            TITLES[row["task"]],
            row["name"].removesuffix(BUSY),
            f"{_digits(row['baseline'])} {row['unit']}",
            _digits(row["value"]),
            _share(row["ratio"]),
        ]
        for row in _read("bench.json")["rows"]
        if row["name"].endswith(BUSY)
    ]
    return _table(["", "", "alone", "beside two busy processes", "of that"], rows, 3)


def bench_machine() -> str:
    """Where the bench ran, and for how long each measurement went on."""
    bench = _read("bench.json")
    return f"{_machine(bench['machine'])} Each measurement went on for {bench['seconds_each']:g} s."


def paper_scale() -> str:
    """What `reproduce take-cover --scale paper` takes, stage by stage: computed."""
    spec = get_task("take-cover")
    preset = spec.preset("paper")
    speeds = {row["name"]: row["value"] for row in _read("bench.json")["rows"] if row["task"] == "take-cover"}
    growth = _read("scaling.json")["collection"][-1]
    dream_length = next(score.mean for score in spec.published.scores if score.world == "dream")
    sizes = own_sizes(spec)
    vae, rnn = VAE(sizes.latent_size, sizes.width), MDNRNN(sizes)
    operations = {
        "V training": bounds.TRAINING * bounds.vae_operations(vae),
        "encoding": bounds.encoder_operations(vae),
        "M training": bounds.TRAINING * bounds.rnn_operations(rnn),
    }
    per_second = GPU_GOALS["V training"] * operations["V training"]
    gpu = {name: per_second / needed for name, needed in operations.items()} | {
        "collection": speeds["collection"] / 2 * GPU_CORES,
        "dream": GPU_GOALS["dream"],
    }
    frames = preset.collect.num_episodes * growth["frames"] / growth["episodes"]
    control = preset.controller
    episodes = control.num_generations * control.population_size * control.episodes_per_candidate
    scored = -(-control.num_generations // control.score_every_generations) * control.score_episodes
    amounts = {
        "collection": frames,
        "V training": float(preset.vae.num_steps * preset.vae.batch_size),
        "encoding": frames,
        "M training": float(preset.rnn.num_steps * preset.rnn.batch_size * preset.rnn.sequence_length),
        "dream": (episodes + scored) * dream_length,
    }
    cma = control.num_generations * speeds["CMA-ES ask and tell"]
    here = {name: amount / speeds[name] for name, amount in amounts.items()}
    there = {name: amount / gpu[name] for name, amount in amounts.items()}
    rows = [
        [
            name,
            f"{format_number(amount)}",
            f"{format_number(speeds[name])}/s",
            _hours(here[name]),
            f"{format_number(gpu[name])}/s",
            _hours(there[name]),
        ]
        for name, amount in amounts.items()
    ]
    rows.append(["CMA-ES", f"{control.num_generations:,} generations", "", _hours(cma), "", _hours(cma)])
    total = [sum(part.values()) + cma for part in (here, there)]
    rows.append(["**all**", "", "", f"**{_hours(total[0])}**", "", f"**{_hours(total[1])}**"])
    depth = control.num_generations * spec.max_episode_steps
    head = ["stage", "frames or steps", "speed here", "here", f"speed at the goals, {GPU_CORES} cores", "there"]
    lines = [
        _table(head, rows, 5),
        "",
        f"Computed, not run. An episode of the data has {growth['frames'] / growth['episodes']:.0f} frames, as in "
        f"`results/scaling.json`, one of the dream {dream_length:.0f} steps, as the paper's agent lasts there. The last two "
        "columns are what the goals would give: V training "
        f"at {GPU_GOALS['V training']:,.0f} frames/s, encoding and M at as many operations a second, the dream at "
        f"{GPU_GOALS['dream']:,.0f} steps/s, collection at this machine's speed a core. No GPU was measured.",
        "",
        f"A generation is never faster than its longest episode, whose steps come one after the other: {depth:,} steps in all "
        f"if each generation has one of {spec.max_episode_steps:,}. At {_hours(15 * 60)} for C that leaves "
        f"{15 * 60e3 / depth:.2f} ms a step, however wide.",
    ]
    return "\n".join(lines)


def _generation(row: dict[str, Any], who: str) -> list[str]:
    """Returns the cells of a generation that ``row[who]`` threads or workers played."""
    rate = row["steps"] / row["seconds"]
    full = row["population"] * row["episodes"] * 1000 / rate
    counts = [f"{row[key]:,}" for key in ("population", "episodes", who, "steps")]
    return [*counts, f"{row['seconds']:.2f} s", f"{rate:,.0f}", _hours(full)]


def dream_growth() -> str:
    """A generation in the dream, by population, episodes and threads."""
    rows = [_generation(row, "threads") for row in _read("scaling.json")["dream"]]
    return _table(["population", "episodes each", "threads", *GENERATION], rows, 7)


def real_growth() -> str:
    """A generation in CarRacing, by population, episodes and workers."""
    rows = [_generation(row, "workers") for row in _read("scaling.json")["real"]]
    return _table(["population", "episodes each", "workers", *GENERATION], rows, 7)


def cma_growth() -> str:
    """CMA-ES's own share of a generation, by C's size and pycma's variant."""
    rows = _read("scaling.json")["cma"]
    sizes = sorted({row["parameters"] for row in rows})
    largest = max((row for row in rows if row["variant"] == "full"), key=lambda row: row["parameters"])
    cells = []
    for size in sizes:
        found = {row["variant"]: row["seconds"] for row in rows if row["parameters"] == size}
        line = [f"{size:,}"]
        for variant in ("full", "VkD", "VD", "separable"):
            if variant in found:
                line.append(f"{found[variant]:.3g}")
            elif variant == "full":
                line.append(f"{largest['seconds'] * (size / largest['parameters']) ** 2:.3g} (computed)")
            else:
                line.append("")
        cells.append(line)
    head = ["parameters", "full covariance, s", "VkD, s", "VD, s", "separable, s"]
    return _table(head, cells, 5)


def chunk_growth() -> str:
    """What one core plays, by how many episodes it plays side by side."""
    rows = [[str(row["side_by_side"]), f"{row['steps_per_second']:,.0f}"] for row in _read("scaling.json")["chunks"]]
    return _table(["episodes side by side", "steps/s of one core"], rows, 2)


def collection_growth() -> str:
    """Collection's seconds and bytes, by episodes."""
    rows = []
    for row in _read("scaling.json")["collection"]:
        frames, seconds, size = row["frames"], row["seconds"], row["bytes"]
        rates = [f"{frames / seconds:,.0f}", f"{size / frames:,.0f}"]
        rows.append(
            [f"{row['episodes']:,}", f"{frames:,}", f"{seconds:.1f} s", *rates, f"{size / 1e6:.0f} MB", f"{row['files']}"]
        )
    return _table(
        ["episodes", "frames", "time, workers' start included", "frames/s", "bytes a frame", "on disk", "files"], rows, 7
    )


def memory_growth() -> str:
    """Memory of the two samplers, by data."""
    rows = [
        [row["data"], f"{row['steps']:,}", f"{row['bytes'] / 1e6:.0f} MB", f"{row['bytes'] / row['steps']:,.0f}"]
        for row in _read("scaling.json")["memory"]
    ]
    return _table(["what is read", "time steps of data", "memory", "bytes a step"], rows, 3)


def _cluster_row(population: int, episodes: int, size: int | None, growth: dict[str, Any], cma: float) -> list[str]:
    """A generation of 1,000-step episodes on many cores, in chunks of ``size`` episodes (None: as the code cuts them)."""
    jobs = [EpisodeJob(candidate, seed) for candidate in range(population) for seed in range(episodes)]
    size = size or len(split_jobs(jobs)[0])
    chunks = -(-len(jobs) // size)
    measured = min(growth["chunks"], key=lambda row: abs(row["side_by_side"] - size))
    rounds = -(-chunks // CLUSTER_CORES)
    playing = rounds * size * 1000 / measured["steps_per_second"]
    alone = len(jobs) * 1000 / max(row["steps_per_second"] for row in growth["chunks"])
    share = alone / ((playing + cma) * CLUSTER_CORES)
    counts = [f"{population:,}", str(episodes), str(size), f"{min(chunks, CLUSTER_CORES):,}"]
    return [*counts, f"{playing:.1f} s", f"{playing + cma:.1f} s", f"{share:.0%}"]


def thousand_cores() -> str:
    """CarRacing's evolution on 1,000 cores: computed."""
    growth = _read("scaling.json")
    spec = get_task("car-racing")
    size = own_parameters(spec, spec.preset("paper").controller.inputs)
    cma = next(row["seconds"] for row in growth["cma"] if row["variant"] == "full" and row["parameters"] == size)
    plans = [(64, 16, None), (64, 16, 2), (64, 16, 1), (256, 16, None), (256, 16, 4), (1024, 16, None), (1024, 16, 16)]
    rows = [_cluster_row(population, episodes, chunk, growth, cma) for population, episodes, chunk in plans]
    head = [
        "population",
        "episodes each",
        "episodes a chunk",
        "cores at work",
        "playing",
        "a generation",
        "of 1,000 cores used",
    ]
    return (
        _table(head, rows, 7)
        + f"\n\nComputed from the speed of one core at that many episodes side by side, 1,000 steps an episode, and "
        f"{cma:.2f} s for CMA-ES ({size} parameters, 64 candidates). Sending weights and results and waiting for the "
        "slowest are not in it."
    )


def scaling_machine() -> str:
    """Where the growth was measured."""
    return _machine(_read("scaling.json")["machine"])


def ray_overhead() -> str:
    """A generation in the real environment by Ray's actors beside the local pool."""
    found = _read("ray-overhead.json")
    head = ["", "local pool, steps/s", "Ray, steps/s", "Ray's share of the local pool's, median of the rounds"]
    rows = [
        [
            TITLES[row["task"]],
            f"{row['local_steps_per_second']:,.0f}",
            f"{row['ray_steps_per_second']:,.0f}",
            _share(row["ratio"]),
        ]
        for row in found["rows"]
    ]
    return f"{_table(head, rows, 3)}\n\n{found['workers']} workers each; {_machine(found['machine'])}"


BLOCKS = {
    "speed": speed_table,
    "the machine": bench_machine,
    "its matrix products": lambda: bench_table(""),
    "TakeCover speeds": lambda: bench_table("take-cover"),
    "CarRacing speeds": lambda: bench_table("car-racing"),
    "busy machine": busy_table,
    "paper scale": paper_scale,
    "the machine of the growth": scaling_machine,
    "dream growth": dream_growth,
    "CarRacing growth": real_growth,
    "CMA-ES growth": cma_growth,
    "chunks": chunk_growth,
    "collection growth": collection_growth,
    "memory growth": memory_growth,
    "a thousand cores": thousand_cores,
    "ray overhead": ray_overhead,
}
