"""The command line: parse and call. Heavy imports wait until a command is chosen."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from worldmodels import files, interrupt, streams
from worldmodels.config import (
    Backend,
    Config,
    Device,
    EvaluateConfig,
    FidelityConfig,
    PlayConfig,
    VideoConfig,
    check_rounds,
    check_seed,
)
from worldmodels.errors import EnvironmentFailure, UserError, WorldModelsError, nearest
from worldmodels.interrupt import INTERRUPTED, loading
from worldmodels.run import VERBS, Run, RunLock, nearest_run


@dataclass(frozen=True)
class RunArgs:
    """Which run a stage works on."""

    run: Path
    """The run's folder."""
    task: str = "take-cover"
    """What to learn (a new run only); 'worldmodels tasks' lists what there is."""
    scale: str = "laptop"
    """The task's settings to start from (a new run only): smoke, laptop or paper."""
    seed: int = 0
    """The seed that all of the run's randomness derives from (a new run only)."""
    previous: Path | None = None
    """A finished run to go on from (a new run only): its episodes are kept, V, M and C begin where they ended."""
    json: Path | None = None
    """Also write the stage's summary to this file; - is standard output."""


@dataclass(frozen=True)
class ReproduceArgs:
    """The whole experiment: collect, train V, encode, train M, evolve C, evaluate. The same command again resumes."""

    task: tyro.conf.Positional[str]
    """What to learn; 'worldmodels tasks' lists what there is."""
    scale: str = "smoke"
    """smoke (minutes), laptop (hours) or paper (a large machine)."""
    run: Path | None = None
    """The run's folder (default: runs/TASK-SCALE)."""
    seed: int = 0
    """The seed that all of the run's randomness derives from."""
    device: Device = "auto"
    """Where V, M and the dream compute; auto is the GPU if there is one."""
    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""
    json: Path | None = None
    """Also write the summary to this file; - is standard output."""


@dataclass(frozen=True)
class IterateArgs:
    """The paper's iterative procedure: each round the agent plays new episodes, V and M train on, C evolves on."""

    task: tyro.conf.Positional[str]
    """What to learn; 'worldmodels tasks' lists what there is."""
    rounds: int = 3
    """Rounds in all; the first one collects with the random policy. With more than before, the new ones are added."""
    scale: str = "smoke"
    """Every round's settings: smoke, laptop or paper."""
    run: Path | None = None
    """The folder of the rounds (default: runs/iterate-TASK-SCALE)."""
    seed: int = 0
    """The first round's seed; round k has S + k."""
    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""
    json: Path | None = None
    """Also write the rounds' scores to this file; - is standard output."""


@dataclass(frozen=True)
class EvaluateArgs:
    """Score an agent on held-out seeds: episode i has seed S + i."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK|RUN|MODEL")]
    """A task's name (its shipped agent), a run's folder or a model's folder."""
    settings: EvaluateConfig = EvaluateConfig()  # noqa: RUF009 (frozen)
    """Where it plays, on which seeds, and who it is."""
    json: Path | None = None
    """Also write the result, every episode's seed, return and length included, to this file; - is standard output. A killed
    evaluation with a file goes on where it was."""


@dataclass(frozen=True)
class FidelityArgs:
    """Measure how true a run's dream is: the same policies in the dream and in reality, and M's predictions."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run's folder with a finished controller, or the folder of `worldmodels iterate`: its newest finished round."""
    settings: FidelityConfig = FidelityConfig()  # noqa: RUF009 (frozen)
    """Over how many episodes, and in which dream."""
    json: Path | None = None
    """Also write the result to this file; - is standard output."""


@dataclass(frozen=True)
class TableArgs:
    """Make one of the paper's tables: a controller a row, evolved on the same V and M. The same command again resumes."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TABLE")]
    """temperature (of the dream that C is evolved in) or ablation (what C sees)."""
    model: Annotated[str, tyro.conf.arg(metavar="TASK|RUN|MODEL")] = "take-cover"
    """Whose V and M: a task's name (its shipped agent), a run's folder or a model's folder."""
    scale: str = "smoke"
    """Whose settings of the controller and of the evaluation: smoke, laptop or paper."""
    num_generations: int = 0
    """Generations of each row's evolution; 0 is the scale's, or none with ppo_iterations."""
    ppo_iterations: int = 0
    """Improve each row's controller in the dream for so many iterations of proximal policy optimization first (the temperature
    table of tasks with hits; the ablation has a controller with a hidden layer)."""
    fast: bool = False
    """Score on the environment that training uses, where it is a faster copy of the official one."""
    run: Path | None = None
    """The folder to work in (default: runs/table-TABLE-TASK-SCALE)."""
    seed: int = 0
    """The seed that every row's evolution derives from."""
    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""
    json: Path | None = None
    """Also write the table to this file; - is standard output."""


