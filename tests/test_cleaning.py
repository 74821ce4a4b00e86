"""`worldmodels clean`: says what it would free, asks, and keeps what is looked at, scored and played."""

import json
import os
import pty
import shutil
import subprocess
import sys

import pytest

from worldmodels.cli import main

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


@pytest.mark.parametrize(("answer", "gone"), [("n", False), ("", False), ("y", True)])
def test_it_asks(toy_copy, answer, gone):
    """On a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worldmodels", "clean", str(toy_copy)]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        os.write(ours, f"{answer}\n".encode())
        said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "take it out? [y/N]" in said
    assert (toy_copy / "episodes").exists() != gone
    assert process.returncode == (0 if gone else 2)


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


def test_all_rounds_are_cleaned_or_none(toy_run, tmp_path, capsys):
    for number in range(2):
        shutil.copytree(toy_run, tmp_path / "rounds" / f"round-{number}")
    (tmp_path / "rounds" / "round-1" / "controller" / "DONE").unlink()
    assert main(["clean", str(tmp_path / "rounds"), "--yes"]) == 2
    assert (tmp_path / "rounds" / "round-0" / "episodes").exists()
    shutil.rmtree(tmp_path / "rounds" / "round-1")
    assert main(["clean", str(tmp_path / "rounds"), "--yes"]) == 0
    assert not (tmp_path / "rounds" / "round-0" / "episodes").exists()


def test_a_model_alone_has_nothing_to_free(capsys):
    assert main(["clean", "car-racing", "--yes"]) == 2
    assert "a model alone" in capsys.readouterr().err
