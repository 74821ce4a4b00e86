"""`worldmodels clean`: says what it would free, asks, and keeps what is looked at, scored and played."""

import json
import os
import pty
import shutil
import subprocess
import sys
import time

import pytest
from test_interrupt import take_terminal

from worldmodels.cli import main
from worldmodels.diagnostics.inspection import inspect_path
from worldmodels.runs.lock import RunLock

GONE = ["episodes", "latents", "vae/training_state", "rnn/training_state"]


def files_of(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def size_of(path):
    return sum(len(data) for data in files_of(path).values())


def test_a_cleaned_run_still_plays_and_scores(toy_copy, tmp_path, capsys):
    before = files_of(toy_copy)
    assert main(["evaluate", str(toy_copy), "--episodes", "4", "--json", str(tmp_path / "before.json")]) == 0
    freed = sum(size_of(toy_copy / name) for name in GONE)
    assert main(["clean", str(toy_copy), "--yes", "--json", str(tmp_path / "clean.json")]) == 0
    assert f"freed {freed / 1e6:,.1f} MB" in capsys.readouterr().out
    assert json.loads((tmp_path / "clean.json").read_text())["bytes"] == freed
    assert all(not (toy_copy / name).exists() for name in GONE)
    kept = {name: data for name, data in before.items() if not name.startswith(tuple(f"{gone}/" for gone in GONE))}
    assert files_of(toy_copy) == kept
    assert main(["evaluate", str(toy_copy), "--episodes", "4", "--json", str(tmp_path / "after.json")]) == 0
    assert (tmp_path / "before.json").read_bytes() == (tmp_path / "after.json").read_bytes()
    assert main(["video", str(toy_copy), "--steps", "3", "--out", str(tmp_path / "v.gif")]) == 0
    assert main(["inspect", str(toy_copy)]) == 0
    assert "nothing wrong found" in capsys.readouterr().out
    facts = inspect_path(toy_copy)
    assert facts["stages"]["collect"]["state"] == facts["stages"]["encode"]["state"] == "cleaned"
    assert "kept" in facts["cleaned"]
    assert "next" not in facts
    assert main(["plot", str(toy_copy)]) == 0
    drawn = {path.stem for path in (toy_copy / "plots").iterdir()}
    assert {"vae-losses", "rnn-losses", "curve", "scores", "traversals", "summary", "report"} == drawn
    assert "<td>cleaned</td>" in (toy_copy / "plots" / "report.html").read_text()
    capsys.readouterr()
    assert main(["fidelity", str(toy_copy)]) == 2
    assert "was taken out by 'worldmodels clean'" in capsys.readouterr().err
    assert main(["clean", str(toy_copy), "--yes"]) == 0  # nothing is left to take out
    assert "freed 0.0 MB" in capsys.readouterr().out


def test_nobody_to_ask_takes_nothing(toy_copy):
    before = files_of(toy_copy)
    command = [sys.executable, "-m", "worldmodels", "clean", str(toy_copy)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert f"{toy_copy / 'episodes'}" in done.stdout
    assert files_of(toy_copy) == before


@pytest.mark.parametrize(("answer", "gone"), [("n\n", False), ("\x04", False), ("\x03", False), ("y\n", True)])
def test_it_asks(toy_copy, answer, gone):
    """On a terminal of its own; also where it is answered by Ctrl-D or Ctrl-C, once it has asked."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worldmodels", "clean", str(toy_copy)]
    pipes = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "preexec_fn": take_terminal}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        said = b""
        while b"[y/N]" not in said:
            said += os.read(process.stdout.fileno(), 1000)
        time.sleep(0.5)  # a signal between the question and the reading of its answer is seen after the answer alone
        os.write(ours, answer.encode())
        try:
            said = (said + process.communicate(timeout=60)[0]).decode()
        finally:
            process.kill()
    os.close(ours)
    os.close(theirs)
    assert "take it out? [y/N]" in said
    assert (toy_copy / "episodes").exists() != gone
    assert process.returncode == (0 if gone else 2)
    assert gone or said.endswith("worldmodels: clean: nothing was taken out\n")


def test_a_run_that_is_not_finished_is_left_alone(toy_copy, capsys):
    (toy_copy / "controller" / "DONE").unlink()
    before = files_of(toy_copy)
    assert main(["clean", str(toy_copy), "--yes"]) == 2
    assert "not finished" in capsys.readouterr().err
    assert files_of(toy_copy) == before


def test_what_another_run_shares_frees_nothing(toy_copy, tmp_path, capsys):
    shutil.copytree(toy_copy / "episodes", tmp_path / "linked", copy_function=os.link)
    freed = sum(size_of(toy_copy / name) for name in GONE[1:])
    assert main(["clean", str(toy_copy), "--yes", "--json", str(tmp_path / "clean.json")]) == 0
    assert json.loads((tmp_path / "clean.json").read_text())["bytes"] == freed
    assert size_of(tmp_path / "linked") > 0


def test_of_a_link_the_link_alone_is_taken_out(toy_copy, tmp_path, capsys):
    """What it leads to may be others'; a stage's folder that is a link is refused before anything is touched."""
    (toy_copy / "episodes").rename(tmp_path / "elsewhere")
    (toy_copy / "episodes").symlink_to(tmp_path / "elsewhere")
    (toy_copy / "vae").rename(tmp_path / "vae")
    (toy_copy / "vae").symlink_to(tmp_path / "vae")
    before = files_of(tmp_path)
    assert main(["clean", str(toy_copy), "--yes"]) == 2
    assert f"{toy_copy / 'vae'} is a link to" in capsys.readouterr().err
    assert files_of(tmp_path) == before
    (toy_copy / "vae").unlink()
    (tmp_path / "vae").rename(toy_copy / "vae")
    kept = files_of(tmp_path / "elsewhere")
    freed = sum(size_of(toy_copy / name) for name in GONE[1:])
    assert main(["clean", str(toy_copy), "--yes", "--json", str(tmp_path / "clean.json")]) == 0
    assert json.loads((tmp_path / "clean.json").read_text())["bytes"] == freed
    assert not (toy_copy / "episodes").is_symlink()
    assert files_of(tmp_path / "elsewhere") == kept


def test_a_run_in_use_is_left_alone(toy_copy, capsys):
    with RunLock(toy_copy):
        assert main(["clean", str(toy_copy), "--yes"]) == 2
    assert capsys.readouterr().err.rstrip().endswith("; wait for it, or stop it")


def test_all_rounds_are_cleaned_or_none(toy_run, tmp_path, capsys):
    for number in range(2):
        shutil.copytree(toy_run, tmp_path / "rounds" / f"round-{number}")
    (tmp_path / "rounds" / "round-1" / "controller" / "DONE").unlink()
    assert main(["clean", str(tmp_path / "rounds"), "--yes"]) == 2
    assert (tmp_path / "rounds" / "round-0" / "episodes").exists()
    (tmp_path / "rounds" / "round-1").rename(tmp_path / "rounds" / "round-x")  # none of them
    assert main(["clean", str(tmp_path / "rounds"), "--yes"]) == 0
    assert not (tmp_path / "rounds" / "round-0" / "episodes").exists()


def test_a_model_alone_has_nothing_to_free(capsys):
    assert main(["clean", "car-racing", "--yes"]) == 2
    assert "a model alone" in capsys.readouterr().err
