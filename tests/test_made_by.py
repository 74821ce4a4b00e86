"""Every picture, notebook and measured file names what made it, and one that has gone stale is found."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools import draw, made_by

ROOT = Path(__file__).parent.parent


def test_nothing_here_is_stale_and_everything_has_a_row():
    assert made_by.faults(made_by.read()) == [], "run 'make figures'"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A small place of its own: a picture made from a measured file, and a notebook that shows both."""
    for folder in ("results", "docs", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "results/speed.json").write_text("[1]")
    (tmp_path / "results/speed.png").write_bytes(b"drawn")
    (tmp_path / "notebooks/speed.ipynb").write_text("{}")
    made_again = "python -c \"open('results/speed.png', 'w').write('drawn again')\""
    rows = {
        "results/speed.json": {"command": "make bench"},
        "results/speed.png": {"command": made_again, "inputs": {"results/speed.json": ""}},
        "notebooks/speed.ipynb": {"command": "false", "needs": "runs/gone", "inputs": {"results/speed.json": ""}},
    }
    monkeypatch.setattr(made_by, "ROOT", tmp_path)
    (tmp_path / made_by.MANIFEST).write_text(json.dumps(rows))
    made_by.record(rows)
    assert made_by.faults(made_by.read()) == []
    return tmp_path


def test_a_changed_input_makes_it_stale(copy):
    (copy / "results/speed.json").write_text("[2]")
    found = made_by.faults(made_by.read())
    assert [line.split(":")[0] for line in found] == ["results/speed.png", "notebooks/speed.ipynb"]
    assert all("results/speed.json has changed" in line for line in found)


def test_an_input_that_has_gone_makes_it_stale(copy):
    (copy / "results/speed.json").rename(copy / "results/other.md")
    assert sum("is stale" in line for line in made_by.faults(made_by.read())) == 2


@pytest.mark.parametrize("name", ["results/speed.png", "notebooks/speed.ipynb"])
def test_a_file_changed_by_hand_is_stale(copy, name):
    (copy / name).write_text("by hand")
    assert [line.split(":")[0] for line in made_by.faults(made_by.read())] == [name]


@pytest.mark.parametrize(
    "name", ["results/a.png", "docs/b.svg", "results/c.gif", "docs/d.mp4", "notebooks/e.ipynb", "results/f.json"]
)
def test_a_file_without_a_row_is_found(copy, name):
    (copy / name).write_text("new")
    (line,) = made_by.faults(made_by.read())
    assert line.startswith(f"{name}: has no row")


def test_a_row_without_its_file_is_found(copy):
    (copy / "notebooks/speed.ipynb").unlink()
    (line,) = made_by.faults(made_by.read())
    assert line.startswith("notebooks/speed.ipynb: is in results/made_by.json and no longer here")


def test_what_can_be_made_anew_is_and_the_rest_is_named(copy, capfd):
    (copy / "results/speed.json").write_text("[2]")
    assert made_by.remake() == 1
    assert (copy / "results/speed.png").read_text() == "drawn again"
    assert "notebooks/speed.ipynb: is stale" in capfd.readouterr().out
    (line,) = made_by.faults(made_by.read())
    assert line.startswith("notebooks/speed.ipynb")


@pytest.mark.parametrize("name", sorted(draw.PICTURES))
def test_a_picture_is_what_its_json_and_the_code_draw(name, tmp_path):
    """Also after the drawing code has changed, which no hash of the data tells."""
    draw.PICTURES[name](tmp_path / "new.png")
    old, new = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (draw.RESULTS / name, tmp_path / "new.png"))
    assert old.shape == new.shape, "run 'python -m tools.draw'"
    assert np.abs(old - new).mean() < 0.5, "run 'python -m tools.draw'"
