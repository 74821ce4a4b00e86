"""The table of curiosity, an expert's episodes, and where an episode has been."""

import hashlib
import json
import shutil

import gymnasium as gym
import numpy as np
import pytest

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.cli import main
from worldmodels.data.episodes import EpisodeStore, Shard, _npz_content
from worldmodels.envs.doom.room import CELL, cells_inside
from worldmodels.envs.health_gathering.env import HealthGatheringEnv
from worldmodels.envs.registry import get_task
from worldmodels.experiments import curiosity
from worldmodels.experiments.curiosity import spread, written
from worldmodels.experiments.visited import visited_shares
from worldmodels.runs.run import Run


def walls(*corners):
    """The walls of a room with these corners, in cells."""
    ends = np.array(corners, np.float64) * CELL
    return np.concatenate([ends, np.roll(ends, -1, 0)], 1)


def test_the_cells_of_a_room_are_those_whose_centres_its_walls_enclose():
    square = cells_inside(walls((0, 0), (3, 0), (3, 3), (0, 3)))
    assert square[:3, :3].all()
    assert square.sum() == 9
    bent = cells_inside(walls((0, 0), (4, 0), (4, 1), (1, 1), (1, 4), (0, 4)))
    assert bent.sum() == 7
    assert bent[3, 0]
    assert bent[0, 3]
    ring = cells_inside(np.concatenate([walls((0, 0), (5, 0), (5, 5), (0, 5)), walls((2, 2), (3, 2), (3, 3), (2, 3))]))
    assert ring.sum() == 24
    assert not ring[2, 2]


def test_doom_tells_where_the_player_has_been():
    env = HealthGatheringEnv(mapped=True)
    env.reset(seed=3)
    shares = [env.visited()]
    for action in [(0, 1)] * 30 + [(1, 0)] * 10 + [(0, 1)] * 30:
        env.step(np.array(action))
        shares.append(env.visited())
    assert shares[0] == pytest.approx(1 / 19**2)  # the room is 1,216 units wide
    assert (np.diff(shares) >= 0).all()
    assert 5 / 19**2 < shares[-1] < 40 / 19**2
    env.reset(seed=3)
    assert env.visited() == shares[0]
    env.close()
    plain = HealthGatheringEnv()
    plain.reset(seed=3)
    with pytest.raises(ValueError, match="mapped=True"):
        plain.visited()
    plain.close()
    begun = HealthGatheringEnv(mapped=True)
    with pytest.raises(gym.error.ResetNeeded):
        begun.visited()


def test_who_steps_sideways_visits_its_wall():
    """TakeCover's player moves along one wall of twelve cells."""
    task = get_task("take-cover")
    env = task.make_env(**task.visited_kwargs)
    env.reset(seed=3)
    assert env.unwrapped.visited() == pytest.approx(1 / 12)
    shares = []
    for push in [1.0] * 40 + [-1.0] * 60:
        env.step(np.array([push], np.float32))
        shares.append(env.unwrapped.visited())
    assert (np.diff(shares) >= 0).all()
    assert 3 / 12 <= shares[-1] <= 1
    plain = task.make_env()
    plain.reset(seed=3)
    with pytest.raises(ValueError, match="mapped=True"):
        plain.unwrapped.visited()
    for made in (env, plain):
        made.close()


def test_seeds_without_a_measure_are_left_out_and_counted():
    rows = [{"visited": 0.1}, {"visited": None}, {"visited": 0.3}]
    found = spread(rows, "visited")
    assert found == {"mean": pytest.approx(0.2), "std": pytest.approx(0.02**0.5), "seeds": 2}
    assert written(found, ".1%", 3) == "20.0% ± 14.1% (2 seeds)"
    assert written(found, ".1%", 2) == "20.0% ± 14.1%"
    assert spread(rows[:2], "visited") is None
    assert written({"mean": 12.0, "std": 3.0}, "+,.0f", 3) == "+12 ± 3"
    assert written(None, ".2f", 3) == ""


def test_a_car_has_visited_what_its_reward_says():
    """Each new tile pays 1000 divided by their number; a step costs 0.1."""
    task = get_task("car-racing")
    env = task.make_env(**task.visited_kwargs)
    env.reset(seed=2)
    total = sum(env.step(np.array([0.0, 0.2, 0.0], np.float32))[1] for _ in range(120))
    assert env.unwrapped.visited() == pytest.approx((total + 12) / 1000, abs=1e-6)
    assert env.unwrapped.visited() > 0.02
    env.close()


def test_recorded_episodes_are_played_again(toy_copy):
    run = Run.open(toy_copy)
    shares = visited_shares(run)
    assert len(shares) == 12
    assert all(0 < share < 1.2 for share in shares)
    assert visited_shares(run) == shares
    # One that is not what the game makes of its actions is no episode of it.
    folder = toy_copy / "episodes" / "shard-00000"
    steps = {name: array.copy() for name, array in Shard(folder).steps().items()}
    steps["reward"][1] = 7.0
    manifest = json.loads((folder / "shard.json").read_text())
    np.savez(folder / "steps.npz", **steps)
    manifest["steps_sha256"] = hashlib.sha256(_npz_content(folder / "steps.npz")).hexdigest()
    (folder / "shard.json").write_text(json.dumps(manifest))
    with pytest.raises(EnvironmentFailure, match=r"shard-00000: the episode with seed \d+, played again, took another course"):
        visited_shares(run)


def expert(run, *words):
    few = ["--num-episodes", "4", "--episodes-per-shard", "2", "--num-workers", "1"]
    return main(["collect", "--task", "toy", "--scale", "smoke", "--run", str(run), "--policy", "agent", *few, *words])


