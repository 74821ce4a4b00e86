"""The command line: parse and call. Heavy imports wait until a command is chosen."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from worldmodels import api
from worldmodels.base import files
from worldmodels.base.errors import UserError, nearest
from worldmodels.cli.arguments import (
    CleanArgs,
    CompletionArgs,
    EvaluateArgs,
    ExportMinariArgs,
    ExportWebArgs,
    FidelityArgs,
    ImportArgs,
    ImportOriginalArgs,
    InspectArgs,
    IterateArgs,
    PlayArgs,
    PlotArgs,
    ProbeArgs,
    PushArgs,
    ReproduceArgs,
    RunArgs,
    TableArgs,
    TasksArgs,
    VideoArgs,
    WatchArgs,
)
from worldmodels.cli.completion import completion
from worldmodels.cli.environment import chosen_task, env_args, env_task
from worldmodels.cli.help import COMMON, TOLD, choices_of
from worldmodels.cli.parse import check_json, parse, write_result
from worldmodels.config import BEST_RECIPE, Config, EvaluateConfig, PlayConfig, check_rounds, check_seed, of_recipe
from worldmodels.runs.layout import CONFIG, ROUNDS, TABLE, TABLE_PICTURE, TABLE_TEXT
from worldmodels.runs.lock import RunLock
from worldmodels.runs.run import STAGES, VERBS, Run, nearest_run
from worldmodels.runtime.interrupt import loading


def _tasks(args: Sequence[str]) -> None:
    parsed = parse(TasksArgs, "tasks", args)
    check_json(parsed.json)
    with loading():
        from worldmodels.envs import plugins
        from worldmodels.envs.registry import tasks

    found = tasks()
    width = max(map(len, [*found, *plugins.missing()]))
    rows = []
    for spec in found.values():
        named = {"scales": list(spec.presets), "recipes": [BEST_RECIPE, *spec.recipes], "variants": list(spec.variants)}
        there = "; ".join(f"{what}: {', '.join(names)}" for what, names in named.items() if names)
        _print_row(spec.name, f"{spec.summary} ({there})", width)
        rows.append({"name": spec.name, "summary": spec.summary, "env": spec.env_id, **named})
    for name, why in plugins.missing().items():
        _print_row(name, why, width)
    write_result(parsed.json, rows)


def _print_row(name: str, words: str, width: int) -> None:
    lines = textwrap.wrap(words.strip(), 78 - width, break_long_words=False, break_on_hyphens=False)
    print(f"{name:{width}}  " + f"\n{'':{width + 2}}".join(lines))


def _reproduce(args: Sequence[str]) -> None:
    parsed = parse(ReproduceArgs, "reproduce", args)
    check_json(parsed.json)
    place = {"device": parsed.device, "backend": parsed.backend, "address": parsed.address, "log": parsed.log}
    task = chosen_task(parsed.task, parsed.of)
    done = api.reproduce(task, parsed.scale, parsed.run, parsed.seed, recipe=parsed.recipe, **place)
    write_result(parsed.json, done)
    path = api.run_folder(parsed.run, done["task"], parsed.scale, parsed.recipe)
    print(f"reproduce: finished {path}; 'worldmodels plot {shlex.quote(str(path))}' draws it all on one page")


#: What each stage does, for its help.
DOES = {
    "collect": "Begin a run: play the random policy, or the last round's agent, and record its episodes.",
    "vae": "Train V, the autoencoder that sees, on the frames that 'collect' has recorded.",
    "encode": "Send all frames through V once: what M learns from.",
    "rnn": "Train M, the recurrent network that dreams, on what V has encoded.",
    "controller": "Search for C, the controller that acts: by an evolution strategy, by PPO in the dream, or by both.",
}


def _stage_kind(base: RunArgs, settings: Config) -> type:
    """Returns what a stage's arguments are parsed into: which run, and the stage's settings with the run's as defaults."""
    return dataclasses.make_dataclass(
        "StageArgs",
        [("common", RunArgs, base), ("settings", type(settings), settings)],
        frozen=True,
        namespace={"__doc__": type(settings).__doc__},
    )


