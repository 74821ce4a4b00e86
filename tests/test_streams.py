"""What is said: on a terminal without our characters, to nobody, into a closed stream. The work goes on and nothing is lost."""

import json
import os
import subprocess
import sys

import pytest
from conftest import run_cli


def shell(line, *words, cwd=None):
    """Runs the program in place of ``"$@"`` in a line for the shell."""
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "worldmodels", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_results_are_kept_whatever_the_encoding(toy_run, tmp_path, encoding):
    """Of a τ, a ± and a file whose name is no text."""
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    found = tmp_path / "τ ± é.json"
    words = ["evaluate", toy_run, "--world", "dream", "--episodes", "3", "--json", found]
    done = subprocess.run([sys.executable, "-m", "worldmodels", *words], capture_output=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(found.read_text())["num_episodes"] == 3
    assert ("+-" if encoding == "ascii" else "±").encode(encoding) in done.stdout
    words = ["inspect", os.fsencode(tmp_path) + b"/\xff"]
    broken = subprocess.run([sys.executable, "-m", "worldmodels", *words], capture_output=True, check=False, env=env)
    assert broken.returncode == 2
    assert rb"/\xff: no such folder" in broken.stderr


def test_a_whole_experiment_on_a_terminal_without_unicode(tmp_path):
    env = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = run_cli("reproduce", "toy", "--run", tmp_path / "run", "--json", tmp_path / "x.json", env=env)
    assert done.returncode == 0, done.stderr
    assert "dream, tau 1.15" in done.stdout
    assert json.loads((tmp_path / "x.json").read_text())["task"] == "toy"


@pytest.mark.parametrize("words", [["--help"], ["tasks"], ["evaluate", "--help"], ["inspect", "RUN"]])
def test_a_reader_that_has_seen_enough(toy_run, words):
    words = [str(toy_run) if word == "RUN" else word for word in words]
    done = shell('"$@" | head -c 1; exit ${PIPESTATUS[0]}', *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) == 1
    gone = shell('"$@" | true; exit ${PIPESTATUS[0]}', *words)
    assert (gone.returncode, gone.stderr) == (0, "")


def test_work_goes_on_when_nobody_listens(tmp_path):
    """Standard error is a pipe without a reader, for the workers too; standard output is closed."""
    words = ["reproduce", "toy", "--run", tmp_path / "run"]
    done = shell('{ "$@" 2>&1 >&- ; echo $? > code; } | true', *words, cwd=tmp_path)
    assert done.stderr == ""
    assert (tmp_path / "code").read_text() == "0\n"
    assert (tmp_path / "run" / "evaluation" / "results.json").exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(toy_copy, tmp_path, closed):
    found = tmp_path / "x.json"
    done = shell(f'"$@" {closed}', "evaluate", toy_copy, "--episodes", "4", "--num-workers", "2", "--json", found)
    assert done.returncode == 0
    assert done.stderr in ("",) or "2>&-" not in closed
    assert json.loads(found.read_text())["num_episodes"] == 4
    if closed == "2>&-":
        assert len(done.stdout.splitlines()) == 1  # progress does not go to standard output instead
    refused = shell(f'"$@" {closed}', "evaluate", tmp_path / "nothing")
    assert refused.returncode == 2


def test_a_full_disk_behind_standard_output_is_said():
    done = shell('"$@" > /dev/full', "tasks")
    assert done.returncode == 4
    assert done.stderr == "worldmodels: standard output cannot be written (No space left on device)\n"


@pytest.mark.parametrize("verb", ["evaluate", "reproduce", "collect", "play", "video", "plot", "inspect", "table"])
def test_a_deleted_working_folder_is_said(verb, tmp_path):
    line = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    done = shell(line, verb, "take-cover", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr.startswith("worldmodels: the folder that this command was called in has been deleted; ")
    assert done.stderr.count("\n") == 1


def test_what_needs_no_working_folder(tmp_path):
    line = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    assert shell(line, "--help", cwd=tmp_path).returncode == 0