@dataclass(frozen=True)
class PlayArgs:
    """Play in a window, or let the agent: reality or the dream. The keys are on 'h'."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK|RUN|MODEL")]
    """A task's name (its shipped agent), a run's folder (also half-trained) or a model's folder."""
    settings: PlayConfig = PlayConfig()  # noqa: RUF009 (frozen)
    """Which world is opened, and who plays."""


@dataclass(frozen=True)
class VideoArgs:
    """Write a video of the agent, without a display."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK|RUN|MODEL")]
    """A task's name (its shipped agent), a run's folder (also half-trained) or a model's folder."""
    out: Path
    """The file to write: .mp4 or .gif."""
    settings: VideoConfig = VideoConfig()  # noqa: RUF009 (frozen)
    """Which world is filmed, and for how long."""


@dataclass(frozen=True)
class PlotArgs:
    """Draw a run: curves, reconstructions, open-loop dreams, latent traversals, score histograms. PNG and SVG."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK|RUN|MODEL")]
    """A run's folder, also half-trained: what is there is drawn. Of a task's shipped agent or a model's folder: V's latents."""
    out: Path | None = None
    """The folder to draw into (default: RUN/plots; of a shipped agent TASK-plots)."""


@dataclass(frozen=True)
class InspectArgs:
    """Say what a run, an episode shard, a model or a result is: sizes, seeds, versions, hashes, health."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK|PATH")]
    """A task's name (its shipped agent), a run's folder, a stage's folder, a shard, a model's folder, a safetensors file or a
    result."""
    json: Path | None = None
    """Also write what was found to this file; - is standard output."""


@dataclass(frozen=True)
class TasksArgs:
    """List what can be learned."""

    json: Path | None = None
    """Also write the list to this file; - is standard output."""


@dataclass(frozen=True)
class BenchArgs:
    """Measure every stage's speed on this machine, each beside the original's way and the matrix-product bound."""

    device: Device = "auto"
    """Where V, M and the dream compute; auto is the GPU if there is one."""
    seconds: float = 5.0
    """How long a measurement goes on, and its baseline as long again; the whole takes about eight minutes by default."""
    json: Path | None = None
    """Also write the rows to this file; - is standard output."""


def _one_line(text: str) -> str:
    """Turns tyro's message into one line: in a box with its title, or under it where the terminal has no box to draw."""
    lines = [re.sub(r"^[│╭╰]\s?|\s?[│╮╯]$", "", line).rstrip() for line in text.splitlines()]
    lines = [re.sub(r"[-─]{5,}", "─────", line) for line in lines]
    lines = [line.strip() if line.strip() == "─────" else line for line in lines]
    sections = re.split(r"\n─+\s*\n?", "\n".join(line for line in lines if not line.startswith(("─ ", "──────╮"))))
    if not text.startswith("╭"):
        sections = sections[1:] or sections
    kept = [re.sub(r"\s+", " ", section).strip() for section in sections]
    kept = [section for section in kept if section and not section.startswith(("For full helptext", "Argument helptext"))]
    return "; ".join(kept)


def _parse(kind: Any, verb: str, args: Sequence[str]) -> Any:
    """Parses a command's flags. Raises `UserError` with one line for anything wrong."""
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(
                kind,
                prog=f"worldmodels {verb}",
                args=list(args),
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_one_line(messages.getvalue())}; see 'worldmodels {verb} --help'") from None


def _check_json(path: Path | None) -> None:
    """Raises `UserError` now rather than after hours if a --json file cannot be written."""
    if path is not None:
        files.check_output(path)


def _write_result(path: Path | None, value: Any) -> None:
    if path is not None:
        files.write_json(path, value)


def _advice(verb: str, args: Sequence[str]) -> str:
    """Returns what to do about a command that was interrupted: whether it has kept what it had done depends on the command."""
    again = shlex.join(["worldmodels", verb, *args])
    names_json = any(arg.partition("=")[0] == "--json" for arg in args)
    if verb in KEEPS_ITS_WORK or (verb == "evaluate" and names_json):
        return f"to go on: {again}"
    mend = "; with --json FILE what was played is kept, and a second call goes on" if verb == "evaluate" else ""
    return f"nothing was kept; to begin anew: {again}{mend}"


