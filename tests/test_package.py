"""The built wheel, in an empty environment in a folder with spaces and umlauts: it plays, opens the window, exports the page.

The environment has the wheel of its own and the dependencies of the tests, behind it: what is missing in the wheel is missing.
"""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import of_a_release
from test_viewer_display import display, needs_display, press_key, screen_of, server, wait_for

import worldmodels

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "src" / "worldmodels" / "web" / "static"
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="an installed package has no sources")
__all__ = ["display", "server"]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The program of an environment that the wheel was installed into, and the folder that it is called in."""
    folder = tmp_path_factory.mktemp("Ordner mit Ümläuten")
    home = folder / "die Umgebung"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    done = subprocess.run(command, env=surroundings(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [site] = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return home / "bin" / "worldmodels", folder


def surroundings(**more):
    """The environment's variables, without what leads to these sources."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


def call(installed, *args):
    program, folder = installed
    command = [str(program), *args]
    return subprocess.run(command, cwd=folder, env=surroundings(), capture_output=True, text=True, timeout=300, check=False)


def test_what_the_wheel_holds(wheel):
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        metadata = content.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    tops = {name.split("/")[0] for name in names}
    version = worldmodels.__version__
    assert tops == {"worldmodels", "worldmodels_program.py", f"worldmodels_vmc-{version}.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", ".pkl", ".pt"))]
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "worldmodels").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= set(names), sorted(sources - set(names))
    assert f"Version: {version}\n" in metadata


def test_it_is_the_wheels_own_package(installed):
    program, folder = installed
    code = "import worldmodels; print(worldmodels.__file__)"
    done = subprocess.run(
        [program.parent / "python", "-c", code], cwd=folder, env=surroundings(), capture_output=True, text=True
    )
    assert Path(done.stdout.strip()).is_relative_to(program.parent.parent), done.stderr


@pytest.mark.parametrize("task", ["take-cover", pytest.param("car-racing", marks=of_a_release)])
def test_it_plays_a_shipped_agent(installed, task):
    done = call(
        installed, "evaluate", task, "--episodes", "1", "--num-workers", "1", "--world", "real", "--json", "Ergebnis ö.json"
    )
    assert done.returncode == 0, done.stderr
    assert re.match(rf"{task}, real, trained: \d+\.\d over 1 episode\n", done.stdout)
    assert (installed[1] / "Ergebnis ö.json").exists()


@of_a_release
@pytest.mark.skipif(not (STATIC / "index.html").exists(), reason="'make page' builds the page")
def test_it_exports_the_page(installed):
    done = call(installed, "export", "web", "car-racing", "take-cover", "--out", "die Seite")
    assert done.returncode == 0, done.stderr
    assert (installed[1] / "die Seite" / "index.html").exists()


@needs_display
def test_it_opens_the_window(installed, display):
    program, folder = installed
    env = surroundings(DISPLAY=display)
    process = subprocess.Popen(
        [program, "watch", "take-cover", "--world", "dream"], cwd=folder, env=env, stderr=subprocess.PIPE
    )
    try:
        wait_for(lambda: process.poll() is not None or screen_of(display).max() > 200, "the window")
        assert process.poll() is None, process.stderr.read()
        press_key("q", env)
        _, wrong = process.communicate(timeout=120)
        assert (process.returncode, wrong) == (0, b"")
    finally:
        process.kill()
        process.wait()
