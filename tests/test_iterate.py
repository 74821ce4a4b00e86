"""The iterative procedure: a round keeps the data of the one before and begins with its weights."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from worldmodels_toy import MovingDot

from worldmodels.agent.load import load_model
from worldmodels.base.seeding import derive_seed
from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.config import CollectConfig, FidelityConfig
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.run_data import own_shards, split_run
from worldmodels.diagnostics import uncertainty
from worldmodels.diagnostics.fidelity import measure
from worldmodels.runs.run import Run
from worldmodels.search.start import begin_search
from worldmodels.stages.collect import drive_episodes


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    path = tmp_path_factory.mktemp("rounds") / "toy"
    assert main(["iterate", "toy", "--rounds", "1", "--run", str(path)]) == 0
    assert main(["iterate", "toy", "--rounds", "2", "--run", str(path)]) == 0  # one more is added
    return path


def without_times(rows):
    return [{**row, "seconds": 0} for row in rows]


def test_the_first_round_is_the_experiment(rounds, toy_run):
    for part in ("vae", "rnn", "controller"):
        name = f"model/{part}.safetensors"
        assert (rounds / "round-0" / name).read_bytes() == (toy_run / name).read_bytes()


def test_a_round_keeps_the_episodes_of_the_one_before(rounds):
    first, second = (rounds / f"round-{k}" / "episodes" for k in (0, 1))
    old, new = sorted(first.glob("shard-*")), sorted(second.glob("shard-*"))
    assert len(new) == 2 * len(old)
    for mine, theirs in zip(new, old, strict=False):
        for file in theirs.iterdir():
            assert (mine / file.name).stat().st_ino == file.stat().st_ino
    seeds = [seed for shard in EpisodeStore(second).shards for seed in shard.seeds]
    assert len(set(seeds)) == len(seeds) == 24


def test_what_was_held_out_stays_held_out(rounds):
    first, second = (Run.open(rounds / f"round-{k}") for k in (0, 1))
    before, after = split_run(first, 12, 0.25), split_run(second, 24, 0.25)
    for i in range(2):
        assert after[i][after[i] < 12].tolist() == before[i].tolist()
    assert sorted([*after[0], *after[1]]) == list(range(24))
    assert any(after[1] >= 12)


def test_the_search_goes_on_around_the_last_controller(rounds):
    run = Run.open(rounds / "round-1")
    best = load_tensors(rounds / "round-0" / "controller" / "best.safetensors")["solution"]
    assert torch.equal(torch.from_numpy(begin_search(run.preset.controller, run).mean).float(), best)
    scores = [json.loads(row) for row in (rounds / "round-1" / "controller" / "scores.jsonl").read_text().splitlines()]
    assert scores[0]["generation"] == 0  # the one that it begins at may be the best of all


def test_what_m_is_unsure_of_is_asked_of_the_newest_episodes(rounds, monkeypatch):
    """Those of an agent like C: M's doubt along random episodes says nothing of where C goes."""
    asked, of_recorded = [], uncertainty.of_recorded

    def noted(config, world_model, store, episodes, seed):
        asked.extend(episodes)
        return of_recorded(config, world_model, store, episodes, seed)

    monkeypatch.setattr(uncertainty, "of_recorded", noted)
    measure(FidelityConfig(real_episodes=2, dream_episodes=2), Run.open(rounds / "round-1"))
    assert asked
    assert min(asked) >= 12


def test_v_and_m_go_on_from_the_last_weights(rounds):
    """After 20 steps of Adam at 0.001 no weight is farther from where it began than that allows; random ones would be."""
    for stage, farthest in (("vae", 20 * 1e-3), ("rnn", 30 * 1e-2)):
        old, new = (load_tensors(rounds / f"round-{k}" / stage / "model.safetensors") for k in (0, 1))
        distance = max(float((old[name] - new[name]).abs().max()) for name in old)
        assert 0 < distance < 3 * farthest