def _tasks(args: Sequence[str]) -> None:
    parsed = _parse(TasksArgs, "tasks", args)
    _check_json(parsed.json)
    with loading():
        from worldmodels.envs.spec import tasks

    found = tasks()
    for spec in found.values():
        print(f"{spec.name:14} {spec.summary} (scales: {', '.join(spec.presets)})")
    rows = [{"name": s.name, "summary": s.summary, "env": s.env_id, "scales": list(s.presets)} for s in found.values()]
    _write_result(parsed.json, rows)


def _open_run(path: Path, task: str, scale: str, seed: int, previous: Path | None = None) -> Run:
    """Opens a run or plans one; refuses a folder that holds another run than the one asked for."""
    with loading():
        from worldmodels.envs.spec import get_task

    return Run.open_or_create(path, task, scale, seed, get_task(task).preset(scale), previous)


def _reproduce(args: Sequence[str]) -> None:
    parsed = _parse(ReproduceArgs, "reproduce", args)
    _check_json(parsed.json)
    check_seed(parsed.seed)
    with loading():
        from worldmodels.envs.spec import get_task
        from worldmodels.models.precision import pick_device
        from worldmodels.stages.reproduce import reproduce

    get_task(parsed.task).preset(parsed.scale)
    pick_device(parsed.device)
    path = parsed.run or Path("runs") / f"{parsed.task}-{parsed.scale}"
    with RunLock(path):
        run = _open_run(path, parsed.task, parsed.scale, parsed.seed)
        place = {"device": parsed.device, "backend": parsed.backend, "address": parsed.address}
        _write_result(parsed.json, reproduce(dataclasses.replace(run, preset=run.preset.on(**place))))


def _stage(stage: str) -> Callable[[Sequence[str]], None]:
    """Makes the command of one stage: its flags are the stage's settings, its defaults the run's."""
    verb = VERBS[stage]

    def command(args: Sequence[str]) -> None:
        # The defaults depend on the run: what names it is looked up first, everything is parsed properly after.
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        for flag, default in (("--run", None), ("--task", "take-cover"), ("--scale", "laptop")):
            first.add_argument(flag, default=default, nargs="?")
        with contextlib.suppress(argparse.ArgumentError):
            known, _ = first.parse_known_args(list(args))
        with loading():
            from worldmodels.envs.spec import get_task

        existing = Path(known.run) if known.run and (Path(known.run) / "config.json").exists() else None
        if existing is not None:
            run = Run.open(existing)
            base = RunArgs(run=existing, task=run.task, scale=run.scale, seed=run.seed)
            settings = getattr(run.preset, stage)
        else:
            base = RunArgs(run=tyro.MISSING, task=known.task, scale=known.scale)
            settings = getattr(get_task(known.task).preset(known.scale), stage)
        kind = dataclasses.make_dataclass(
            "StageArgs",
            [("common", RunArgs, base), ("settings", type(settings), settings)],
            frozen=True,
            namespace={"__doc__": type(settings).__doc__},
        )
        parsed = _parse(kind, verb, args)
        common: RunArgs = parsed.common
        parsed.settings.validate()
        check_seed(common.seed)
        _check_json(common.json)
        files.check_folder(common.run)
        if existing is None and stage != "collect":
            mend = f"'worldmodels collect --run {common.run} --task TASK' begins one"
            raise UserError(f"{common.run}: no run is here (no config.json){nearest_run(common.run)}; {mend}")
        with loading():
            from worldmodels.stages.reproduce import run_stage

        with RunLock(common.run):
            run = _open_run(common.run, common.task, common.scale, common.seed, common.previous)
            if parsed.settings != getattr(run.preset, stage):
                run = _change_settings(run, stage, parsed.settings)
            run_stage(run, stage, parsed.settings)
            done = run.require(stage)
        summary = {key: value for key, value in done.items() if key not in ("outputs", "fingerprint")}
        _write_result(common.json, {"stage": stage, "run": str(common.run), **done})
        print(f"{verb}: finished {run.stage_path(stage)}" + "".join(f", {k} {v}" for k, v in summary.items()))

    return command


def _change_settings(run: Run, stage: str, settings: Config) -> Run:
    """Returns the run with a stage's settings, given as flags, for its configuration; a stage that has begun keeps its own."""
    stages: dict[str, Any] = {stage: settings}
    preset = dataclasses.replace(run.preset, **stages)
    run.refuse_other_settings(stage, settings)
    return dataclasses.replace(run, preset=preset, unsaved=preset)