def _stage(stage: str) -> Callable[[Sequence[str]], None]:
    """Makes the command of one stage: its flags are the stage's settings, its defaults the run's."""
    verb = VERBS[stage]

    def command(args: Sequence[str]) -> None:
        # The defaults depend on the run: what names it is looked up first, everything is parsed properly after.
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        defaults = {"--run": None, "--task": None, "--previous": None, "--scale": "laptop", "--recipe": BEST_RECIPE}
        for flag, default in defaults.items():
            first.add_argument(flag, default=default, nargs="?")
        with contextlib.suppress(argparse.ArgumentError):
            known, _ = first.parse_known_args(list(args))
        named = env_args(args)
        with loading():
            from worldmodels.envs.registry import get_task
            from worldmodels.envs.sizing import preset_of

        existing = Path(known.run) if known.run and (Path(known.run) / CONFIG).exists() else None
        if existing is not None:
            run = Run.open(existing)
            base = RunArgs(run=existing, task=run.task, scale=run.scale, recipe=run.recipe, seed=run.seed)
            settings = getattr(run.preset, stage)
        else:
            if named.env:
                task = chosen_task(known.task or "", named)
            elif known.previous and not known.task:
                task = Run.open(Path(known.previous)).task
            else:
                task = known.task or RunArgs.task
            base = RunArgs(run=tyro.MISSING, task=task, scale=known.scale, recipe=known.recipe)
            settings = getattr(preset_of(get_task(task), known.scale, Path(known.run or "."), known.recipe), stage)
        parsed = parse(_stage_kind(base, settings), verb, args, DOES[stage])
        common: RunArgs = parsed.common
        common = dataclasses.replace(common, task=env_task(common.of) or common.task)
        parsed.settings.validate()
        check_seed(common.seed)
        check_json(common.json)
        files.check_folder(common.run)
        if existing is None and stage != "collect":
            mend = f"'worldmodels collect --run {common.run} --task TASK' begins one"
            raise UserError(f"{common.run}: no run is here (no config.json){nearest_run(common.run)}; {mend}")
        if stage == "collect":
            asked = {"recipe": common.recipe, "previous": common.previous, "settings": parsed.settings}
            done = api.collect(common.task, common.scale, common.run, common.seed, **asked)
        else:
            with loading():
                from worldmodels.stages.pipeline import make_stage

            place = (stage, common.run, common.task, common.scale, common.seed)
            done = make_stage(*place, common.previous, parsed.settings, common.recipe)
        write_result(common.json, done)
        facts = [f"  {k} {_sensible(v)}" for k, v in done.items() if k not in ("stage", "run", "outputs", "fingerprint")]
        print("\n".join([f"{verb}: finished {common.run / STAGES[stage]}", *facts]))

    return command


def _sensible(value: object) -> str:
    """Returns a fact as a line shows it: a number with as many digits as are worth reading."""
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _evaluate(args: Sequence[str]) -> None:
    parsed = parse(EvaluateArgs, "evaluate", args)
    parsed.settings.validate()
    check_json(parsed.json)
    with loading():
        from worldmodels.agent.files import dropout_text, temperature_text
        from worldmodels.diagnostics.statistics import score_text
        from worldmodels.stages.evaluate import played_beside

    # Beside the file itself, wherever a link to it lies; a pipe keeps nothing for a second call.
    played = played_beside(parsed.json.resolve()) if parsed.json is not None and files.is_plain(parsed.json) else None
    settings = {setting.name: setting.value for setting in parsed.settings.settings()}
    target = chosen_task(parsed.target, parsed.of)
    who, task = (None, target) if settings.pop("agent") == "random" else (target, None)
    result = api.evaluate(who, task, **settings, played=played)
    write_result(parsed.json, result)
    if played is not None:
        played.unlink(missing_ok=True)
    at = interval = ""
    look = f" ({parsed.settings.variant})" if parsed.settings.variant else ""
    if result["temperature"] is not None:
        at = f" at {temperature_text(result['temperature'], result['own_temperature'])}"
        at += dropout_text(parsed.settings.dream_dropout)
    if result["ci95"] is not None:
        interval = " (95% interval of the mean {:.1f} to {:.1f})".format(*result["ci95"])
    episodes = "1 episode" if result["num_episodes"] == 1 else f"{result['num_episodes']} episodes"
    score = score_text(result, 1)
    print(f"{result['task']}{look}, {result['world']}{at}, {result['agent']}: {score} over {episodes}{interval}")


