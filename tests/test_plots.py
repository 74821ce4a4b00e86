"""Every picture of a run: what is there is drawn, always as the same bytes, and no word lies on another."""

import json
import re
import shlex
import shutil
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from benchmarks.browser import browsing, chromium
from tools import draw, progress
from worldmodels import plots
from worldmodels.agent.load import load
from worldmodels.cli import main
from worldmodels.plots import curiosity, fidelity, page, style, summary, table
from worldmodels.plots.evolution import draw_curve
from worldmodels.runs.run import Run

EARLY = {"vae-losses", "reconstructions", "traversals", "summary", "report"}
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
        elif path.suffix == ".html":
            assert ("not begun" in path.read_text()) == bool(missing)
        else:
            assert path.read_text().startswith("<?xml")


def capsys_order(run, files):
    """The order of drawing: the losses first, PNG before SVG."""
    names = ["vae-losses", "rnn-losses", "curve", "scores", "reconstructions", "traversals", "summary", "report"]
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


def test_a_single_generation_is_seen(toy_copy):
    """No line has one point; and the ticks of a few seconds, in hours, do not lie on one another."""
    for name in ("history.jsonl", "scores.jsonl"):
        path = toy_copy / "controller" / name
        rows = [json.loads(line) | {"generation": 1, "elapsed_seconds": 0.4} for line in path.open()]
        path.write_text(json.dumps(rows[0]) + "\n")
    figure = draw_curve(Run.open(toy_copy))
    figure.draw(FigureCanvasAgg(figure).get_renderer())
    for axis in figure.axes:
        assert all(line.get_marker() not in ("None", "") for line in axis.lines if line.get_label().startswith(("pop", "best")))
        assert any(collection.get_label() == "population, least to most" for collection in axis.collections)
        words = [label.get_window_extent() for label in axis.get_xticklabels() if label.get_text()]
        assert not [1 for one, two in combinations(words, 2) if Bbox.intersection(one, two)]


def test_a_page_offers_what_works(toy_copy, tmp_path, monkeypatch):
    """Its commands are called as they stand, in the folder that the page was made in or the one that holds the run."""
    named = tmp_path / "runs" / "ru <b>\u2603 &'n\""
    named.parent.mkdir()
    toy_copy.rename(named)
    monkeypatch.chdir(tmp_path)
    relative = named.relative_to(tmp_path)

    def offered(target):
        run = Run.open(target)
        lines = page._commands(plots.shown_run(run, load(target, finished=False)))
        return [shlex.split(line) for line in lines if not line.startswith("#")]

    whole = offered(relative)
    assert [words[1] for words in whole] == ["reproduce", "watch", "play", "video", "evaluate"]
    assert all(str(relative) in words for words in whole)
    assert all(named.name in words for words in offered(named))
    assert main([*whole[3][1:], "--steps", "2"]) == 0
    (named / "controller").rename(tmp_path / "controller")
    shutil.rmtree(named / "model")
    shutil.rmtree(named / "evaluation")
    assert "half-trained: V and M so far" in summary.headline(plots.shown_run(Run.open(named), load(named, finished=False)))
    assert [words[1] for words in offered(relative)] == ["reproduce", "play"]
    shutil.rmtree(named / "rnn")
    assert "half-trained: V so far" in summary.headline(plots.shown_run(Run.open(named), load(named, finished=False)))
    assert [words[1] for words in offered(relative)] == ["reproduce"]


def test_nothing_to_draw_yet(tmp_path, toy_run, capsys):
    (tmp_path / "config.json").write_bytes((toy_run / "config.json").read_bytes())
    assert main(["plot", str(tmp_path)]) == 2
    assert "nothing to draw yet; 'worldmodels collect --run " in capsys.readouterr().err
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