def _evaluate(args: Sequence[str]) -> None:
    parsed = _parse(EvaluateArgs, "evaluate", args)
    parsed.settings.validate()
    _check_json(parsed.json)
    with loading():
        from worldmodels.models.world_model import temperature_text
        from worldmodels.stages.evaluate import evaluate, load_target, played_beside, score_text

    # Beside the file itself, wherever a link to it lies; a pipe keeps nothing for a second call.
    played = played_beside(parsed.json.resolve()) if parsed.json is not None and files.is_plain(parsed.json) else None
    target = load_target(parsed.target, parsed.settings.agent, parsed.settings.world)
    result = evaluate(parsed.settings, target, played)
    _write_result(parsed.json, result)
    if played is not None:
        played.unlink(missing_ok=True)
    at = interval = ""
    if result["temperature"] is not None:
        at = f" at {temperature_text(result['temperature'], result['own_temperature'])}"
    if result["ci95"] is not None:
        interval = " (95% interval of the mean {:.1f} to {:.1f})".format(*result["ci95"])
    episodes = "1 episode" if result["num_episodes"] == 1 else f"{result['num_episodes']} episodes"
    score = score_text(result, 1)
    print(f"{result['task']}, {result['world']}{at}, {result['agent']}: {score} over {episodes}{interval}")


def _fidelity(args: Sequence[str]) -> None:
    parsed = _parse(FidelityArgs, "fidelity", args)
    parsed.settings.validate()
    _check_json(parsed.json)
    with loading():
        from worldmodels.models.shipped import open_run
        from worldmodels.stages.fidelity import run

    found = open_run(parsed.target, "the latents and the evolution that fidelity measures with")
    _write_result(parsed.json, run(parsed.settings, found))


def _table(args: Sequence[str]) -> None:
    parsed = _parse(TableArgs, "table", args)
    _check_json(parsed.json)
    check_seed(parsed.seed)
    with loading():
        from worldmodels.models.shipped import model_folder
        from worldmodels.models.world_model import load_model
        from worldmodels.stages.table import check_table, make_table, to_markdown

    check_table(parsed.name)
    model = load_model(model_folder(parsed.model))
    spec = model.world_model.spec
    spec.preset(parsed.scale)
    path = parsed.run or Path("runs") / f"table-{parsed.name}-{spec.name}-{parsed.scale}"
    with RunLock(path):
        result = make_table(
            parsed.name,
            model,
            path,
            parsed.scale,
            parsed.seed,
            num_generations=parsed.num_generations,
            ppo_iterations=parsed.ppo_iterations,
            fast=parsed.fast,
            backend=parsed.backend,
            address=parsed.address,
        )
    _write_result(parsed.json, result)
    print(to_markdown(result) + f"\npicture: {path / 'table.png'}")


def _iterate(args: Sequence[str]) -> None:
    parsed = _parse(IterateArgs, "iterate", args)
    _check_json(parsed.json)
    check_rounds(parsed.rounds)
    check_seed(parsed.seed, parsed.rounds)
    with loading():
        from worldmodels.envs.spec import get_task
        from worldmodels.stages.iterate import iterate, to_markdown

    get_task(parsed.task).preset(parsed.scale)
    path = parsed.run or Path("runs") / f"iterate-{parsed.task}-{parsed.scale}"
    with RunLock(path):
        result = iterate(parsed.task, parsed.scale, parsed.rounds, path, parsed.seed, parsed.backend, parsed.address)
    _write_result(parsed.json, result)
    print(to_markdown(result))


def _play(args: Sequence[str]) -> None:
    parsed = _parse(PlayArgs, "play", args)
    parsed.settings.validate()
    with loading():
        from worldmodels.viewer.window import play

    play(parsed.settings, parsed.target)


def _watch(args: Sequence[str]) -> None:
    parsed = _parse(PlayArgs, "watch", args)
    settings = dataclasses.replace(parsed.settings, player="agent")
    settings.validate()
    with loading():
        from worldmodels.viewer.window import play

    play(settings, parsed.target)


def _video(args: Sequence[str]) -> None:
    parsed = _parse(VideoArgs, "video", args)
    parsed.settings.validate()
    files.check_output(parsed.out)
    with loading():
        from worldmodels.viewer.video import write_video

    write_video(parsed.settings, parsed.target, parsed.out)


def _plot(args: Sequence[str]) -> None:
    parsed = _parse(PlotArgs, "plot", args)
    with loading():
        from worldmodels.models.shipped import is_model, target_path
        from worldmodels.plots import plot

    for path in plot(parsed.target, parsed.out):
        print(path)
    if is_model(target_path(parsed.target)):
        print(f"{parsed.target}: a model alone: losses, curves and frames are a run's, and are not drawn", file=sys.stderr)


