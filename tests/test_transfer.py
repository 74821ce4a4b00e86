"""The table of what V and M of one task are worth in another, and variants of a task as tasks by themselves."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from worldmodels.agent.load import load
from worldmodels.base.errors import UserError
from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.envs import registry
from worldmodels.envs.registry import get_task
from worldmodels.experiments import transfer
from worldmodels.experiments.transfer import row_preset, transfer_rows

ROWS = ["nothing", "v-frozen", "vm-frozen", "v-trained", "vm-trained"]
#: Those that are made here: between them is all that rows can share.
MADE = ["nothing", "v-frozen", "vm-frozen", "vm-trained"]


def test_m_is_carried_only_where_it_fits():
    """TakeCover's M knows one action and hits, HealthGathering has five: V alone goes there, and has its own size there."""
    agent = load("take-cover")
    preset, differ = row_preset(agent, get_task("health-gathering"), "smoke")
    assert {"action_size", "hits"} <= set(differ)
    assert differ["action_size"] == "action_size is 5 here and 1 there"
    assert (preset.vae.latent_size, preset.rnn.hidden_size) == (64, 256)
    rows = list(transfer_rows("take-cover", preset, not differ))
    assert [row.name for row in rows] == [f"{way}-{end}" for end in ("10", "100") for way in ROWS if "vm" not in way]
    assert [row.preset.collect.num_episodes for row in rows] == [6] * 3 + [60] * 3
    assert [row.preset.vae.num_steps for row in rows[:3]] == [400, 0, 400]
    assert [row.preset.vae.from_model for row in rows[:3]] == ["", "take-cover", "take-cover"]
    assert [row.name for row in transfer_rows("car-racing", preset, True)][:5] == [f"{way}-10" for way in ROWS]
    assert row_preset(load("car-racing"), get_task("car-racing.bars"), "smoke")[1] == {}


def test_a_variant_is_a_task_by_itself():
    plain, bars = get_task("car-racing"), get_task("car-racing.bars")
    for official in (False, True):
        assert bars.score_id(official) == plain.varied("bars").score_id(official)
        assert bars.env_settings(official) == plain.varied("bars").env_settings(official)
        for look in ("plain", "colour"):
            assert bars.varied(look).score_id(official) == plain.varied(look).score_id(official)
            assert bars.varied(look).env_settings(official) == plain.varied(look).env_settings(official)
    assert plain.varied("plain") == plain
    assert bars.gym_id("Dream") == "worldmodels/CarRacingDream-Bars-v0"
    assert bars.presets == plain.presets
    with pytest.raises(UserError, match="car-racing has no variant 'bras'; did you mean 'bars'"):
        get_task("car-racing.bras")
    with pytest.raises(UserError, match=r"there is no task 'car-racing\.bars\.bars'"):
        get_task("car-racing.bars.bars")


@pytest.fixture(scope="module")
def command(toy_run):
    """What makes the table at a scale of its own, which takes a moment."""
    walls = get_task("toy.walls")
    usual = walls.presets["smoke"]
    tiny = replace(
        usual,
        vae=replace(usual.vae, num_steps=2, batch_size=2),
        rnn=replace(usual.rnn, num_steps=3),
        controller=replace(usual.controller, num_generations=1, population_size=4, episodes_per_candidate=1, score_episodes=2),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "WAYS", {way: transfer.WAYS[way] for way in MADE})
        patch.setitem(registry._completed, walls.name, replace(walls, presets={"smoke": tiny}))
        yield ["table", "transfer", "--model", str(toy_run), "--to", "toy.walls", "--episodes", "2", "--run"]


@pytest.fixture(scope="module")
def made(command, tmp_path_factory):
    path = tmp_path_factory.mktemp("transfer") / "table"
    assert main([*command, str(path)]) == 0
    return path


def weights(path):
    return {name: tensor.numpy() for name, tensor in load_tensors(path / "model.safetensors").items()}


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one | other)


