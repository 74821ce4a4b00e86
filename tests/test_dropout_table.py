"""The table of how much of M a dream should leave out: its rows, what they share, and going on."""

import json
import shutil

import pytest

from worldmodels.cli import main
from worldmodels.experiments.dropout import PUBLISHED, to_markdown

WORDS = ["table", "dropout", "--episodes", "3", "--num-generations", "1"]


@pytest.fixture(scope="module")
def made(toy_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("dropout") / "table"
    assert main([*WORDS, "--model", str(toy_run), "--run", str(path)]) == 0
    return path


def test_each_row_dreams_of_the_same_m_with_more_left_out(made, toy_run):
    table = json.loads((made / "table.json").read_text())
    assert [row["dropout"] for row in table["rows"]] == list(PUBLISHED) == [0, 0.05, 0.1, 0.2, 0.3, 0.5]
    assert (table["input_dropout"], table["recurrent_dropout"]) == (0.05, 0.05)
    first, *others = (made / row["row"] for row in table["rows"])
    assert (first / "latents" / "mu.npy").samefile(toy_run / "latents" / "mu.npy")
    assert (first / "rnn/model.safetensors").read_bytes() != (toy_run / "rnn/model.safetensors").read_bytes()
    for other in others:
        assert (first / "rnn" / "model.safetensors").samefile(other / "rnn" / "model.safetensors")
    # CMA-ES minds the order of the candidates alone, which may be the same in two dreams.
    assert len({(row / "controller" / "best.safetensors").read_bytes() for row in (first, *others)}) > 1
    for row in table["rows"]:
        dream = json.loads((made / row["row"] / "evaluation" / "dream.json").read_text())
        assert dream.get("dream_dropout", 0) == row["dropout"] == row["controller"]["dream_dropout"]
        assert dream["mean"] == row["dream"]["mean"]
    assert (made / "table.md").read_text() == to_markdown(table)
    assert (made / "table.png").stat().st_size > 5000


def test_it_goes_on_where_it_stopped(made, toy_run, tmp_path):
    path = shutil.copytree(made, tmp_path / "table")
    shutil.rmtree(path / "dropout-0.50")
    for name in ("controller", "model", "evaluation"):
        shutil.rmtree(path / "dropout-0.10" / name)
    (path / "table.json").unlink()
    assert main([*WORDS, "--model", str(toy_run), "--run", str(path)]) == 0
    for name in ("dropout-0.10", "dropout-0.50"):
        for part in ("rnn", "controller"):
            file = f"{name}/model/{part}.safetensors"
            assert (path / file).read_bytes() == (made / file).read_bytes()
    before, after = (json.loads((folder / "table.json").read_text())["rows"] for folder in (made, path))
    assert [{**row, "seconds": 0} for row in before] == [{**row, "seconds": 0} for row in after]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "4", "--scale", "laptop"], "table dropout: takes no --scale and no --seed; leave it out"),
        (["--num-generations", "2"], "was made with other settings (num_generations 1 → 2)"),
        (["--ppo-iterations", "2"], "ppo_iterations is 2; only the critic learns in the first 3: use more"),
    ],
)
def test_what_would_mix_or_means_nothing_is_one_line(words, said, made, toy_run, capsys):
    assert main([*WORDS, "--model", str(toy_run), "--run", str(made), *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_model_alone_has_no_latents(toy_run, tmp_path, capsys):
    assert main([*WORDS, "--model", str(toy_run / "model"), "--run", str(tmp_path / "new")]) == 2
    assert "a model alone; the latents that M is trained on are a run's" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
