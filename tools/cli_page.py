"""Makes ``docs/cli.md`` from the help of every command: ``python -m tools.cli_page``.

``--check`` writes nothing and returns 1 if the page is not what the commands say.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

from tools.pages import write_or_check
from worldmodels.cli import main as worldmodels
from worldmodels.cli.commands import COMMANDS, EXPORTS
from worldmodels.cli.help import COMMON

BLANK = "\n\n"
PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
INTRODUCTION = f"""# Command line

Made from the code by `python -m tools.cli_page`: what `worldmodels help COMMAND` says. The defaults of a stage's settings are
those of TakeCover's laptop scale for a new run; in a run's folder they are the run's own.

{COMMON}

Results go to standard output and to `--json`, progress to standard error. The exit code is 0 when all is done, 2 for a wrong
call, 3 for a damaged file, 4 where a game, a worker or the disk failed, 130 after Ctrl-C or SIGTERM, 141 for a closed pipe.
A command that was cut off goes on when it is given again.

"""


def helped(verb: str) -> str:
    """Returns a command's help."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        worldmodels(["help", *verb.split()])
    return said.getvalue().replace(COMMON, "").rstrip()


def in_markdown(words: list[str]) -> str:
    """Returns lines of the help as one line of Markdown; a page of docs/ that they name becomes a link."""
    text = " ".join(word.strip() for word in words)
    text = re.sub(r"([<*_\[\]])", r"\\\1", text)
    return re.sub(r"docs/((?:\w|\\_)+\.md)", lambda found: f"[{found[1]}]({found[1].replace(chr(92), '')})", text)


def section(verb: str) -> str:
    """Returns a command's part of the page."""
    sentence, usage, examples, *rest = helped(verb).split(BLANK)
    calls = "\n".join(line.strip() for line in examples.splitlines())
    parts = [f"## {verb}", in_markdown(sentence.splitlines()), f"```text\n{usage}\n```", f"```bash\n{calls}\n```"]
    for group in rest:
        # A heading may take two lines; entries are indented by two, what is said of them by six.
        lines = group.splitlines()
        heading = [line for line in lines if not line.startswith(" ")]
        entries: list[tuple[str, list[str]]] = []
        for line in lines[len(heading) :]:
            if line.startswith("      "):
                entries[-1][1].append(line)
            else:
                entries.append((line.strip(), []))
        parts += [f"**{in_markdown(heading)}**"] * bool(heading)
        parts.append("\n".join(f"- `{name}`: {in_markdown(words)}" for name, words in entries))
    return BLANK.join(parts)


def page() -> str:
    """Returns the page."""
    verbs = [verb for verb in COMMANDS if verb != "export"] + [f"export {kind}" for kind in EXPORTS]
    sentences = {verb: in_markdown(helped(verb).split(BLANK)[0].splitlines()) for verb in verbs}
    index = "\n".join(f"| [`{verb}`](#{verb.replace(' ', '-')}) | {said} |" for verb, said in sentences.items())
    return BLANK.join([INTRODUCTION.rstrip(), f"| | |\n| --- | --- |\n{index}", *map(section, verbs)]) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}, "tools.cli_page", __doc__))
