"""A disk that is full, read-only or forbidden: one line, exit code 4, the old state intact, and afterwards it goes on.

The full disk is a real one: a small file system in memory, where the test may mount one; a limit on the size of files, which
everybody may set, stands in elsewhere.
"""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kill_loop import result_of

from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.runs.run import STAGES, VERBS


def mount(*arguments):
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A file system of 200 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None or not mount("-t", "tmpfs", "-o", "size=200m", "none", folder):
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder, room):
    """Fills a disk up to the last ``room`` bytes; returns the file that does it."""
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - room, 1))
    return filler


def begun(toy_run, folder, stage):
    """A copy of a run as it is before a stage."""
    run = folder / "run"
    later = list(STAGES)[list(STAGES).index(stage) :]
    gone = [*(STAGES[name] for name in later), "model", "evaluation", "tensorboard"]
    shutil.copytree(toy_run, run, ignore=lambda parent, names: gone if Path(parent) == toy_run else [])
    return run


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("stage", "room"), [*((stage, 0) for stage in STAGES), ("vae", 40_000)])
def test_a_full_disk(toy_run, disk, capfd, stage, room):
    run = begun(toy_run, disk, stage)
    filler = fill(disk, room)
    command = [VERBS[stage], "--run", str(run), *(["--num-workers", "1"] if stage == "collect" else [])]
    assert main(command) == 4
    err = capfd.readouterr().err
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert not (run / STAGES[stage] / "DONE").exists()
    filler.unlink()
    assert main(command) == 0
    found, expected = result_of(run), result_of(toy_run)
    done = [name for name in expected if name.startswith((f"{STAGES[stage]}/", "model/" if stage == "controller" else "-"))]
    assert {name: found.get(name) for name in done} == {name: expected[name] for name in done}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_fills_up_while_v_trains(toy_run, disk, capfd):
    """There is room for V's first state and not for a second one beside it: the first one stays whole."""
    run = begun(toy_run, disk, "vae")
    filler = fill(disk, 110_000_000)
    assert main(["train-vae", "--run", str(run)]) == 4
    err = capfd.readouterr().err
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert load_tensors(run / "vae" / "training_state" / "state.safetensors")
    assert list(run.rglob(".*.tmp*")) == []
    filler.unlink()
    assert main(["train-vae", "--run", str(run)]) == 0
    assert (run / "vae" / "DONE").read_bytes() == (toy_run / "vae" / "DONE").read_bytes()


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_video_on_a_full_disk(toy_run, disk, capfd, ending):
    fill(disk, 8192)
    assert main(["video", str(toy_run), "--steps", "100", "--out", str(disk / f"video.{ending}")]) == 4
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"worldmodels: {disk / f'video.{ending}'}: the video encoder failed (")
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_read_only_disk_is_found_at_the_start(toy_run, disk, capfd):
    run = begun(toy_run, disk, "vae")
    assert mount("-o", "remount,ro", disk)
    assert main(["train-vae", "--run", str(run)]) == 4
    err = capfd.readouterr().err
    assert err == f"worldmodels: {run}: cannot be written (Read-only file system)\n"
    assert main(["evaluate", str(toy_run), "--json", str(disk / "x.json")]) == 2
    assert "x.json: cannot be written there" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_found_at_the_start(toy_copy, capfd):
    toy_copy.chmod(0o555)
    try:
        assert main(["train-vae", "--run", str(toy_copy / "new")]) == 4
        assert "cannot be written (Permission denied)" in capfd.readouterr().err
    finally:
        toy_copy.chmod(0o755)


def test_a_file_that_may_not_grow(toy_copy):
    """Anybody may limit the size of their own files: V's state does not fit."""
    shutil.rmtree(toy_copy / "vae")
    program = [sys.executable, "-m", "worldmodels", "train-vae", "--run", str(toy_copy)]
    stopped = subprocess.run(
        program,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)),
    )
    assert stopped.returncode == 4
    assert "Traceback" not in stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert "cannot be written" in last
    assert "File too large" in last
    assert not (toy_copy / "vae" / "model.safetensors").exists()
    assert list((toy_copy / "vae").rglob(".*.tmp*")) == []
