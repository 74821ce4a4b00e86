"""Arguments into settings, errors into one line, results into files."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import tyro

from worldmodels.base import files
from worldmodels.base.errors import UserError, did_you_mean
from worldmodels.cli.flags import FLAGS
from worldmodels.cli.help import help_of, name_of, parser_of

#: The flags that name a folder, a file or a target.
PLACES = {"--run", "--out", "--json", "--model", "--previous", "--from", "--record-episodes"}


def one_line(text: str) -> str:
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


def parse(kind: Any, verb: str, args: Sequence[str], sentence: str = "") -> Any:
    """Parses a command's flags; with ``--help`` among them it prints the help and ends.

    Args:
        sentence: what the command does; left out: the first paragraph of the kind's docstring.

    Raises:
        UserError: anything is wrong, in one line.
    """
    if "-h" in args or "--help" in args:
        print(help_of(kind, verb, sentence or (kind.__doc__ or "").split("\n\n")[0]))
        raise SystemExit(0)
    _refuse_empty(args)
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(
                kind,
                prog=f"worldmodels {verb}",
                args=list(args),
                config=(tyro.conf.OmitArgPrefixes,),
                registry=FLAGS,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_in_our_words(kind, args, messages.getvalue())}; see 'worldmodels {verb} --help'") from None


def _in_our_words(kind: Any, args: Sequence[str], said: str) -> str:
    """Returns what is wrong with a command's arguments, of which tyro says ``said``."""
    actions = parser_of(kind)._actions
    flags = [name for action in actions for name in action.option_strings]
    for arg in args:
        flag = arg.partition("=")[0]
        if flag.startswith("--") and flag.replace("_", "-") not in flags:
            near = did_you_mean(flag.lstrip("-"), (name.lstrip("-") for name in flags)).replace("'", "'--", 1)
            return f"no flag '{flag}'{near}"
    text = one_line(said)
    called = {action.dest.rpartition(".")[2]: name_of(action) for action in actions if not action.option_strings}
    if text.startswith("Missing from"):
        needed = [
            action.option_strings[0] if action.option_strings else name_of(action) for action in actions if action.required
        ]
        return f"{' and '.join(name for name in needed if f' {name} ' in text)} is missing"
    if found := re.match(r"Missing value for argument '(\S+)'", text):
        return f"{called[found[1]]} is missing" if found[1] in called else f"{found[1]} has no value"
    if found := re.match(r"invalid choice '(.*)' for argument '(\S+)'\. Expected one of \((.*)\)", text):
        choices = [choice.strip("' ") for choice in found[3].split(",")]
        wanted = f"expected one of {', '.join(choices)}{did_you_mean(found[1], choices)}"
        return f"{called.get(found[2], found[2])} is '{found[1]}'; {wanted}"
    if found := re.match(r"Error parsing (\S+): (invalid literal for int|could not convert string to float).*?: '(.*)'$", text):
        return f"{found[1]} is '{found[3]}'; expected a {'whole ' * ('int' in found[2])}number"
    if found := re.match(r"Unrecognized options: (.*?)(; |$)", text):
        return f"'{found[1]}': no such flag" if found[1].startswith("-") else f"'{found[1]}' is more than is taken"
    return text


def _refuse_empty(args: Sequence[str]) -> None:
    """Raises `UserError` for an empty or blank name of a target, a folder or a file, such as an unset variable of a script
    leaves: an empty path would be the working folder."""
    for flag, value in [*pairwise(("", *args)), *(arg.split("=", 1) for arg in args if arg.startswith("--") and "=" in arg)]:
        if not value.strip() and (flag in PLACES or not flag.startswith("--")):
            raise UserError(f"{flag or 'a name'} is empty; name it, or '.' for the folder that you are in")


def check_json(path: Path | None) -> None:
    """Raises `UserError` now rather than after hours if a --json file cannot be written."""
    if path is not None:
        files.check_output(path)


def write_result(path: Path | None, value: Any) -> None:
    """Writes a command's result where ``--json`` says, if it does."""
    if path is not None:
        files.write_json(path, value)
