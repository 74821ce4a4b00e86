"""Every picture of a run: what is there is drawn, always as the same bytes."""

import shutil

import numpy as np
import pytest
from PIL import Image

from worldmodels.cli import main
from worldmodels.plots.evolution import draw_curve
from worldmodels.runs.run import Run

EARLY = {"vae-losses", "reconstructions", "traversals"}
ALL = EARLY | {"rnn-losses", "curve", "scores"}  # the toy's episodes are too short to leave M alone in


@pytest.mark.parametrize(("missing", "drawn"), [((), ALL), (("rnn", "latents", "controller", "model", "evaluation"), EARLY)])
def test_what_is_there_is_drawn(toy_copy, missing, drawn, capsys):
    for name in missing:
        shutil.rmtree(toy_copy / name)
    assert main(["plot", str(toy_copy)]) == 0
    files = sorted((toy_copy / "plots").iterdir())
    assert {path.stem for path in files} == drawn
    assert capsys.readouterr().out.split() == [str(path) for path in map(str, capsys_order(toy_copy, files))]
    for path in files:
        if path.suffix == ".png":
            picture = np.asarray(Image.open(path).convert("L"))
            assert picture.shape[0] > 150
            assert picture.std() > 5, path
        else:
            assert path.read_text().startswith("<?xml")


def capsys_order(run, files):
    """The order of drawing: the losses first, PNG before SVG."""
    names = ["vae-losses", "rnn-losses", "curve", "scores", "reconstructions", "traversals"]
    return sorted(files, key=lambda path: (names.index(path.stem), path.suffix))


def test_the_same_run_gives_the_same_bytes(toy_run, tmp_path):
    for name in ("a", "b"):
        assert main(["plot", str(toy_run), "--out", str(tmp_path / name)]) == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_the_curve_shows_the_history(toy_run):
    figure = draw_curve(Run.open(toy_run))
    by_generation, by_hours = figure.axes
    for axis in (by_generation, by_hours):
        lines = {line.get_label(): line for line in axis.lines}
        assert len(lines["population, mean"].get_xdata()) == 4
        best = lines["best so far"].get_ydata()
        assert (np.diff(best) >= 0).all()
        assert "original's log, 64 cores" not in lines  # the original never played this
    assert list(by_generation.lines[0].get_xdata()) == [1, 2, 3, 4]


def test_nothing_to_draw_yet(tmp_path, toy_run, capsys):
    (tmp_path / "config.json").write_bytes((toy_run / "config.json").read_bytes())
    assert main(["plot", str(tmp_path)]) == 2
    assert "nothing to draw yet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_tensorboard_shows_the_same_while_training(toy_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for stage in ("vae", "rnn", "controller"):
        events = EventAccumulator(str(toy_run / "tensorboard" / stage))
        events.Reload()
        tags = events.Tags()
        found[stage] = {*tags["scalars"], *tags["images"]}
        for tag in tags["images"]:
            picture = events.Images(tag)[-1]
            assert (picture.height, picture.width) == (128, 640)
    assert {"vae/recon_loss", "vae/held_out_recon_loss", "vae/reconstructions"} <= found["vae"]
    assert {"rnn/nll", "rnn/held_out_nll", "rnn/done_loss"} <= found["rnn"]
    assert {"controller/mean", "controller/max", "controller/score"} <= found["controller"]
