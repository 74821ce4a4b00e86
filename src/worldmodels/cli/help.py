"""A command's help: one sentence, two examples, the flags that matter first, and the rest in groups.

Flags, bounds and defaults are read from the parser that the command is parsed with; what is said here beside them is which come
first, and the examples.
"""

from __future__ import annotations

import argparse
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tyro

from worldmodels.cli.flags import FLAGS

WIDTH = 79
#: A space that no line is broken at.
UNBROKEN = "\xa0"
#: A flag whose last word says what it counts takes so many of them.
COUNTED = ("steps", "episodes", "generations", "iterations", "seconds", "rounds", "workers", "slots", "frames", "epochs")
#: What other flags and kinds of values are called.
NAMES = {
    "--address": "HOST:PORT",
    "--crop": "TOP:BOTTOM,LEFT:RIGHT",
    "--env": "ID",
    "--env-kwargs": "JSON",
    "--episodes-url": "URL",
    "--from": "MODEL",
    "--json": "FILE",
    "--observation": "KEY",
    "--out": "OUT",
    "--previous": "RUN",
    "--run": "RUN",
    "--scale": "SCALE",
    "--size": "WIDTHxHEIGHT",
    "--task": "TASK",
    "--to": "TASK",
}
KINDS = {"INT": "N", "FLOAT": "X", "STR": "NAME", "PATH": "PATH"}
COMMON = """\
Every command takes --quiet (no progress), --verbose (progress every second, and
where an error comes from) and --help."""


@dataclass(frozen=True)
class Told:
    """What is said of a command beside its flags: ``first`` are the flags that matter first."""

    examples: tuple[str, str]
    first: tuple[str, ...] = ()


TOLD = {
    "reproduce": Told(
        ("reproduce take-cover", "reproduce car-racing --scale laptop --run runs/mine"),
        ("--scale", "--run", "--seed", "--device", "--json"),
    ),
    "collect": Told(
        ("collect --run runs/mine --task car-racing", "collect --run runs/2 --previous runs/1 --policy agent --seed 1"),
        ("--run", "--task", "--scale", "--num-episodes", "--seed"),
    ),
    "import": Told(
        ("import recordings/ --run runs/mine", "import CarRacing/human-v0 --run runs/mine --task car-racing"),
        ("--run", "--task", "--scale", "--seed", "--json"),
    ),
    "import-original": Told(
        ("import-original original/doomrnn --out runs/theirs", "import-original original/carracing --out runs/theirs"),
        ("--out", "--json"),
    ),
    "train-vae": Told(
        ("train-vae --run runs/mine", "train-vae --run runs/mine --from take-cover --num-steps 10000"),
        ("--run", "--num-steps", "--from", "--learning-rate", "--device"),
    ),
    "encode": Told(
        ("encode --run runs/mine", "encode --run runs/mine --device cuda"), ("--run", "--batch-size", "--device", "--json")
    ),
    "train-rnn": Told(
        ("train-rnn --run runs/mine", "train-rnn --run runs/mine --num-steps 10000"),
        ("--run", "--num-steps", "--from", "--learning-rate", "--device"),
    ),
    "train-controller": Told(
        ("train-controller --run runs/mine", "train-controller --run runs/mine --num-generations 50"),
        ("--run", "--world", "--num-generations", "--from", "--temperature"),
    ),
    "iterate": Told(
        ("iterate car-racing", "iterate take-cover --rounds 5 --scale laptop"),
        ("--rounds", "--scale", "--run", "--seed", "--json"),
    ),
    "evaluate": Told(
        ("evaluate take-cover --episodes 10", "evaluate runs/mine --world dream --json score.json"),
        ("--world", "--episodes", "--seed", "--temperature", "--json"),
    ),
    "fidelity": Told(
        ("fidelity runs/mine", "fidelity runs/mine --json fidelity.json"),
        ("--real-episodes", "--dream-episodes", "--temperature", "--device", "--json"),
    ),
    "probe": Told(
        ("probe take-cover", "probe runs/mine --player take-cover --json probe.json"),
        ("--episodes", "--every-steps", "--player", "--seed", "--json"),
    ),
    "table": Told(
        ("table temperature", "table ablation --model runs/mine --num-generations 20"),
        ("--model", "--scale", "--num-generations", "--run", "--seed"),
    ),
    "play": Told(
        ("play car-racing", "play runs/mine --world dream --seed 7"),
        ("--world", "--player", "--seed", "--temperature", "--size"),
    ),
    "watch": Told(("watch take-cover", "watch runs/mine --world dream"), ("--world", "--seed", "--temperature", "--size")),
    "video": Told(
        ("video take-cover --out agent.mp4", "video runs/mine --world dream --steps 300 --out dream.gif"),
        ("--out", "--world", "--steps", "--seed", "--temperature"),
    ),
    "plot": Told(("plot runs/mine", "plot car-racing --out pictures"), ("--out",)),
    "export web": Told(("export web car-racing take-cover --out site", "export web runs/mine --out site"), ("--out",)),
    "export minari": Told(("export minari runs/mine mine-v0", "export minari runs/mine mine-v0 --json -"), ("--json",)),
    "push": Told(
        ("push runs/mine user/my-agent", "push take-cover user/take-cover --private"), ("--private", "--revision", "--json")
    ),
    "clean": Told(("clean runs/mine", "clean runs/mine --yes"), ("--yes", "--json")),
    "inspect": Told(("inspect runs/mine", "inspect take-cover --json facts.json"), ("--json",)),
    "tasks": Told(("tasks", "tasks --json -"), ("--json",)),
    "completion": Told(("completion bash >> ~/.bash_completion", "completion zsh > ~/.zfunc/_worldmodels")),
}