def _fidelity(args: Sequence[str]) -> None:
    parsed = parse(FidelityArgs, "fidelity", args)
    parsed.settings.validate()
    check_json(parsed.json)
    with loading():
        from worldmodels.agent.target import open_run
        from worldmodels.experiments.fidelity import run

    found = open_run(parsed.target, "the latents and the evolution that fidelity measures with")
    write_result(parsed.json, run(parsed.settings, found))


def _probe(args: Sequence[str]) -> None:
    parsed = parse(ProbeArgs, "probe", args)
    parsed.settings.validate()
    check_json(parsed.json)
    with loading():
        from worldmodels.experiments.probe import run

    write_result(parsed.json, run(parsed.settings, parsed.target))


def _table(args: Sequence[str]) -> None:
    parsed = parse(TableArgs, "table", args)
    check_json(parsed.json)
    check_seed(parsed.seed)
    with loading():
        from worldmodels.agent.load import load, task_of
        from worldmodels.envs.registry import get_task
        from worldmodels.experiments.curiosity import CURIOSITY, make_curiosity
        from worldmodels.experiments.departures import DEPARTURES, make_departures
        from worldmodels.experiments.dropout import DROPOUT, make_dropout, of_a_run
        from worldmodels.experiments.robustness import ROBUSTNESS, make_robustness
        from worldmodels.experiments.table import TABLES, check_recipe, check_table, make_table
        from worldmodels.experiments.transfer import TRANSFER, make_transfer

    check_table(parsed.name, (DEPARTURES, ROBUSTNESS, TRANSFER, DROPOUT, CURIOSITY))
    search = ("recipe", "num_generations", "ppo_iterations", "max_steps")
    given = of_a_run(parsed.model) if parsed.name == DROPOUT else None
    own = () if given is None else ("scale", "recipe", "seed")
    unread = {
        DEPARTURES: (*search[:-1], "fast", "to"),
        ROBUSTNESS: ("scale", *search, "to", "share"),
        TRANSFER: (*search[1:], "share"),
        DROPOUT: (*own, "to", "share"),
        CURIOSITY: (*search[1:], "to", "share"),
    }.get(parsed.name, ("to", "share"))
    unread = unread if parsed.name == ROBUSTNESS else (*unread, "augmented")
    if said := [f"--{flag.replace('_', '-')}" for flag in unread if getattr(parsed, flag) != getattr(TableArgs, flag)]:
        raise UserError(f"table {parsed.name}: takes no {' and no '.join(said)}; leave it out")
    agent = None if parsed.name in (DEPARTURES, DROPOUT) else load(parsed.model)
    spec = task_of(parsed.model) if agent is None else agent.task
    carried_from = f"{spec.name}-to-" if parsed.name == TRANSFER else ""
    if parsed.name == TRANSFER:
        if not parsed.to:
            raise UserError("table transfer: name the task that V and M are carried to with --to, such as health-gathering")
        spec = get_task(parsed.to)
    scale, recipe = (parsed.scale, parsed.recipe) if given is None else (given.scale, given.recipe)
    spec.preset(scale, recipe)
    if agent is not None and parsed.name in TABLES:
        check_recipe(parsed.name, parsed.model, agent, scale, recipe)
    of_scale = "" if parsed.name == ROBUSTNESS else f"-{scale}{of_recipe(recipe)}"
    path = parsed.run or Path("runs") / f"table-{parsed.name}-{carried_from}{spec.name}{of_scale}"
    place = {"backend": parsed.backend, "address": parsed.address}
    if (path / CONFIG).exists():
        raise UserError(f"{path}: holds a run or a model, and no table; use another --run")
    with RunLock(path):
        settings = {name: getattr(parsed, name) for name in (*search, "episodes", "fast")}
        if parsed.name == DROPOUT:
            result = make_dropout(parsed.model, path, parsed.scale, parsed.seed, **settings, **place)
        elif agent is None:
            sizes = {name: getattr(parsed, name) for name in ("share", "max_steps", "episodes")}
            result = make_departures(spec.name, path, parsed.scale, parsed.seed, **sizes, **place)
        elif parsed.name == ROBUSTNESS:
            episodes = parsed.episodes or EvaluateConfig.episodes
            augmented = load(parsed.augmented) if parsed.augmented else None
            result = make_robustness(agent, path, episodes, parsed.seed, fast=parsed.fast, augmented=augmented, **place)
        elif parsed.name == TRANSFER:
            asked = (path, parsed.scale, parsed.seed, parsed.recipe, parsed.episodes)
            result = make_transfer(parsed.model, agent, spec, *asked, fast=parsed.fast, **place)
        elif parsed.name == CURIOSITY:
            asked = (path, parsed.scale, parsed.seed, parsed.recipe, parsed.episodes)
            result = make_curiosity(parsed.model, agent, *asked, fast=parsed.fast, **place)
        else:
            result = make_table(parsed.name, agent, path, parsed.scale, parsed.seed, **settings, **place)
    write_result(parsed.json, result)
    text = (path / TABLE_TEXT).read_text(encoding="utf-8")
    print(f"{text}\ntable: finished {path / TABLE}, {path / TABLE_PICTURE}")


