"""The command line: a verb is looked up and called, and whatever goes wrong is one line and an exit code."""

from __future__ import annotations

import contextlib
import itertools
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from worldmodels.base.errors import EnvironmentFailure, UserError, WorldModelsError, did_you_mean, on_one_line
from worldmodels.base.versions import own_version
from worldmodels.cli.commands import COMMANDS
from worldmodels.runtime import interrupt, progress, streams
from worldmodels.runtime.interrupt import INTERRUPTED

LOUDNESS = {"--quiet", "--verbose"}


def _help() -> str:
    lines = [f"  {name:18}{what}" for name, (what, _) in COMMANDS.items()]
    return "\n".join(
        ["usage: worldmodels COMMAND ...", "", "World models: V sees, M remembers, C acts.", "", *lines, "",
         "'worldmodels help COMMAND' shows a command's flags, units and defaults,", "'worldmodels --version' the version."]
    )  # fmt: skip


def _told_first(args: list[str]) -> list[str] | None:
    """Answers what is no command's: the version and the help. Returns what is left to be done, or None."""
    if args[:1] in (["--version"], ["-V"], ["version"]):
        print(f"worldmodels {own_version()}")
        return None
    if args[:1] == ["help"] and args[1:2] not in ([], ["help"], ["-h"], ["--help"]):
        return [*args[1:], "--help"]
    if args[:1] in (["-h"], ["--help"], ["help"]):
        print(_help())
        return None
    return args


def _without_loudness(args: Sequence[str]) -> list[str]:
    """Sets how much is said while a command works; returns the other arguments. Raises `UserError` for both at once."""
    progress.loudness = "quiet" if "--quiet" in args else "verbose" if "--verbose" in args else "usual"
    if set(args) >= LOUDNESS:
        raise UserError("--quiet and --verbose are two; give one of them")
    return [arg for arg in args if arg not in LOUDNESS]


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


def _interrupted(command: Sequence[str]) -> int:
    """Says what to do about an interrupted command; returns the exit code."""
    interrupt.ignore()
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(interrupt.advice(command), file=sys.stderr, flush=True)
    return INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 2 the user's error, 3 a bad file, 4 environment or disk, 130, 141."""
    args = list(sys.argv[1:] if argv is None else argv)
    before = list(itertools.takewhile(LOUDNESS.__contains__, args))
    if len(before) == len(args):
        print(_help())
        return 2
    args = [*args[len(before) :], *before]  # said before the command, it is the command's
    asked = _told_first(args)
    if asked is None:
        return 0
    try:
        verb, rest = asked[0], _without_loudness(asked[1:])
        if verb not in COMMANDS:
            near = did_you_mean(verb, COMMANDS) or "; 'worldmodels help' names all"
            raise UserError(f"there is no command '{verb}'{near}")
        interrupt.listen()
        _check_working_folder()
        with _results_on_stdout(rest) as told:
            COMMANDS[verb][1](told)
    except WorldModelsError as error:
        if isinstance(error.__cause__, BrokenPipeError):  # whoever reads has seen enough
            return streams.NO_READER
        if progress.loudness == "verbose":
            traceback.print_exc()
        print(f"worldmodels: {on_one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted(args)
    except OSError as error:
        if interrupt.raised():
            return _interrupted(args)
        # Whatever the disk refuses, where no better words were found for it.
        where = f"{error.filename}: " if error.filename else ""
        why = on_one_line(f"{where}{error.strerror or error}")
        print(f"worldmodels: {why}; mend it and call the same command again", file=sys.stderr)
        return EnvironmentFailure.exit_code
    except SystemExit as done:  # --help
        return int(done.code or 0)
    except Exception:
        if not interrupt.raised():
            raise
        return _interrupted(args)  # what a library has made of it
    return 0
