"""Makes ``docs/api.md`` from the docstrings of what ``import worldmodels`` offers: ``python -m tools.api_page``.

``--check`` writes nothing and returns 1 if the page is not what the docstrings say.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import worldmodels
from tools.pages import write_or_check

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
INTRODUCTION = """# `import worldmodels as wm`

Made from the docstrings by `python -m tools.api_page`; the tests run every example. The command line calls the same functions.
Every error is a `worldmodels.base.errors.WorldModelsError`: one line that names the thing and the mend.
"""


def unquoted(text: str) -> str:
    """Returns a signature whose annotations, which are text until they are needed, stand without quotes."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


def signature(thing: Any, name: str) -> str:
    """Returns how a function is called, with a line for each argument where the call is long."""
    found = inspect.signature(thing)
    shown = [parameter for parameter in found.parameters.values() if parameter.name != "self"]
    call = unquoted(str(found.replace(parameters=shown)))
    if len(call) < 90:
        return f"{name}{call}"
    keyword, lines = False, []
    for parameter in shown:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            lines.append("    *,")
        lines.append(f"    {unquoted(str(parameter))},")
    return "\n".join([f"{name}(", *lines, f") -> {found.return_annotation}"])


def docstring(thing: Any) -> str:
    """Returns a docstring in Markdown: its sections' headings in bold, arguments and errors as lists, examples as code."""
    lines, section = [], ""
    for line in str(inspect.getdoc(thing)).splitlines():
        text = line.strip()
        if text in ("Args:", "Returns:", "Raises:", "Example:"):
            section = text[:-1]
            lines += [f"**{section}**", "", *(["```python"] if section == "Example" else [])]
        elif section == "Example":
            lines.append(line[4:])
        else:
            text = text.replace("``", "`")
            name, colon, rest = text.partition(":")
            new = section in ("Args", "Raises") and line.startswith("    ") and line[4] != " " and colon
            lines.append(f"- `{name}`:{rest}" if new else f"  {text}" if section in ("Args", "Raises") and text else text)
    return "\n".join([*lines, *(["```"] if section == "Example" else [])])


def members(kind: type) -> list[tuple[str, Any]]:
    """Returns a class's own public methods and properties in the order of its source."""
    return [(name, value) for name, value in vars(kind).items() if not name.startswith("_") and inspect.getdoc(value)]


def fields(kind: type) -> list[str]:
    """Returns a line for each field of a dataclass: its name, its type, and the text under it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    lines = []
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            said = inspect.cleandoc(str(below.value.value)).replace("``", "`").replace("\n", "\n  ")
            lines.append(f"- `{ast.unparse(field.target)}: {ast.unparse(field.annotation)}`: {said}")
    return lines


def page() -> str:
    """Returns the page."""
    parts = [INTRODUCTION]
    for name in worldmodels.__all__:
        thing = getattr(worldmodels, name)
        is_class = inspect.isclass(thing)
        parts += [f"## `wm.{name}`\n", *([] if is_class else [f"```python\n{signature(thing, f'wm.{name}')}\n```\n"])]
        parts.append(docstring(thing) + "\n")
        if is_class:
            parts.append("\n".join(["**Fields**", "", *fields(thing), ""]))
        for member, value in members(thing) if is_class else ():
            if inspect.isfunction(value):
                parts += [f"### `{name}.{member}`\n", f"```python\n{signature(value, member)}\n```\n", docstring(value) + "\n"]
            elif isinstance(value, property):
                parts += [f"### `{name}.{member}`\n", docstring(value) + "\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}, "tools.api_page", __doc__))