def _iterate(args: Sequence[str]) -> None:
    parsed = parse(IterateArgs, "iterate", args)
    check_json(parsed.json)
    check_rounds(parsed.rounds, parsed.stop_after)
    check_seed(parsed.seed, parsed.rounds)
    with loading():
        from worldmodels.envs.registry import get_task
        from worldmodels.experiments.iterate import iterate, to_markdown

    task = chosen_task(parsed.task, parsed.of)
    get_task(task).preset(parsed.scale, parsed.recipe)
    path = parsed.run or Path("runs") / f"iterate-{task}-{parsed.scale}{of_recipe(parsed.recipe)}"
    place = {"backend": parsed.backend, "address": parsed.address, "log": parsed.log}
    with RunLock(path):
        chosen = {name: getattr(parsed, name) for name in ("recipe", "explore", "world", "stop_after")}
        result = iterate(task, parsed.scale, parsed.rounds, path, parsed.seed, **chosen, **place)
    write_result(parsed.json, result)
    print(to_markdown(result) + f"\niterate: finished {path / ROUNDS}")


def _play(args: Sequence[str]) -> None:
    parsed = parse(PlayArgs, "play", args)
    parsed.settings.validate()
    with loading():
        from worldmodels.viewer.window import play

    play(parsed.settings, parsed.target, parsed.record_episodes)


def _watch(args: Sequence[str]) -> None:
    parsed = parse(WatchArgs, "watch", args)
    parsed.settings.validate()
    settings = PlayConfig(**parsed.settings.to_dict(), player="agent")
    with loading():
        from worldmodels.viewer.window import play

    play(settings, parsed.target, parsed.record_episodes)


def _video(args: Sequence[str]) -> None:
    parsed = parse(VideoArgs, "video", args)
    parsed.settings.validate()
    files.check_output(parsed.out)
    with loading():
        from worldmodels.viewer.video import write_video

    write_video(parsed.settings, parsed.target, parsed.out)


def _export(args: Sequence[str]) -> None:
    if args and args[0] in EXPORTS:
        EXPORTS[args[0]][1](args[1:])
        return
    if args and args[0] in ("-h", "--help"):
        lines = [f"worldmodels export {words} [flags]" for words, _ in EXPORTS.values()]
        examples = [f"  worldmodels {TOLD[f'export {kind}'].examples[0]}" for kind in EXPORTS]
        flags = " and ".join(f"'worldmodels help export {kind}'" for kind in EXPORTS)
        print("Write a page that dreams in a browser, or a run's episodes as a Minari dataset.\n")
        print("usage: " + "\n       ".join(lines), "", *examples, sep="\n")
        print(f"\n{flags}\nshow the flags.\n\n{COMMON}")
        return
    usage = "; ".join(f"'worldmodels export {words}'" for words, _ in EXPORTS.values())
    what = f"there is no '{args[0]}'{nearest(args[0], EXPORTS)}" if args else "say what to write"
    raise UserError(f"export: {what}; {usage}")