def test_the_page_stands_alone(toy_copy):
    """Opened in a browser it asks nobody for anything, and all of its pictures and its video are there."""
    if chromium() is None:
        pytest.skip("the page is looked at in Chromium")
    assert main(["plot", str(toy_copy)]) == 0
    page_path = toy_copy.rename(toy_copy.with_name("moved")) / "plots" / "report.html"
    words = page_path.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", words)
    assert str(toy_copy.parent) not in words  # nothing of where it was made
    with browsing() as browser:
        shown, asked, said = browser.new_page(), [], []
        shown.on("request", lambda request: asked.append(request.url.split(":")[0]))
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.goto(page_path.as_uri())
        shown.wait_for_load_state("networkidle")
        widths = shown.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert shown.evaluate("document.querySelector('video').error") is None
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        fidelity = page_path.parents[1] / "evaluation" / "fidelity.png"  # there where another test has compared the worlds
        assert len(widths) == len(list(page_path.parent.glob("*.png"))) + fidelity.exists()
        assert min(widths) > 300
        assert shown.locator("pre").inner_text().count("worldmodels ") == 5
    assert said == []
    assert asked.count("file") == 1
    assert set(asked) <= {"file", "data"}


def test_a_model_alone_has_a_summary_and_a_page(toy_run, tmp_path):
    assert main(["plot", str(toy_run / "model"), "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.glob("*[!g]")} >= {"report.html"}
    assert (tmp_path / "summary.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def all_pictures(toy_run, tmp_path_factory):
    """Every committed picture that is drawn from JSON files and every one of a run, by name."""
    drawn, folder = {}, tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        for module in (draw, progress, fidelity, table, curiosity):
            patch.setattr(module, "save", lambda figure, path: drawn.update({str(path.relative_to(folder)): figure}))
        for name, make in draw.PICTURES.items():
            make(folder / name)
    run, agent = Run.open(toy_run), load(toy_run)
    drawn |= {name: figure for name, figure in plots.figures(run, agent) if figure is not None}
    drawn["summary"] = plots.draw_summary(plots.shown_run(run, agent))
    assert len(drawn) == len(draw.PICTURES) + len(ALL) - 1  # the page is no picture
    return drawn


def test_no_word_of_a_picture_lies_on_another(all_pictures, monkeypatch):
    words, draw_text = [], Text.draw

    def note(self, renderer):
        if self.get_visible() and self.get_text().strip():
            words.append((self.get_text(), self.get_window_extent(renderer), self.get_fontsize()))
        draw_text(self, renderer)

    monkeypatch.setattr(Text, "draw", note)
    for name, figure in all_pictures.items():
        words.clear()
        figure.draw(FigureCanvasAgg(figure).get_renderer())
        assert words, name
        shared = [(a, b) for (a, one, _), (b, two, _) in combinations(words, 2) if Bbox.intersection(one.padded(-1), two)]
        assert not shared, (name, shared)
        # Half of its size on a page of 720 pixels, where a letter needs 10.
        assert min(size for _, _, size in words) >= 10, name


def test_every_chart_says_what_it_shows(all_pictures):
    """A title, and words on both axes, or on those of the charts that share them."""
    for name, figure in all_pictures.items():
        charts = [axis for axis in figure.axes if axis.lines or axis.patches]
        assert figure.get_suptitle() or all(axis.get_title(loc="left") for axis in figure.axes), name
        for axis in charts:
            for group, label in ((axis.get_shared_x_axes(), "get_xlabel"), (axis.get_shared_y_axes(), "get_ylabel")):
                found = [getattr(other, label)() for other in group.get_siblings(axis)]
                named = any(found) or axis.figure.get_supylabel() or any(t.get_text() for t in axis.get_yticklabels())
                assert named, (name, axis.get_title(loc="left"), label)


def test_colours_are_okabe_and_itos(all_pictures):
    """Whoever takes red for green tells all lines and bars apart; kinds of lines and marks differ beside."""
    known = {style.BLACK, style.GREY, style.ORANGE, style.SKY, style.GREEN, style.BLUE, style.VERMILION, style.PURPLE}
    for name, figure in all_pictures.items():
        charts = [axis for axis in figure.axes if axis.axison]
        used = {to_hex(line.get_color()).upper() for axis in charts for line in axis.lines}
        used |= {to_hex(bar.get_facecolor()).upper() for axis in charts for bar in axis.patches}
        assert used <= {colour.upper() for colour in known}, name
