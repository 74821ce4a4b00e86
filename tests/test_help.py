"""The help in one's hands: one shape for every command, and what a shell completes."""

import re
import shutil
import subprocess
from itertools import pairwise

import pytest
from conftest import run_cli

import worldmodels
from worldmodels.cli import main
from worldmodels.cli.commands import COMMANDS, EXPORTS, KINDS
from worldmodels.cli.help import COMMON, TOLD, WIDTH

HELPED = [verb for verb in COMMANDS if verb != "export"] + [f"export {kind}" for kind in EXPORTS]
#: What tyro calls a value, and a default that is none.
TYPES = re.compile(r"\{None\}|\b(STR|INT|FLOAT|BOOL)\b|default: |Default (None|''|True|False)\b")


def helped(verb, capsys):
    assert main(["help", *verb.split()]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", HELPED)
def test_a_commands_help_has_one_shape(verb, capsys):
    said = helped(verb, capsys)
    lines = said.splitlines()
    sentence = " ".join(lines[: lines.index("")])
    assert sentence.endswith(".")
    assert lines[lines.index("") + 1].startswith(f"usage: worldmodels {verb}")
    assert len(re.findall(rf"^  worldmodels {verb} ?", said, re.M)) == 2
    assert max(map(len, lines)) <= WIDTH + 2
    assert not TYPES.search(said), TYPES.search(said)
    first = said.partition("The flags that matter first:\n")[2].partition("\n\n")[0]
    assert len(re.findall(r"^  --", first, re.M)) <= 5
    assert said.rstrip().endswith(COMMON.splitlines()[-1])
    # A line ends where the next word does not fit, or where a flag's words end.
    for line, after in pairwise(lines):
        if line.startswith("      ") and after.startswith("      "):
            assert len(line) + 1 + len(after.split()[0]) > WIDTH or "Default" in after
    # Every flag is told once, with words of its own.
    flags = re.findall(r"^  (--[a-z-]+)", said, re.M)
    assert len(flags) == len(set(flags))
    assert set(TOLD[verb].first) <= set(flags)


@pytest.mark.parametrize("verb", HELPED)
def test_a_commands_examples_are_understood(verb):
    """The examples' flags are ones that the command has."""
    known = flags_of_script(verb)
    for example in TOLD[verb].examples:
        assert example.startswith(verb)
        assert set(re.findall(r" (--[a-z-]+)", example)) <= known


def flags_of_script(verb):
    script = run_cli("completion", "bash").stdout if not SCRIPT else SCRIPT[0]
    SCRIPT[:] = [script]
    return set(re.search(rf'"{verb}"\) local words="([^"]*)"', script)[1].split())


SCRIPT = []


def test_bounds_defaults_and_units_are_told(capsys):
    said = helped("train-controller", capsys)
    assert "--num-generations GENERATIONS" in said
    assert re.search(r"--sigma X\n      The initial step size of the search. Default 0.1; 1e-6 to 100.", said)
    assert "Proximal policy optimization" in said or "How those iterations are done:" in said


def test_the_default_scale_is_said_where_it_differs(capsys):
    assert "a stage called by itself begins with laptop" in " ".join(helped("reproduce", capsys).split())
    assert "'reproduce' begins with smoke" in " ".join(helped("collect", capsys).split())


def test_watch_and_play_name_who_plays(capsys):
    assert "it plays, until you take over" in helped("watch", capsys).replace("\n", " ")
    assert "Who acts first. Default human." in helped("play", capsys)


def test_the_version(capsys):
    for words in (["--version"], ["-V"], ["version"]):
        assert main(words) == 0
        assert capsys.readouterr().out == f"worldmodels {worldmodels.__version__}\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", worldmodels.__version__)


def test_help_of_a_command_that_is_none(capsys):
    assert main(["help", "evalute"]) == 2
    assert "did you mean 'evaluate'" in capsys.readouterr().err
    assert main(["help"]) == 0
    assert "usage: worldmodels COMMAND" in capsys.readouterr().out


def test_every_command_is_completed():
    for verb in HELPED:
        assert {"--help", "--quiet", "--verbose"} <= flags_of_script(verb)
    assert set(KINDS) <= set(HELPED)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["worldmodels", "eva"], "evaluate"),
        (["worldmodels", "train-vae", "--num-st"], "--num-steps"),
        (["worldmodels", "evaluate", "car-"], "car-racing"),
        (["worldmodels", "export", "web", "--o"], "--out"),
    ],
)
def test_bash_completes(words, wanted, tmp_path):
    flags_of_script("tasks")
    (tmp_path / "script").write_text(SCRIPT[0])
    quoted = " ".join(words)
    ask = f"source ./script; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _worldmodels; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert wanted in done.stdout.split()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_scripts_are_written(shell, tmp_path):
    script = run_cli("completion", shell)
    assert script.returncode == 0
    assert "evaluate" in script.stdout
    if shutil.which(shell):
        (tmp_path / "script").write_text(script.stdout)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], check=False).returncode == 0


def test_quiet_and_verbose(toy_copy, capsys):
    words = ["evaluate", str(toy_copy), "--episodes", "2"]
    assert main([*words, "--quiet"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "over 2 episodes" in told.out
    assert main([*words, "--verbose"]) == 0
    assert "evaluate" in capsys.readouterr().err
    assert main(["evaluate", "nowhere", "--verbose"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert main(["evaluate", "nowhere"]) == 2
    assert "Traceback" not in capsys.readouterr().err