def test_a_driven_episode_is_what_the_environment_did(rounds):
    """Played again with the recorded actions, the environment shows the recorded frames."""
    shard = EpisodeStore(rounds / "round-1" / "episodes").shards[-1]
    steps = shard.steps()
    start = 0
    for seed, length in zip(shard.seeds, shard.lengths, strict=True):
        env = MovingDot()
        frame, _ = env.reset(seed=seed)
        recorded = shard.frames(start, start + length)
        for i in range(length):
            assert np.array_equal(frame, recorded[i])
            frame, reward, terminated, truncated, _ = env.step(steps["action"][start + i])
            assert reward == steps["reward"][start + i]
            assert terminated == steps["terminated"][start + i]
        assert terminated or truncated
        start += length


def test_noise_is_the_share_of_random_actions(toy_run):
    """Without noise the agent's actions are its own; with a share of 1 at most, they lie between those and random ones."""
    model = load_model(toy_run / "model")
    quiet, noisy = (
        drive_episodes([MovingDot()], model, CollectConfig(max_noise=noise, max_short_steps=0), 3, range(1))[0]
        for noise in (0.0, 1.0)
    )
    rng = np.random.default_rng(derive_seed(3, "collect/policy", 0, 0))
    share, random = rng.random(), rng.uniform(-1, 1, 1)
    # The first frame is the same, so the agent's own first action is too.
    assert noisy.actions[0] == pytest.approx((1 - share) * quiet.actions[0] + share * random, abs=1e-6)
    assert not np.array_equal(noisy.actions[: len(quiet.actions)], quiet.actions[: len(noisy.actions)])


