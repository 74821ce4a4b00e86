"""Where results are written: into devices, pipes and what links lead to, not in their place; ``-`` is standard output."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import run_cli

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.files import write_bytes, written_beside
from worldmodels.cli import main


def read_pipe(path):
    """Reads a named pipe to its end in a thread; returns the thread and the list that gets the bytes."""
    found = []
    thread = threading.Thread(target=lambda: found.append(path.read_bytes()), daemon=True)
    thread.start()
    return thread, found


@pytest.mark.parametrize(
    ("name", "command", "beginning"),
    [
        ("pipe.json", ["tasks", "--json"], b"[\n"),
        ("pipe.gif", ["video", "RUN", "--world", "dream", "--steps", "4", "--out"], b"GIF8"),
        ("pipe.mp4", ["video", "RUN", "--world", "dream", "--steps", "4", "--out"], b"\0\0\0"),
    ],
)
def test_a_pipe_gets_it_and_stays_one(toy_run, tmp_path, name, command, beginning):
    pipe = tmp_path / name
    os.mkfifo(pipe)
    thread, found = read_pipe(pipe)
    assert main([str(toy_run) if word == "RUN" else word for word in [*command, str(pipe)]]) == 0
    thread.join(20)
    assert found[0].startswith(beginning)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_stays_one(toy_run, tmp_path):
    null = tmp_path / "null.json"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        null.write_text("")
    except OSError:
        pytest.skip("no devices may be made here")
    for command in (["tasks"], ["evaluate", str(toy_run), "--episodes", "2"], ["inspect", str(toy_run)]):
        assert main([*command, "--json", str(null)]) == 0
        assert stat.S_ISCHR(null.stat().st_mode)
        assert [path.name for path in tmp_path.iterdir()] == ["null.json"]  # nor an evaluation's episodes beside it


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path, there):
    place, links = tmp_path / "place", tmp_path / "links"
    place.mkdir()
    links.mkdir()
    target = place / "real.json"
    if there:
        target.write_text("old")
        target.chmod(0o600)
    (links / "b.json").symlink_to("../place/real.json")
    (links / "a.json").symlink_to("b.json")
    write_bytes(links / "a.json", b"new")
    assert target.read_bytes() == b"new"
    assert (links / "a.json").is_symlink()
    assert (links / "b.json").is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == (0o600 if there else 0o644)
    assert len(list(tmp_path.rglob("*"))) == 5


def test_links_in_a_circle_are_said(tmp_path, capsys):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(EnvironmentFailure, match="Too many levels"):
        write_bytes(tmp_path / "a", b"")
    assert main(["tasks", "--json", str(tmp_path / "a")]) == 2
    assert "cannot be written there" in capsys.readouterr().err


def test_what_fails_is_not_poured(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def fail():
        with written_beside(pipe) as temporary:
            temporary.write_bytes(b"half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()  # opening the pipe would wait for a reader for ever


def program(redirection, *words, cwd):
    """Runs the program by a shell, which redirects its streams."""
    line = '"$@" ' + redirection
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "worldmodels", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_by_its_path(tmp_path, place):
    """Through a pipe, and into a file to which the shell has written already and writes on."""
    piped = program("| cat", "tasks", "--json", place, cwd=tmp_path)
    assert "\ncar-racing" in piped.stdout
    assert json.loads(piped.stdout[piped.stdout.index("[\n") :])
    line = f'{{ echo before; "$@" --json {place}; echo after; }} > log'
    subprocess.run(["sh", "-c", line, "sh", sys.executable, "-m", "worldmodels", "tasks"], cwd=tmp_path, check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "]" in lines
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (["tasks"], "--json -"),
        (["tasks"], "--json=-"),
        (["inspect", "RUN"], "--json -"),
        (["evaluate", "RUN", "--episodes", "3"], "--json -"),
        (["fidelity", "RUN", "--real-episodes", "2", "--dream-episodes", "2", "--num-workers", "1"], "--json -"),
    ],
)
def test_a_dash_is_standard_output_and_nothing_else_is_there(toy_copy, tmp_path, command, flag):
    before = sorted(tmp_path.iterdir())
    words = [str(toy_copy) if word == "RUN" else word for word in command]
    done = run_cli(*words, *flag.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert done.stderr  # what people read
    assert sorted(tmp_path.iterdir()) == before


def test_a_stages_workers_do_not_write_among_the_results(tmp_path):
    command = ["collect", "--run", tmp_path / "run", "--task", "toy", "--scale", "smoke", "--num-workers", "2", "--json", "-"]
    done = run_cli(*command)
    assert json.loads(done.stdout)["stage"] == "collect"
    assert "a new run: task toy, scale smoke, seed 0" in done.stderr


def test_results_that_nobody_reads(tmp_path):
    done = program("--json - 2>err | true; echo", "tasks", cwd=tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in (tmp_path / "err").read_text()


@pytest.mark.parametrize(
    ("made", "message"),
    [("folder", "is a folder; name a file in it"), ("file/x.json", "file is a file; name a file in a folder")],
)
def test_a_folder_for_a_file_and_a_file_for_a_folder(tmp_path, capsys, made, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert main(["tasks", "--json", str(tmp_path / made)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["reproduce", "toy", "--run", "FILE"],
        ["iterate", "toy", "--run", "FILE/x"],
        ["collect", "--task", "toy", "--scale", "smoke", "--run", "FILE"],
        ["train-vae", "--run", "FILE"],
        ["evaluate", "FILE"],
        ["plot", "RUN", "--out", "FILE"],
        ["fidelity", "FILE/x"],
    ],
)
def test_a_file_in_place_of_a_folder_is_said(toy_run, tmp_path, capsys, command):
    file = tmp_path / "file"
    file.write_text("mine")
    words = [word.replace("FILE", str(file)).replace("RUN", str(toy_run)) for word in command]
    assert main(words) == 2
    assert capsys.readouterr().err == f"worldmodels: {file}: is a file; name a folder\n"
    assert Path(file).read_text() == "mine"