def test_an_experts_episodes_need_no_run_of_its_own(toy_run, tmp_path, capsys):
    """They are those of the model that is named, and its hash is among what they were made from."""
    assert expert(tmp_path / "one", "--from", str(toy_run / "model"), "--max-noise", "0") == 0
    assert expert(tmp_path / "two", "--from", str(toy_run), "--max-noise", "0") == 0
    one, two = (EpisodeStore(tmp_path / name / "episodes") for name in ("one", "two"))
    assert len(one.lengths) == 4
    for here, there in zip(one.shards, two.shards, strict=True):
        assert here.seeds == there.seeds
        assert all(np.array_equal(here.steps()[name], there.steps()[name]) for name in ("action", "reward"))
    inputs = Run.open(tmp_path / "one").inputs("collect")
    assert {name for name in inputs if name.startswith("from/")} == {"from/vae", "from/rnn", "from/controller"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--from", "{run}", "--policy", "held"],
            "the policy is held; add --policy agent",
        ),
        (["--from", "{run}", "--previous", "{run}", "--seed", "4"], "whose agent plays; leave out --from"),
        (["--from", "take-cover"], "take-cover: an agent of take-cover, which cannot play toy"),
        (["--from", "nothing"], "nothing: no such folder and no such task"),
        ([], "name it with --previous, or whose agent plays with --from"),
    ],
)
def test_who_cannot_be_the_expert_is_said_in_a_line(words, said, toy_run, tmp_path, capsys):
    assert expert(tmp_path / "run", *(word.format(run=toy_run) for word in words)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


WAYS = ("agent", "uncertainty")


@pytest.fixture(scope="module")
def command(toy_run):
    """What makes the table of fewer seeds and ways, which takes a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curiosity, "NUM_SEEDS", 2)
        patch.setattr(curiosity, "WAYS", {way: curiosity.WAYS[way] for way in WAYS})
        patch.setattr(curiosity, "FIDELITY", curiosity.FidelityConfig(real_episodes=2, dream_episodes=4, num_workers=1))
        yield ["table", "curiosity", "--model", str(toy_run), "--episodes", "2", "--run"]


@pytest.fixture(scope="module")
def made(command, tmp_path_factory):
    path = tmp_path_factory.mktemp("curiosity") / "table"
    assert main([*command, str(path)]) == 0
    return path


def test_its_rows_differ_in_the_new_episodes_alone(made):
    for number in range(2):
        first = made / f"seed-{number}" / "first"
        vae = (first / "model" / "vae.safetensors").read_bytes()
        for way in WAYS:
            run = made / f"seed-{number}" / way
            assert (run / "model" / "vae.safetensors").read_bytes() == vae
            assert (run / "model" / "rnn.safetensors").read_bytes() != (first / "model" / "rnn.safetensors").read_bytes()
            assert len(EpisodeStore(run / "episodes").lengths) == 24
        assert Run.open(made / f"seed-{number}" / "uncertainty").preset.collect.policy == "curious"
        assert Run.open(first).preset.rnn.recurrent_dropout == 0.05


def test_all_are_measured_on_the_same_experts_episodes(made):
    folders = sorted((made / "held-out").glob("*/*"))
    assert len(folders) == 6
    assert len({(folder / "episodes" / "DONE").read_text() for folder in folders}) == 1
    table = json.loads((made / "table.json").read_text())
    losses = [seed["held_out_nll"] for row in table["rows"] for seed in row["seeds"]]
    assert len(set(losses)) == 6
    errors = [{row["seeds"][number]["held_out_recon_loss"] for row in table["rows"]} for number in range(2)]
    assert [len(found) for found in errors] == [1, 1]  # a V a seed


def test_it_tells_all_measures(made):
    table = json.loads((made / "table.json").read_text())
    assert [row["row"] for row in table["rows"]] == ["first", *WAYS]
    for row in table["rows"]:
        assert [seed["seed"] for seed in row["seeds"]] == ([1, 3] if row["row"] == "first" else [2, 4])
        for key in ("held_out_nll", "visited", "bias", "real"):
            values = [seed[key] for seed in row["seeds"]]
            assert row[key]["mean"] == pytest.approx(np.mean(values))
        assert 0 < row["visited"]["mean"] < 1
    text = (made / "table.md").read_text()
    assert "| and episodes of an explorer, M's uncertainty |" in text
    assert (made / "table.png").stat().st_size > 5000


def test_it_goes_on_where_it_stopped(made, command, tmp_path):
    path = shutil.copytree(made, tmp_path / "table")
    shutil.rmtree(path / "seed-1" / "uncertainty")
    shutil.rmtree(path / "held-out" / "seed-1" / "uncertainty")
    (path / "fidelity" / "seed-1-uncertainty.json").unlink()
    shutil.rmtree(path / "seed-0" / "agent" / "evaluation")
    for name in ("seed-0", "seed-1"):
        for config in (path / name).glob("*/config.json"):  # a run keeps the way to the one that it goes on from
            assert str(made) not in config.read_text()
    assert main([*command, str(path)]) == 0
    kept = [json.loads((folder / "table.json").read_text()) for folder in (made, path)]
    assert kept[0] == kept[1]


def test_a_folder_that_holds_a_run_is_left_alone(toy_copy, capsys):
    before = sorted(toy_copy.rglob("*"))
    assert main(["table", "curiosity", "--model", str(toy_copy), "--run", str(toy_copy)]) == 2
    assert "holds a run or a model, and no table; use another --run" in capsys.readouterr().err
    assert sorted(toy_copy.rglob("*")) == before


def test_what_it_does_not_read_is_refused(command, tmp_path, capsys):
    assert main([*command, str(tmp_path / "t"), "--num-generations", "3", "--to", "toy"]) == 2
    assert "table curiosity: takes no --num-generations and no --to; leave it out" in capsys.readouterr().err