def _export_web(args: Sequence[str]) -> None:
    parsed = parse(ExportWebArgs, "export web", args)
    with loading():
        from worldmodels.web.export import export_web

    export_web(parsed.targets, parsed.out)
    print(f"{parsed.out}: 'python -m http.server --directory {shlex.quote(str(parsed.out))}' serves it")


def _push(args: Sequence[str]) -> None:
    parsed = parse(PushArgs, "push", args)
    check_json(parsed.json)
    with loading():
        from worldmodels.hub.push import push

    done = push(parsed.target, parsed.repo, parsed.private, parsed.revision)
    write_result(parsed.json, done)
    print(f'push: finished {done["url"]}; wm.load("{done["target"]}") loads it')


def _plot(args: Sequence[str]) -> None:
    parsed = parse(PlotArgs, "plot", args)
    with loading():
        from worldmodels.agent.target import is_model, target_path
        from worldmodels.plots import plot

    for path in plot(parsed.target, parsed.out):
        print(path)
    if is_model(target_path(parsed.target)):
        print(f"{parsed.target}: a model alone: losses, curves and frames are a run's, and are not drawn", file=sys.stderr)


def _import(args: Sequence[str]) -> None:
    parsed = parse(ImportArgs, "import", args)
    check_json(parsed.json)
    task = chosen_task(parsed.task or "", parsed.of) if parsed.of.env else parsed.task
    begun = {"scale": parsed.scale, "seed": parsed.seed, "recipe": parsed.recipe}
    done = api.import_episodes(parsed.source, task=task, run=parsed.run, **begun)
    write_result(parsed.json, done)
    facts = ", ".join(f"{name} {_sensible(done[name])}" for name in ("num_episodes", "num_frames", "mean_length"))
    print(f"import: finished {parsed.run / STAGES['collect']}, task {done['task']}, {facts}")


def _import_original(args: Sequence[str]) -> None:
    parsed = parse(ImportOriginalArgs, "import-original", args)
    check_json(parsed.json)
    with loading():
        from worldmodels.agent.original import write_original

    done = write_original(parsed.folder, parsed.out)
    write_result(parsed.json, done)
    facts = f"task {done['task']}, C sees {done['controller_inputs']}, τ {done['temperature']:g}"
    print(f"import-original: finished {parsed.out}, {facts}")


def _export_minari(args: Sequence[str]) -> None:
    parsed = parse(ExportMinariArgs, "export minari", args)
    check_json(parsed.json)
    with loading():
        from worldmodels.agent.target import open_run
        from worldmodels.data.recordings.export import export_minari

    run = open_run(parsed.target, "episodes")
    num_episodes, num_frames = export_minari(run.path, parsed.out)
    write_result(parsed.json, {"dataset": str(parsed.out), "num_episodes": num_episodes, "num_frames": num_frames})
    print(f"export: finished {parsed.out}, num_episodes {num_episodes}, num_frames {num_frames}")


def _inspect(args: Sequence[str]) -> None:
    parsed = parse(InspectArgs, "inspect", args)
    check_json(parsed.json)
    with loading():
        from worldmodels.agent.target import target_path
        from worldmodels.diagnostics.inspection import inspect_path

    write_result(parsed.json, inspect_path(target_path(parsed.target)))


def _clean(args: Sequence[str]) -> None:
    parsed = parse(CleanArgs, "clean", args)
    check_json(parsed.json)
    with loading():
        from worldmodels.agent.target import open_runs
        from worldmodels.runs.cleaning import bytes_freed, not_needed, remove

    runs = open_runs(parsed.target, "episodes and latents")
    with contextlib.ExitStack() as locks:
        for run in runs:
            locks.enter_context(RunLock(run.path, otherwise="stop it"))
        places = [place for run in runs for place in not_needed(run)]
        freed = bytes_freed(places)
        for place in places:
            print(f"  {place}  {bytes_freed([place]) / 1e6:,.1f} MB")
        print(f"{freed / 1e6:,.1f} MB in all; models, scores, logs and pictures stay, and no training can go on from here")
        if places and not parsed.yes:
            if not sys.stdin.isatty():
                raise UserError("clean: nobody is there to be asked; --yes takes it out without asking")
            try:
                answer = input("take it out? [y/N] ")
            except (EOFError, KeyboardInterrupt):  # Ctrl-D, Ctrl-C
                print(file=sys.stderr)
                answer = ""
            if answer.strip().lower() not in ("y", "yes"):
                raise UserError("clean: nothing was taken out")
        remove(places)
    write_result(parsed.json, {"removed": [str(place) for place in places], "bytes": freed})
    print(f"clean: freed {freed / 1e6:,.1f} MB")