def parser_of(kind: Any) -> Any:
    """Returns the parser of a command's arguments as argparse has it, to be read and not to parse with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return tyro.extras.get_parser(kind, config=(tyro.conf.OmitArgPrefixes,), registry=FLAGS)


def flags_of(kind: Any) -> list[str]:
    """Returns the names of a command's flags."""
    return list(choices_of(kind, {}))


def choices_of(kind: Any, known: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Returns a command's flags and the words that each takes where they are few, of ``known`` ones what it says."""
    found = {
        name: known.get(name) or [str(choice) for choice in action.choices or ()]
        for action in parser_of(kind)._actions
        for name in action.option_strings
        if name.startswith("--")
    }
    return found | {"--quiet": [], "--verbose": []}


def help_of(kind: Any, verb: str, sentence: str) -> str:
    """Returns a command's help, at most `WIDTH` columns wide.

    Args:
        kind: what the command's arguments are parsed into.
        sentence: what the command does.
    """
    told, parser = TOLD[verb], parser_of(kind)
    groups = [(group.title or "", group.description or "", list(_shown(group))) for group in parser._action_groups]
    actions = {name: action for _, _, found in groups for action in found for name in action.option_strings}
    positional = [action for title, _, found in groups for action in found if not action.option_strings]
    words = [name_of(action) + " ..." * (action.nargs in ("+", "*")) for action in positional]
    needed = [f"{action.option_strings[0]} {_value(action)}" for action in actions.values() if action.required]
    usage = " ".join(["usage: worldmodels", verb, *words, *needed, "[flags]"])
    lines = [*_wrapped(" ".join(sentence.split()), ""), "", usage, ""]
    lines += [f"  worldmodels {example}" for example in told.examples]
    for action in positional:
        lines += ["", *_entry(action)]
    first = [actions[name] for name in told.first if name in actions]
    if first:
        lines += ["", "The flags that matter first:", *(line for action in first for line in _entry(action))]
    for title, description, found in groups:
        rest = [action for action in found if action.option_strings and action not in first]
        if rest:
            heading = "Settings:" if title == "settings options" else _heading(title, description)
            lines += ["", *_wrapped(heading, ""), *(line for action in rest for line in _entry(action))]
    return "\n".join([*lines, "", COMMON])


def _shown(group: Any) -> Iterator[argparse.Action]:
    return (action for action in group._group_actions if action.dest != "help")


def _heading(title: str, description: str) -> str:
    if title == "options" or not description:
        return "More flags:"
    return " ".join(description.split("\n\n")[0].split()).rstrip(".") + ":"


def name_of(action: argparse.Action) -> str:
    """Returns what an argument without a flag is called: TARGET."""
    metavar = action.metavar if isinstance(action.metavar, str) else (action.metavar or (action.dest.upper(),))[0]
    return KINDS.get(metavar, metavar)


def _value(action: argparse.Action) -> str:
    """Returns what a flag takes: so many STEPS, one of several words, a FILE; nothing for a switch."""
    if action.nargs == 0 or not isinstance(action.metavar, str):
        return ""
    if action.choices:
        return "|".join(map(str, action.choices))
    flag, metavar = action.option_strings[0], action.metavar.removeprefix("{None}|")
    unit = flag.rsplit("-", 1)[-1]
    if metavar == "INT" and unit in COUNTED:
        return unit.upper()
    return NAMES.get(flag) or KINDS.get(metavar, metavar)


def _entry(action: argparse.Action) -> list[str]:
    """Returns a flag's lines: its name and value, and below them what it is, its default and its bounds."""
    says = " ".join((action.help or "").split())
    says = re.sub(r"\s*\((default: (None|'')?|required|repeatable)\s*\)$", "", says)
    says = re.sub(r"\s*\(default: True\)$", " On unless told otherwise.", says)
    says = re.sub(r"\s*\(default: False\)$", "", says)
    says = re.sub(r"\s*\(default: None; (.+)\)$", r" \1.", says)  # what it then is, the field says itself
    found = re.search(r"\s*\(default: (\S+?)(; .+)?\)$", says)
    if found:  # unbroken: a default and its bounds are read together
        said = f"Default {_number(found[1])}{found[2] or ''}.".replace(" ", UNBROKEN)
        says = f"{says[: found.start()]} {said}"
    says = re.sub(r"\s*\(default: ([^()]+)\)\.?", r". Default \1.", says)  # a field's own words of it
    if action.required and action.option_strings:
        says += " Required."
    switch = action.option_strings[:1] if action.nargs == 0 and not action.default else action.option_strings
    head = ", ".join(switch) if action.option_strings else name_of(action)
    value = _value(action) if action.option_strings else ""
    return [f"  {head} {value}".rstrip(), *_wrapped(says, "      ")]


def _number(text: str) -> str:
    """Returns a default as its bounds are written; a word as it is."""
    if re.fullmatch(r"-?\d{5,}", text):
        return f"{int(text):,}"
    return f"{float(text):.4g}" if re.fullmatch(r"-?\d+\.\d+", text) else text


def _wrapped(text: str, indent: str) -> list[str]:
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return [line.replace(UNBROKEN, " ") for line in lines]