def test_its_rows_share_what_is_the_same(made, toy_run):
    table = json.loads((made / "table.json").read_text())
    assert [row["row"] for row in table["rows"]] == [f"{way}-{end}" for end in ("10", "100") for way in MADE]
    assert [row["episodes"] for row in table["rows"]] == [2] * 4 + [12] * 4
    assert (table["task"], table["from"], table["not_carried"]) == ("toy.walls", "toy", {})
    for way in MADE[1:]:
        assert (made / f"{way}-100" / "episodes" / "DONE").samefile(made / "nothing-100" / "episodes" / "DONE")
        assert same(weights(made / f"{way}-100" / "vae"), weights(toy_run / "vae")) == way.endswith("frozen")
    for shared in ("vae/model.safetensors", "latents/mu.npy"):
        assert (made / "v-frozen-100" / shared).samefile(made / "vm-frozen-100" / shared)
    assert same(weights(made / "vm-frozen-10" / "rnn"), weights(toy_run / "rnn"))
    assert not same(weights(made / "vm-trained-10" / "rnn"), weights(toy_run / "rnn"))


def test_all_rows_are_measured_on_the_same_new_episodes(made):
    table = json.loads((made / "table.json").read_text())
    losses = {row["row"]: (row["held_out_recon_loss"], row["held_out_nll"]) for row in table["rows"]}
    assert losses["v-frozen-10"][0] == losses["v-frozen-100"][0] == losses["vm-frozen-10"][0]
    assert losses["vm-frozen-10"] == losses["vm-frozen-100"]
    assert len(set(losses.values())) == 7
    measured = made / "held-out" / "nothing-10"
    assert json.loads((measured / "config.json").read_text())["seed"] == 1
    assert same(weights(measured / "rnn"), weights(made / "nothing-10" / "rnn"))
    text = (made / "table.md").read_text()
    assert "| V and M, trained on, 100% |" in text
    assert (made / "table.png").stat().st_size > 5000


def test_it_goes_on_where_it_stopped_and_a_finished_one_is_left_as_it_is(made, command, tmp_path):
    path = shutil.copytree(made, tmp_path / "table")
    shutil.rmtree(path / "vm-trained-100")
    for name in ("controller", "model", "evaluation"):
        shutil.rmtree(path / "v-frozen-10" / name)
    shutil.rmtree(path / "held-out" / "vm-trained-10" / "rnn")
    assert main([*command, str(path)]) == 0
    for name in ("vm-trained-100", "v-frozen-10"):
        for part in ("vae", "rnn", "controller"):
            file = f"{name}/model/{part}.safetensors"
            assert (path / file).read_bytes() == (made / file).read_bytes()
    before, after = (json.loads((folder / "table.json").read_text())["rows"] for folder in (made, path))
    assert [{**row, "seconds": 0} for row in before] == [{**row, "seconds": 0} for row in after]
    kept = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != ".lock"}
    assert main([*command, str(path)]) == 0
    assert {file: file.read_bytes() for file in kept} == kept


def test_an_agent_of_a_variant_is_scored_on_it(made, tmp_path):
    out = tmp_path / "score.json"
    assert main(["evaluate", str(made / "nothing-100"), "--episodes", "2", "--num-workers", "1", "--json", str(out)]) == 0
    env = json.loads(out.read_text())["env"]
    assert (env["variant"], env["settings"]["walls"]) == ("walls", True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "table transfer: name the task that V and M are carried to with --to, such as health-gathering"),
        (["--to", "toy.wals"], "toy has no variant 'wals'; did you mean 'walls'?"),
        (["--to", "toy.walls", "--num-generations", "3"], "table transfer: takes no --num-generations; leave it out"),
    ],
)
def test_what_it_does_not_take_is_said(more, said, toy_run, tmp_path, capsys):
    assert main(["table", "transfer", "--model", str(toy_run), "--run", str(tmp_path / "new"), *more]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_other_tables_are_carried_nowhere(toy_run, capsys):
    assert main(["table", "ablation", "--model", str(toy_run), "--to", "toy.walls"]) == 2
    assert "table ablation: takes no --to; leave it out" in capsys.readouterr().err
