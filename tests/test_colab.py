"""The notebook for Colab, from its first cell to its last, on the wheel that it installs itself."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from conftest import of_a_release
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "colab.ipynb"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python that has all that the package needs, and not the package."""
    folder = tmp_path_factory.mktemp("environment")
    needed = folder / "needed"
    needed.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "worldmodels" not in path.name:
            (needed / path.name).symlink_to(path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    program = folder / "venv" / "bin" / "python"
    asked = [program, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "needed.pth").write_text(f"{needed}\n")
    return program


@of_a_release
def test_it_runs_from_top_to_bottom(wheel, python, tmp_path, monkeypatch):
    kernel = tmp_path / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    programs = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    settings = {"WORLDMODELS_SOURCE": str(wheel), "WORLDMODELS_SMALL": "1", "PYTHONPATH": "", "PATH": programs}
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    facts = {"argv": argv, "display_name": "colab", "language": "python", "env": settings | offline}
    (kernel / "kernel.json").write_text(json.dumps(facts))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    place = tmp_path / "content"
    place.mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="colab", resources={"metadata": {"path": str(place)}}).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.data for output in outputs if output.output_type == "display_data"]
    assert sum("text/html" in data and "<video" in data["text/html"] for data in shown) == 3
    assert sum("image/png" in data for data in shown) == 1
    score = json.loads((place / "score.json").read_text())
    assert (score["world"], score["num_episodes"]) == ("real", 2)
    asked = [python, "-c", "import worldmodels; print(worldmodels.__file__)"]
    done = subprocess.run(asked, cwd=place, env=os.environ | {"PYTHONPATH": ""}, check=True, capture_output=True, text=True)
    assert Path(done.stdout.strip()).is_relative_to(python.parents[1])


def test_it_is_kept_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")
