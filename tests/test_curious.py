"""Data of a C that explores: found in the dream by what M does not know, recorded, and gone on with after a kill."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from worldmodels.base.errors import UserError
from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.envs.registry import get_task
from worldmodels.experiments.iterate import open_round
from worldmodels.runs.run import Run
from worldmodels.stages.explore import begun_explorer, explore


def collect(run, first, *words):
    asked = [
        "collect",
        "--previous",
        str(first),
        "--scale",
        "smoke",
        "--policy",
        "curious",
        "--num-episodes",
        "4",
        "--seed",
        "5",
    ]
    asked += ["--episodes-per-shard", "2", "--explorer-generations", "2", "--num-workers", "1", "--seed", "5"]
    return main([*asked, "--run", str(run), *words])


@pytest.fixture(scope="module")
def curious(toy_run, tmp_path_factory):
    run = tmp_path_factory.mktemp("curious") / "run"
    assert collect(run, toy_run) == 0
    return run


def recorded(run):
    return {path.name: (path / "steps.npz").read_bytes() for path in sorted((run / "episodes").glob("shard-*"))}


def fitness(run):
    history = (run / "explorer" / "controller" / "history.jsonl").read_text().splitlines()
    return [json.loads(row)["fitness"] for row in history]


def test_the_explorer_is_searched_in_the_earlier_runs_dream(curious, toy_run):
    explorer = Run.open(curious / "explorer")
    assert (explorer.preset.controller.seeks, explorer.preset.controller.world) == ("uncertainty", "dream")
    for part in ("vae", "rnn"):
        file = f"model/{part}.safetensors"
        assert (explorer.path / file).read_bytes() == (toy_run / file).read_bytes()
    file = "model/controller.safetensors"
    assert (explorer.path / file).read_bytes() != (toy_run / file).read_bytes()
    # It is rewarded for doubts, a small variance a step, and not by the game's 1.
    assert 0 < max(map(max, fitness(curious))) < 1
    assert len(recorded(curious)) == len(recorded(toy_run)) + 2


def test_a_killed_collection_goes_on_with_the_same_bytes(curious, toy_run, tmp_path):
    """Killed amid the explorer's search, and amid its episodes."""
    run = tmp_path / "run"
    shutil.copytree(curious, run)
    config = run / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"previous": str(toy_run)}))
    shutil.rmtree(run / "explorer" / "model")
    for name in ("episodes/DONE", "explorer/controller/DONE", "explorer/controller/best.safetensors"):
        (run / name).unlink()
    for log in ("history.jsonl", "scores.jsonl"):
        path = run / "explorer" / "controller" / log
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    shutil.rmtree(sorted((run / "episodes").glob("shard-*"))[-1])
    assert main(["collect", "--run", str(run)]) == 0
    assert recorded(run) == recorded(curious)
    found, expected = (load_tensors(path / "explorer" / "model" / "controller.safetensors") for path in (run, curious))
    assert found["weight"].equal(expected["weight"])


def test_what_it_seeks_decides_its_search_and_is_not_changed_amid(curious, toy_run, tmp_path, capsys):
    found = Run.open(curious)
    other = dataclasses.replace(found, path=tmp_path / "loss")
    explore(begun_explorer(dataclasses.replace(found.preset.collect, curiosity="loss"), other), Run.open(toy_run))
    assert len(fitness(other.path)) == len(fitness(curious)) == 2
    assert fitness(other.path) != fitness(curious)
    assert collect(curious, toy_run, "--curiosity", "loss") == 2
    assert "was made with other settings (curiosity unset → loss)" in capsys.readouterr().err


def test_an_explorer_plays_no_episodes_under_other_settings(curious, toy_run, tmp_path, capsys):
    """As it would where the episodes alone were removed, to be made anew."""
    copy = Path(shutil.copytree(curious, tmp_path / "copy"))
    shutil.rmtree(copy / "episodes")
    assert collect(copy, toy_run, "--curiosity", "loss") == 2
    assert "explorer: was searched with other settings; remove the folder" in capsys.readouterr().err
    assert not (copy / "episodes").exists()
    assert collect(copy, toy_run) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "policy curious needs a run to go on from; name it with --previous"),
        (
            ["--previous", "FIRST", "--explorer-iterations", "2", "--seed", "3"],
            "ppo_iterations is 2; only the critic learns in the first 3: use more",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(words, said, toy_run, tmp_path, capsys):
    named = [str(toy_run) if word == "FIRST" else word for word in words]
    assert main(["collect", "--run", str(tmp_path / "new"), "--task", "toy", "--policy", "curious", *named]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].endswith(said)
    assert not (tmp_path / "new").exists()


def test_the_rounds_of_an_explorer(toy_run, curious, tmp_path):
    """M is trained with dropout from the first round on, and later rounds' episodes are an explorer's."""
    toy = get_task("toy")
    first = open_round(toy, tmp_path / "0", "smoke", 0, None, explore="loss")
    assert (first.preset.rnn.input_dropout, first.preset.rnn.recurrent_dropout) == (0.05, 0.05)
    second = open_round(toy, tmp_path / "1", "smoke", 5, toy_run, explore="loss")
    assert (second.preset.collect.policy, second.preset.collect.curiosity) == ("curious", "loss")
    assert open_round(toy, curious, "smoke", 5, toy_run, explore="uncertainty").path == curious
    with pytest.raises(UserError, match="its M has no dropout, which says what M is unsure of; use another --run"):
        open_round(toy, toy_run, "smoke", 0, None, explore="loss")
    with pytest.raises(UserError, match="a round whose episodes have the policy curious, not agent; use another --run"):
        open_round(toy, curious, "smoke", 5, toy_run)
    with pytest.raises(UserError, match="a round whose episodes have the curiosity uncertainty, not loss"):
        open_round(toy, curious, "smoke", 5, toy_run, explore="loss")
