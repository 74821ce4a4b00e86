"""Compiled loops where their cache cannot be written, cannot be read, or is somebody else's."""

import contextlib
import os
import resource
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

import worldmodels

#: One of the compiled loops, and what has become of its cache.
LOOP = """
import numpy as np
from worldmodels.envs import area_resize
assert (area_resize.area_resize(np.full((90, 160, 3), 7, np.uint8), 64) == 7).all()
print(type(area_resize._resize._cache).__name__)
"""
#: What every command imports, and those that a dream and a race need.
PROGRAM = """
from worldmodels.cli import main
assert main(["--help"]) == 0
assert main(["tasks"]) == 0
import torch
from worldmodels.envs.car_racing import drawing
from worldmodels.models import controller_kernels, stepper_cpu as stepping
x = torch.ones(2, 5)
assert (controller_kernels.products(x, 3 * torch.ones(1, 4, 5), torch.zeros(2, dtype=torch.int64)) == 3).all()
"""
#: A user of no list, as in containers; without root's rights we are one ourselves, but for our home.
STRANGER = 54_321 if os.getuid() == 0 else os.getuid()
USER = {"user": STRANGER, "group": STRANGER, "extra_groups": []} if os.getuid() == 0 else {}


def outside(prefix, mode):
    """A folder outside the test's own, which is for its user's eyes alone."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(mode)
    return folder


@pytest.fixture
def package():
    """A copy of the package that nobody but root may write to."""
    folder = outside("worldmodels-package-", 0o755)
    shutil.copytree(Path(worldmodels.__file__).parent, folder / "worldmodels", ignore=shutil.ignore_patterns("__pycache__"))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def temporary():
    """A temporary folder like /tmp: anybody's, but what is in it is its owner's."""
    folder = outside("worldmodels-test-", 0o1777)
    yield folder
    shutil.rmtree(folder)


def strangers_python():
    """A Python that the other user may start, and the folder of this one's packages."""
    packages = sysconfig.get_paths()["purelib"]
    env = {"PYTHONPATH": packages, "PATH": os.environ["PATH"]}
    for python in (sys.executable, shutil.which(f"python3.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")):
        with contextlib.suppress(PermissionError):
            if python is not None:
                done = subprocess.run(
                    [python, "-c", "import torch"], env=env, check=False, capture_output=True, cwd="/", **USER
                )
                if done.returncode == 0:
                    return python, packages
    pytest.skip("another user can start no Python here")


def run_as_stranger(script, package, temporary):
    python, packages = strangers_python()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{package}:{packages}", "HOME": "/nonexistent", "TMPDIR": str(temporary)}
    command = [python, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env, cwd="/", **USER)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_package_of_roots_works_for_a_user_without_a_home(package, temporary):
    run_as_stranger(PROGRAM + LOOP, package, temporary)
    own = temporary / f"worldmodels-numba-{STRANGER}"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    kept = {path: path.stat().st_mtime_ns for path in own.rglob("*.nbc")}
    assert len(kept) >= 2
    run_as_stranger(PROGRAM + LOOP, package, temporary)
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*.nbc")} == kept


@pytest.mark.parametrize("what", ["anybody may write to it", "a link", "somebody else's", "no folder"])
def test_a_temporary_folder_that_is_not_its_own_is_not_trusted(package, temporary, what):
    """Numba unpickles what it finds there."""
    own = temporary / f"worldmodels-numba-{STRANGER}"
    if what == "a link":
        (temporary / "elsewhere").mkdir()
        own.symlink_to(temporary / "elsewhere")
    elif what == "no folder":
        own.write_text("")
    else:
        own.mkdir()
        own.chmod(0o777 if what == "anybody may write to it" else 0o700)
    if os.getuid() == 0 and what != "somebody else's":
        os.chown(own, STRANGER, STRANGER, follow_symlinks=False)
    elif what == "somebody else's" and os.getuid() != 0:
        pytest.skip("only root can make one")
    assert "NullCache" in run_as_stranger(LOOP, package, temporary)
    assert not list(temporary.rglob("*.nbc"))


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "nonsense", "cut"])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_cache_is_compiled_anew(tmp_path, kind, damage):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def play():
        return subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, check=False, timeout=120, env=env)

    assert play().returncode == 0
    (file,) = tmp_path.rglob(f"*.{kind}")
    file.write_bytes(file.read_bytes()[:-20] if damage is None else damage)
    done = play()
    assert done.returncode == 0, done.stderr


def test_a_cache_that_cannot_grow_is_done_without(tmp_path):
    """Files may not grow, as on a full disk: the folder is there and takes new files, but nothing can be written to them."""

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-B", "-c", LOOP]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env, preexec_fn=full)
    assert done.returncode == 0, done.stderr
