"""The command line: a verb is looked up and called, and whatever goes wrong is one line and an exit code."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from worldmodels.base.errors import EnvironmentFailure, UserError, WorldModelsError, nearest
from worldmodels.cli.commands import COMMANDS
from worldmodels.runs.run import VERBS
from worldmodels.runtime import interrupt, streams
from worldmodels.runtime.interrupt import INTERRUPTED


def _advice(verb: str, args: Sequence[str]) -> str:
    """Returns what to do about a command that was interrupted: whether it has kept what it had done depends on the command."""
    again = shlex.join(["worldmodels", verb, *args])
    names_json = any(arg.partition("=")[0] == "--json" for arg in args)
    if verb in KEEPS_ITS_WORK or (verb == "evaluate" and names_json):
        return f"to go on: {again}"
    mend = "; with --json FILE what was played is kept, and a second call goes on" if verb == "evaluate" else ""
    return f"nothing was kept; to begin anew: {again}{mend}"


#: Commands that keep what they have done when they are interrupted, and go on there when they are called again.
KEEPS_ITS_WORK = {"reproduce", "import", *VERBS.values(), "iterate", "table"}


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
