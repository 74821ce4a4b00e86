"""The table of what an agent is worth where its game looks otherwise: resumed, equal, and refused where it would mix."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from worldmodels.agent.load import load
from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.experiments.robustness import make_robustness, to_markdown


def state(path):
    found = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
    return {file.relative_to(path): (file.stat().st_mtime_ns, file.read_bytes()) for file in found}


@pytest.fixture(scope="module")
def command(toy_run):
    return ["table", "robustness", "--model", str(toy_run), "--episodes", "4", "--seed", "7", "--run"]


@pytest.fixture(scope="module")
def made(command, tmp_path_factory):
    path = tmp_path_factory.mktemp("robustness") / "table"
    assert main([*command, str(path)]) == 0
    return path


def test_a_row_is_what_evaluate_says_of_the_variant(made, toy_run, tmp_path):
    table = json.loads((made / "table.json").read_text())
    assert [row["row"] for row in table["rows"]] == ["plain", "walls"]
    assert [row["env"].get("variant") for row in table["rows"]] == [None, "walls"]
    for row in table["rows"]:
        look = ["--variant", "walls"] if row["row"] == "walls" else []
        asked = ["--episodes", "4", "--seed", "7", "--num-workers", "1", "--json", str(tmp_path / "e")]
        assert main(["evaluate", str(toy_run), *asked, *look]) == 0
        alone = json.loads((tmp_path / "e").read_text())
        assert alone["mean"] == row["real"]["mean"]
        assert alone["env"] == row["env"]
    assert table["rows"][0]["real"]["mean"] != table["rows"][1]["real"]["mean"]
    assert (made / "table.md").read_text() == to_markdown(table)
    assert (made / "table.png").stat().st_size > 5000


def test_an_agent_of_a_variant_is_scored_on_the_plain_game_too(made, toy_run, tmp_path):
    of_walls = make_robustness(load(toy_run).varied("walls"), tmp_path / "table", 4, 7)
    table = json.loads((made / "table.json").read_text())
    assert [row["real"] for row in of_walls["rows"]] == [row["real"] for row in table["rows"]]
    summary = table["rows"][1]["summary"]
    assert [row["summary"] for row in of_walls["rows"]] == ["the game itself", f"{summary}, as it was learned"]
    assert "of an agent that has learned walls." in to_markdown(of_walls)


def test_it_goes_on_where_it_stopped_and_a_finished_one_is_left_as_it_is(made, command, tmp_path):
    path = shutil.copytree(made, tmp_path / "table")
    whole = {name: content for name, (_, content) in state(path).items()}
    plain, row = state(path)[Path("plain.json")], json.loads((path / "walls.json").read_text())
    (path / "walls.json").unlink()
    (path / "table.json").unlink()
    assert main([*command, str(path)]) == 0
    after = state(path)
    assert {name: content for name, (_, content) in after.items()} == whole
    assert after[Path("plain.json")] == plain
    assert json.loads((path / "walls.json").read_text()) == row
    assert main([*command, str(path)]) == 0
    assert state(path) == after


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--episodes", "5"], "is of other settings, or of another model; give another folder"),
        (["--seed", "8"], "is of other settings, or of another model; give another folder"),
        (["--num-generations", "3"], "table robustness: takes no --num-generations; leave it out"),
        (["--scale", "laptop"], "table robustness: takes no --scale; leave it out"),
    ],
)
def test_what_would_mix_or_means_nothing_is_refused_in_one_line(changed, said, made, command, capsys):
    before = state(made)
    assert main([*command, str(made), *changed]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert state(made) == before


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["table", "robustnes"], "did you mean 'robustness'?"),
        (["table", "ablation", "--augmented", "take-cover"], "table ablation: takes no --augmented; leave it out"),
        (["evaluate", "car-racing", "--variant", "color"], "car-racing has no variant 'color'; did you mean 'colour'?"),
        (["evaluate", "car-racing.bars"], "and video take car-racing with --variant bars"),
        (
            ["video", "car-racing", "--variant", "plane", "--out", "a.mp4"],
            "car-racing has no variant 'plane'; did you mean 'plain'?",
        ),
        (["evaluate", "health-gathering", "--agent", "random", "--variant", "walls"], "health-gathering has no variants"),
        (["video", "car-racing", "--world", "dream", "--variant", "bars", "--out", "a.mp4"], "only the real environment has"),
        (["evaluate", "car-racing", "--world", "dream", "--variant", "bars"], "only the real environment has other looks"),
    ],
)
def test_a_wrong_name_is_one_line_and_leaves_nothing(args, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(args) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_second_agent_has_a_column_of_its_own(made, command, toy_run, tmp_path):
    other = load(toy_run)
    other = replace(other, solution=-torch.ones_like(other.solution))
    other.save(tmp_path / "other")
    before = json.loads((made / "table.json").read_text())
    path = tmp_path / "both"
    assert main([*command, str(path), "--augmented", str(tmp_path / "other")]) == 0
    both = json.loads((path / "table.json").read_text())
    assert [row["real"] for row in both["rows"]] == [row["real"] for row in before["rows"]]
    alone = make_robustness(load(tmp_path / "other"), tmp_path / "alone", 4, 7)
    assert [row["augmented"] for row in both["rows"]] == [row["real"] for row in alone["rows"]]
    assert [row["augmented"]["mean"] for row in both["rows"]] != [row["real"]["mean"] for row in both["rows"]]
    assert both["augmented_model"] == alone["model"] != both["model"]
    text = (path / "table.md").read_text()
    assert text.splitlines()[0].startswith("|  | ours | ours, augmented |")
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    assert (path / "table.png").read_bytes() != (made / "table.png").read_bytes()


def test_a_second_agent_of_another_task_is_one_line(command, tmp_path, capsys):
    assert main([*command, str(tmp_path / "table"), "--augmented", "take-cover"]) == 2
    assert capsys.readouterr().err.strip().endswith("--augmented: is an agent of take-cover; name one of toy, as --model is")
    assert not list((tmp_path / "table").rglob("*.json"))


def test_a_task_without_variants_has_no_table(tmp_path, toy_run):
    agent = load(toy_run)
    bare = replace(agent, world_model=replace(agent.world_model, spec=replace(agent.task, variants={})))
    with pytest.raises(UserError, match="toy has no variants"):
        make_robustness(bare, tmp_path / "table", 4)
    assert not list(tmp_path.iterdir())