def test_killed_moved_and_called_again_it_ends_the_same(rounds, tmp_path):
    path = tmp_path / "first"

    def command():
        return [sys.executable, "-m", "worldmodels", "iterate", "toy", "--rounds", "2", "--run", str(path)]

    for name in ("round-0/vae/STARTED", "round-1/episodes/STARTED"):
        with subprocess.Popen(command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not (path / name).exists():
                time.sleep(0.005)
            process.kill()
    path = path.rename(tmp_path / "moved, with spaces")
    assert subprocess.run(command(), capture_output=True, check=False).returncode == 0
    found, expected = (json.loads((folder / "rounds.json").read_text()) for folder in (path, rounds))
    assert without_times(found["rounds"]) == without_times(expected["rounds"])
    for name in ("round-1/model/vae.safetensors", "round-1/model/rnn.safetensors", "round-1/model/controller.safetensors"):
        assert (path / name).read_bytes() == (rounds / name).read_bytes()


def collect(path, *more):
    return main(["collect", "--run", str(path), "--task", "toy", "--scale", "smoke", *more])


def test_finished_rounds_are_left_as_they_are(rounds):
    def state():
        found = [path for path in rounds.rglob("*") if path.is_file() and path.name != ".lock"]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    before = state()
    for fewer in ("2", "1"):
        assert main(["iterate", "toy", "--rounds", fewer, "--run", str(rounds)]) == 0
    assert state() == before


@pytest.fixture(scope="module")
def dreamt(tmp_path_factory):
    """Rounds whose C is of the dream alone, to be ended by the scores of the real game."""
    path = tmp_path_factory.mktemp("dreamt") / "toy"
    assert main(["iterate", "toy", "--rounds", "4", "--world", "dream", "--stop-after", "1", "--run", str(path)]) == 0
    return path


def test_rounds_of_the_dream_alone_are_scored_in_the_real_game(dreamt):
    first = Run.open(dreamt / "round-0")
    assert (first.preset.controller.world, first.preset.controller.score_world) == ("dream", "real")
    found = json.loads((dreamt / "rounds.json").read_text())
    scores = [json.loads((dreamt / f"round-{row['round']}/controller/DONE").read_text())["score"] for row in found["rounds"]]
    assert [row["score"] for row in found["rounds"]] == scores
    assert found["best_round"] == scores.index(max(scores))
    assert f"Best on training's seeds in the real game: round {found['best_round']}." in (dreamt / "rounds.md").read_text()


def test_rounds_end_once_the_score_no_longer_rises(dreamt):
    found = json.loads((dreamt / "rounds.json").read_text())
    scores = [row["score"] for row in found["rounds"]]
    worse = [number for number in range(1, len(scores)) if scores[number] <= max(scores[:number])]
    assert worse == ([len(scores) - 1] if worse or len(scores) < 4 else [])
    assert sorted(dreamt.glob("round-*")) == [dreamt / f"round-{number}" for number in range(len(scores))]


def test_the_rule_is_asked_again_of_the_rounds_there_are(dreamt, tmp_path, capsys):
    path = shutil.copytree(dreamt, tmp_path / "again")
    before = json.loads((path / "rounds.json").read_text())
    assert main(["iterate", "toy", "--rounds", "4", "--world", "dream", "--stop-after", "1", "--run", str(path)]) == 0
    assert json.loads((path / "rounds.json").read_text()) == before
    assert main(["iterate", "toy", "--rounds", "4", "--run", str(path), "--world", "own"]) == 0  # without the rule: all
    after = json.loads((path / "rounds.json").read_text())
    assert (len(after["rounds"]), after["world"]) == (4, before["world"])


def test_what_does_not_go_with_the_rule_is_said(rounds, tmp_path, capsys):
    new = tmp_path / "new"
    assert main(["iterate", "toy", "--stop-after", "2", "--run", str(new)]) == 2
    assert "stop_after is 2, and each C is scored in the dream; add --world dream" in capsys.readouterr().err
    assert not list(new.glob("round-*"))
    assert main(["iterate", "toy", "--world", "dream", "--run", str(rounds)]) == 2
    assert "round-0: a round whose C is not of the dream alone" in capsys.readouterr().err


def test_a_killed_collection_of_a_round_says_how_far_it_is(rounds, tmp_path):
    """The links to the shards of the round before are not its own."""
    path = Path(shutil.copytree(rounds, tmp_path / "toy")) / "round-1"
    (path / "episodes" / "DONE").unlink()
    assert main(["inspect", str(path), "--json", str(tmp_path / "x.json")]) == 0
    asked = Run.open(path).preset.collect.num_episodes
    assert json.loads((tmp_path / "x.json").read_text())["so_far"].startswith(f"{asked} of {asked} episodes")
    for shard in own_shards(Run.open(path)):
        shutil.rmtree(shard)
    assert main(["inspect", str(path), "--json", str(tmp_path / "y.json")]) == 0
    assert json.loads((tmp_path / "y.json").read_text())["so_far"].startswith(f"0 of {asked} episodes")


def test_what_cannot_be_gone_on_from(toy_run, tmp_path, capsys):
    def said(code):
        assert code == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        return err

    assert "policy agent needs a run to go on from" in said(collect(tmp_path / "a", "--policy", "agent"))
    assert "has the seed 0 too" in said(collect(tmp_path / "b", "--previous", str(toy_run)))
    assert "no run is here" in said(collect(tmp_path / "c", "--previous", str(tmp_path / "nowhere")))
    assert "rounds is 0" in said(main(["iterate", "toy", "--rounds", "0", "--run", str(tmp_path / "d")]))
    half = Run.create(tmp_path / "half", "toy", "smoke", 0, Run.open(toy_run).preset)
    assert "not finished" in said(collect(tmp_path / "e", "--previous", str(half.path), "--seed", "1"))
    after = tmp_path / "after"
    assert collect(after, "--previous", str(toy_run), "--seed", "1") == 0
    capsys.readouterr()
    assert collect(after, "--previous", str(toy_run), "--seed", "1") == 0
    capsys.readouterr()
    err = said(collect(after, "--previous", str(half.path), "--seed", "1"))
    assert f"goes on from {toy_run.resolve()}, not from {half.path}" in err
    assert "begins anew, not from" in said(collect(half.path, "--previous", str(toy_run)))


def test_a_circle_of_runs_is_refused(toy_copy, tmp_path, capsys):
    other = tmp_path / "other"
    assert collect(other, "--previous", str(toy_copy), "--seed", "1") == 0
    config = toy_copy / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "previous": "../other"}))
    assert main(["collect", "--run", str(other)]) == 3
    assert "'previous' leads in a circle" in capsys.readouterr().err