def _completion(args: Sequence[str]) -> None:
    parsed = parse(CompletionArgs, "completion", args)
    with loading():
        from worldmodels.envs.registry import tasks

    found = tasks()
    preset = next(iter(found.values())).preset("laptop")
    stages = {VERBS[stage]: _stage_kind(RunArgs(run=Path()), getattr(preset, stage)) for stage in STAGES}
    names = {"--scale": ["smoke", "laptop", "paper"], "--recipe": ["best", "original"]}
    names |= {flag: list(found) for flag in ("--task", "--to")}
    flags = {verb: choices_of(kind, names) for verb, kind in (stages | KINDS).items()}
    targets: dict[str, Sequence[str | None]] = {verb: [*found, None] for verb in flags}
    targets |= {"tasks": [], "completion": ["bash", "zsh", "fish"]}
    targets |= {
        "table": ["temperature", "ablation", "optimizers", "departures", "robustness", "transfer", "dropout", "curiosity"]
    }
    print(completion(parsed.shell, flags, [*COMMANDS, "help"], targets), end="")


EXPORTS: dict[str, tuple[str, Callable[[Sequence[str]], None]]] = {
    "web": ("web TARGET ... --out OUT", _export_web),
    "minari": ("minari TARGET OUT", _export_minari),
}
COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], None]]] = {
    "reproduce": ("the whole experiment, from nothing to scores", _reproduce),
    "collect": ("play the random policy and record episodes", _stage("collect")),
    "import": ("take recordings made elsewhere for a run's episodes", _import),
    "import-original": ("make a model of the original's files", _import_original),
    "train-vae": ("train V on the frames", _stage("vae")),
    "encode": ("send all frames through V", _stage("encode")),
    "train-rnn": ("train M on the latents", _stage("rnn")),
    "train-controller": ("evolve C", _stage("controller")),
    "iterate": ("several rounds: collect with C, train on, evolve on", _iterate),
    "evaluate": ("score an agent on held-out seeds", _evaluate),
    "fidelity": ("measure how true a run's dream is", _fidelity),
    "probe": ("measure what V and M know of the game's objects", _probe),
    "table": ("make one of the paper's tables", _table),
    "play": ("play in a window: you or the agent, reality or dream", _play),
    "watch": ("watch the agent in a window", _watch),
    "video": ("write a video of the agent, without a display", _video),
    "plot": ("draw a run: pictures, one of all, and a page", _plot),
    "export": ("write a page that dreams, or episodes as a Minari dataset", _export),
    "push": ("write an agent to the Hugging Face Hub", _push),
    "clean": ("free what only training needs of a finished run", _clean),
    "inspect": ("say what a file or folder is, and how far a run is", _inspect),
    "tasks": ("list what can be learned", _tasks),
    "completion": ("make a shell complete commands and flags", _completion),
}
#: What the arguments of each command that is no stage are parsed into.
KINDS: dict[str, type] = {
    "reproduce": ReproduceArgs,
    "import": ImportArgs,
    "import-original": ImportOriginalArgs,
    "iterate": IterateArgs,
    "evaluate": EvaluateArgs,
    "fidelity": FidelityArgs,
    "probe": ProbeArgs,
    "table": TableArgs,
    "play": PlayArgs,
    "watch": WatchArgs,
    "video": VideoArgs,
    "plot": PlotArgs,
    "export web": ExportWebArgs,
    "export minari": ExportMinariArgs,
    "push": PushArgs,
    "clean": CleanArgs,
    "inspect": InspectArgs,
    "tasks": TasksArgs,
    "completion": CompletionArgs,
}