def _inspect(args: Sequence[str]) -> None:
    parsed = _parse(InspectArgs, "inspect", args)
    _check_json(parsed.json)
    with loading():
        from worldmodels.inspection import inspect_path
        from worldmodels.models.shipped import target_path

    _write_result(parsed.json, inspect_path(target_path(parsed.target)))


def _bench(args: Sequence[str]) -> None:
    parsed = _parse(BenchArgs, "bench", args)
    _check_json(parsed.json)
    with loading():
        from worldmodels.bench import run_bench

    if not 0.1 <= parsed.seconds <= 3600:
        raise UserError(f"seconds is {parsed.seconds}; it must lie between 0.1 and 3600")
    _write_result(parsed.json, run_bench(parsed.seconds, parsed.device))


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], None]]] = {
    "reproduce": ("the whole experiment, from nothing to scores", _reproduce),
    "collect": ("play the random policy and record episodes", _stage("collect")),
    "train-vae": ("train V on the frames", _stage("vae")),
    "encode": ("send all frames through V", _stage("encode")),
    "train-rnn": ("train M on the latents", _stage("rnn")),
    "train-controller": ("evolve C", _stage("controller")),
    "iterate": ("the paper's iterative procedure: collect with C, train on, evolve on", _iterate),
    "evaluate": ("score an agent on held-out seeds", _evaluate),
    "fidelity": ("measure how true a run's dream is", _fidelity),
    "table": ("make one of the paper's tables", _table),
    "play": ("play in a window: you or the agent, reality or dream", _play),
    "watch": ("watch the agent in a window", _watch),
    "video": ("write a video of the agent, without a display", _video),
    "plot": ("draw a run", _plot),
    "inspect": ("say what a file or folder is", _inspect),
    "tasks": ("list what can be learned", _tasks),
    "bench": ("measure this machine", _bench),
}

#: Commands that keep what they have done when they are interrupted, and go on there when they are called again.
KEEPS_ITS_WORK = {"reproduce", *VERBS.values(), "iterate", "table"}


def _help() -> str:
    lines = [f"  {name:18}{what}" for name, (what, _) in COMMANDS.items()]
    return "\n".join(
        ["usage: worldmodels COMMAND ...", "", "World models: V sees, M remembers, C acts.", "", *lines, "",
         "'worldmodels COMMAND --help' shows a command's flags, units and defaults."]
    )  # fmt: skip


def _check_working_folder() -> None:
    """Raises `EnvironmentFailure` in a folder that is no longer there: games and libraries crash in it."""
    try:
        Path.cwd()
    except OSError as error:
        raise EnvironmentFailure(
            "the folder that this command was called in has been deleted; go to one that exists and call it again"
        ) from error


@contextlib.contextmanager
def _results_on_stdout(args: Sequence[str]) -> Iterator[list[str]]:
    """Yields a command's arguments, those that ask for results on standard output (``--json -``) with a path that leads there;
    inside, whatever else is printed goes to standard error."""
    places = [i for i, arg in enumerate(args) if arg == "--json=-" or (arg == "-" and i and args[i - 1] == "--json")]
    if not places:
        yield list(args)
        return
    with streams.kept_for_results() as path:
        yield [args[i].removesuffix("-") + str(path) if i in places else args[i] for i in range(len(args))]


def _interrupted(verb: str, args: Sequence[str]) -> int:
    """Says what to do about an interrupted command; returns the exit code."""
    interrupt.ignore()
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"\nworldmodels: interrupted; {_advice(verb, args)}", file=sys.stderr, flush=True)
    return INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 2 the user's error, 3 a bad file, 4 environment or disk, 130, 141."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(_help())
        return 0 if args else 2
    verb, rest = args[0], args[1:]

    try:
        if verb not in COMMANDS:
            raise UserError(f"there is no command '{verb}'{nearest(verb, COMMANDS)}")
        interrupt.listen()
        _check_working_folder()
        with _results_on_stdout(rest) as told:
            COMMANDS[verb][1](told)
    except WorldModelsError as error:
        if isinstance(error.__cause__, BrokenPipeError):  # whoever reads has seen enough
            return streams.NO_READER
        print(f"worldmodels: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted(verb, rest)
    except OSError as error:
        if interrupt.raised():
            return _interrupted(verb, rest)
        # Whatever the disk refuses, where no better words were found for it.
        where = f"{error.filename}: " if error.filename else ""
        print(f"worldmodels: {where}{error.strerror or error}; mend it and call the same command again", file=sys.stderr)
        return EnvironmentFailure.exit_code
    except SystemExit as done:  # --help
        return int(done.code or 0)
    except Exception:
        if not interrupt.raised():
            raise
        return _interrupted(verb, rest)  # what a library has made of it
    return 0
