"""The table of what each departure from the original is worth: its rows, what they share, and going on."""

import dataclasses
import itertools
import json
import shutil

import pytest

import worldmodels as wm
from worldmodels.cli import main
from worldmodels.envs.registry import get_task
from worldmodels.experiments.departures import departure_rows


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("task", [name for name, task in wm.tasks().items() if task.departures and not name.startswith("toy")])
def test_the_way_begins_at_one_recipe_and_ends_at_the_other(task, scale):
    rows = list(departure_rows(get_task(task), scale))
    first, last, after = rows[0], rows[-2], rows[-1]
    assert first.preset == get_task(task).preset(scale, "original")
    assert last.preset == get_task(task).preset(scale)
    assert after.is_round
    assert after.preset.collect.policy == "agent"
    assert len({row.name for row in rows}) == len(rows) > 2
    assert all(one.preset != other.preset for one, other in itertools.pairwise(rows))


def test_a_share_is_of_the_episodes_and_of_the_steps_of_v_and_m():
    rows = list(departure_rows(get_task("take-cover"), "laptop", share=0.1))
    sizes = [(row.preset.collect.num_episodes, row.preset.vae.num_steps, row.preset.rnn.num_steps) for row in rows]
    assert sizes == [(700, 1400, 700)] * len(rows)
    assert [row.preset.encode.mirror_episodes for row in rows] == [0, 0, 0, 700, 700, 700, 700]
    assert rows[5].preset.controller == get_task("take-cover").preset("laptop").controller


def test_steps_end_each_evolution_and_change_nothing_else():
    task = get_task("take-cover")
    for plain, row in zip(departure_rows(task, "laptop"), departure_rows(task, "laptop", max_steps=9), strict=True):
        evolved = plain.preset.controller.num_generations > 0
        controller = dataclasses.replace(plain.preset.controller, max_steps=9) if evolved else plain.preset.controller
        assert row.preset == dataclasses.replace(plain.preset, controller=controller)


@pytest.fixture(scope="module")
def departures(tmp_path_factory):
    path = tmp_path_factory.mktemp("departures") / "table"
    assert main(["table", "departures", "--model", "toy-walls", "--episodes", "5", "--run", str(path)]) == 0
    return path


def test_each_row_has_one_change_more(departures):
    result = json.loads((departures / "table.json").read_text())
    assert [row["row"] for row in result["rows"]] == ["0-original", "1-hits", "2-search", "3-round"]
    assert [row["real"]["num_episodes"] for row in result["rows"]] == [5] * 4
    original, hits, search, after = (departures / row["row"] for row in result["rows"])
    for shared in ("episodes/DONE", "vae/model.safetensors", "latents/mu.npy"):
        assert (original / shared).samefile(hits / shared)
    assert not (original / "rnn" / "model.safetensors").samefile(hits / "rnn" / "model.safetensors")
    assert (hits / "rnn" / "model.safetensors").samefile(search / "rnn" / "model.safetensors")
    assert json.loads((after / "config.json").read_text())["previous"] == "../2-search"
    text = (departures / "table.md").read_text()
    assert "| + M learns hits |" in text
    assert "| random policy |" in text
    assert (departures / "table.png").stat().st_size > 5000


def test_it_goes_on_where_it_stopped(departures, tmp_path):
    """What was cut off, and what was never begun, end with the same bytes."""
    path = shutil.copytree(departures, tmp_path / "table")
    shutil.rmtree(path / "3-round")
    for name in ("controller", "model", "evaluation"):
        shutil.rmtree(path / "1-hits" / name)
    assert main(["table", "departures", "--model", "toy-walls", "--episodes", "5", "--run", str(path)]) == 0
    for name in ("1-hits", "2-search", "3-round"):
        for part in ("vae", "rnn", "controller"):
            file = f"{name}/model/{part}.safetensors"
            assert (path / file).read_bytes() == (departures / file).read_bytes()
    before, after = (json.loads((folder / "table.json").read_text())["rows"] for folder in (departures, path))
    assert [{**row, "seconds": 0} for row in before] == [{**row, "seconds": 0} for row in after]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ppo-iterations", "9", "--fast"], "table departures: takes no --ppo-iterations and no --fast; leave it out"),
        (["--share", "2"], "share is 2.0; it must lie between 0.001 and 1"),
        (["--model", "health-gathering"], "health-gathering: has no recipe 'original' to depart from"),
    ],
)
def test_what_it_does_not_take_is_said(words, said, tmp_path, capsys):
    assert main(["table", "departures", "--model", "toy-walls", "--run", str(tmp_path / "new"), *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()
