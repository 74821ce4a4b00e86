"""Arguments into settings, errors into one line, results into files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from worldmodels.base import files
from worldmodels.base.errors import UserError
from worldmodels.config import Bounds, Config, bounds_of

FLAGS = ConstructorRegistry()
#: Marks a dataclass whose flags tyro makes by itself, for `_with_bounds` to complete.
PLAIN = object()


@FLAGS.struct_rule
def _with_bounds(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Says beside the default of a number where it must lie, and begins a group's flags with the group's prefix."""
    kind = info.type
    if PLAIN in info.markers or not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return None
    plain = ConstructorRegistry.get_struct_spec(dataclasses.replace(info, markers=(*info.markers, PLAIN)))
    assert isinstance(plain, StructConstructorSpec)
    bounds, prefix = bounds_of(kind), kind.prefix if issubclass(kind, Config) else ""
    fields = []
    for field in plain.fields:
        name = prefix + field.name if prefix else None
        hint = _default_and(bounds[field.name]) if field.name in bounds else None
        flag: Any = Annotated[field.type, tyro.conf.arg(name=name, help_behavior_hint=hint)]
        fields.append(dataclasses.replace(field, type=flag) if name or hint else field)
    return dataclasses.replace(plain, fields=tuple(fields))


def _default_and(bounds: Bounds) -> Callable[[str], str]:
    return lambda default: f"(default: {default}; {bounds})"


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


def parse(kind: Any, verb: str, args: Sequence[str]) -> Any:
    """Parses a command's flags. Raises `UserError` with one line for anything wrong."""
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
        raise UserError(f"{one_line(messages.getvalue())}; see 'worldmodels {verb} --help'") from None


def check_json(path: Path | None) -> None:
    """Raises `UserError` now rather than after hours if a --json file cannot be written."""
    if path is not None:
        files.check_output(path)


def write_result(path: Path | None, value: Any) -> None:
    """Writes a command's result where ``--json`` says, if it does."""
    if path is not None:
        files.write_json(path, value)
