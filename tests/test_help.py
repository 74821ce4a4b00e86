"""The help in one's hands: one shape for every command, and what a shell completes."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise

import pytest
from conftest import run_cli

import worldmodels
from worldmodels.base.extras import how_to_install
from worldmodels.cli import main
from worldmodels.cli.commands import COMMANDS, EXPORTS, KINDS
from worldmodels.cli.help import COMMON, TOLD, WIDTH
from worldmodels.envs import plugins
from worldmodels.experiments.curiosity import CURIOSITY
from worldmodels.experiments.departures import DEPARTURES
from worldmodels.experiments.dropout import DROPOUT
from worldmodels.experiments.robustness import ROBUSTNESS
from worldmodels.experiments.table import TABLES
from worldmodels.experiments.transfer import TRANSFER

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
    assert "  " not in sentence
    assert lines[lines.index("") + 1].startswith(f"usage: worldmodels {verb}")
    assert len(re.findall(rf"^  worldmodels {verb} ?", said, re.M)) == 2
    assert max(map(len, lines)) <= 80
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
    return set(re.search(rf'"{verb}"\) found=.* flags="([^"]*)"', script)[1].split())


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
        (["worldmodels", "--v"], "--version"),
        (["worldmodels", "help", "ev"], "evaluate"),
        (["worldmodels", "export", ""], "minari"),
        (["worldmodels", "completion", ""], "zsh"),
        (["worldmodels", "table", ""], "ablation"),
        (["worldmodels", "evaluate", "toy", "--world", ""], "dream"),
        (["worldmodels", "reproduce", "toy", "--scale", ""], "laptop"),
        (["worldmodels", "reproduce", "toy", "--log", "t"], "trackio"),
        (["worldmodels", "collect", "--task", "to"], "toy"),
    ],
)
def test_bash_completes(words, wanted, tmp_path):
    flags_of_script("tasks")
    (tmp_path / "script").write_text(SCRIPT[0])
    quoted = " ".join(map(shlex.quote, words))
    ask = f"source ./script; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _worldmodels; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert wanted in done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash")
def test_bash_offers_no_wrong_words_and_whole_names(tmp_path):
    flags_of_script("tasks")
    (tmp_path / "script").write_text(SCRIPT[0])
    (tmp_path / "my run").mkdir()
    for words, wanted in {
        ("tasks", ""): [],
        ("completion", ""): ["bash", "zsh", "fish"],
        ("inspect", "my"): ["my run"],
    }.items():
        quoted = " ".join(map(shlex.quote, ("worldmodels", *words)))
        ask = f"source ./script; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _worldmodels; "
        ask += "printf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout.splitlines() == (wanted or [""]), words


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh")
def test_zsh_takes_it_sourced_before_its_completion_is_loaded(tmp_path):
    (tmp_path / "script").write_text(run_cli("completion", "zsh").stdout)
    ask = "source ./script; _worldmodels_fits evaluate toy --world 4 ''; echo $found $_comps[worldmodels]"
    done = subprocess.run(
        ["zsh", "-fc", ask], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    )
    assert (done.stdout, done.stderr) == ("dream real _worldmodels\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_scripts_are_written(shell, tmp_path):
    script = run_cli("completion", shell)
    assert script.returncode == 0
    assert "evaluate" in script.stdout
    assert script.stdout.startswith("#compdef worldmodels\n") or shell != "zsh"
    if shutil.which(shell):
        (tmp_path / "script").write_text(script.stdout)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], check=False).returncode == 0


WRONG = {
    "inspect toy --jsn x": "no flag '--jsn'; did you mean '--json'?; see 'worldmodels inspect --help'",
    "evaluate toy --episode 2": "no flag '--episode'; did you mean '--episodes'?; see 'worldmodels evaluate --help'",
    "play --env CartPole-v1": "no flag '--env'; see 'worldmodels play --help'",
    "plot": "TARGET is missing; see 'worldmodels plot --help'",
    "push a": "USER/REPO is missing; see 'worldmodels push --help'",
    "video toy": "--out is missing; see 'worldmodels video --help'",
    "train-vae --run": "--run has no value; see 'worldmodels train-vae --help'",
    "completion tcsh": "SHELL is 'tcsh'; expected one of bash, zsh, fish; see 'worldmodels completion --help'",
    "evaluate toy --world rael": "--world is 'rael'; expected one of dream, real; did you mean 'real'?; see 'worldmodels",
    "evaluate toy --episodes x": "--episodes is 'x'; expected a whole number; see 'worldmodels evaluate --help'",
    "evaluate toy --temperature x": "--temperature is 'x'; expected a number; see 'worldmodels evaluate --help'",
    "inspect toy more": "'more' is more than is taken; see 'worldmodels inspect --help'",
    "nope": "there is no command 'nope'; 'worldmodels help' names all",
    "evaluate take-covr": "take-covr: no such folder and no such task; did you mean 'take-cover'?; give a run",
    "--quiet tasks --verbose": "--quiet and --verbose are two; give one of them",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_in_our_words(words, capsys):
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"worldmodels: {WRONG[words]}")
    assert said.count("\n") == 1


def test_a_name_that_is_like_no_run_gets_none(tmp_path, monkeypatch, capsys):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    for target, near in {"carracing": "car-racing", "runs/mien": "runs/mine"}.items():
        assert main(["inspect", target]) == 2
        assert f"did you mean '{near}'?" in capsys.readouterr().err
    assert main(["inspect", "nowhere"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_help_and_loudness_wherever_they_are_said(capsys):
    for words in (["help", "help"], ["help", "--help"], ["--help"]):
        assert main(words) == 0
        assert "usage: worldmodels COMMAND" in capsys.readouterr().out
    assert main(["--quiet", "tasks"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert len({re.match(r"\S* +", line).end() for line in said.splitlines()}) == 1
    for words in (["help", "export"], ["export", "--help"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert re.match(r"[A-Z].*\.\n\nusage: worldmodels export web TARGET ... --out OUT \[flags\]\n", said)
        assert said.rstrip().endswith(COMMON.splitlines()[-1])


def test_tasks_whose_package_is_absent_are_listed_with_the_mend(capsys, monkeypatch):
    main(["tasks"])
    why = f"the task 'chess' is not there: chess is not installed; {how_to_install('chess')}"
    monkeypatch.setitem(plugins._broken, "chess", why)
    capsys.readouterr()
    assert main(["tasks"]) == 0
    assert why in " ".join(capsys.readouterr().out.split())


def test_tasks_in_a_prompt_are_short():
    assert max(len(repr(task)) for task in worldmodels.tasks().values()) < 200


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


def test_every_table_is_completed(capsys):
    assert main(["completion", "bash"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith('"table") found=')]
    assert set(line.split('"')[3].split()) == {*TABLES, DEPARTURES, ROBUSTNESS, TRANSFER, DROPOUT, CURIOSITY}
