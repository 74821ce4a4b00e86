"""The search's switches that the original has, off by default: episodes cut after twice the mean, and the return to the best
mean."""

import json
import shutil

import numpy as np
import pytest

from worldmodels.agent.agent import Agent
from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.config import ControllerConfig
from worldmodels.runs.run import Run
from worldmodels.search.history import BestMean, replayed
from worldmodels.search.start import begin_search
from worldmodels.worlds.rollout import EpisodeJob, rollout

#: Without C, and with so large steps that a mean often scores worse than the one before.
RETURNS = ("--optimizer", "ses", "--sigma", "2", "--return-to-best", "--score-every-generations", "1", "--num-generations", "8")


def bare(toy_run, path):
    shutil.copytree(toy_run, path, ignore=shutil.ignore_patterns("controller", "model", "evaluation"))
    return path


def rows(path, name):
    return [json.loads(line) for line in (path / "controller" / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def returned(toy_run, tmp_path_factory):
    path = bare(toy_run, tmp_path_factory.mktemp("returns") / "run")
    assert main(["train-controller", "--run", str(path), *RETURNS]) == 0
    return path


def test_a_worse_mean_is_put_back_to_the_best(returned):
    run = Run.open(returned)
    folder, best = run.stage_path("controller"), BestMean(True)
    scores = {row["generation"]: row["mean"] for row in rows(returned, "scores")}
    search, highest, puts_back = begin_search(run.preset.controller, run), -np.inf, 0
    for row in replayed(search, folder, best):
        if scores[row["generation"]] > highest:
            highest = scores[row["generation"]]
        else:
            puts_back += 1
            np.testing.assert_array_equal(search.mean, best.mean)
    assert puts_back > 1
    np.testing.assert_array_equal(load_tensors(folder / "best.safetensors")["solution"].numpy(), best.mean.astype(np.float32))


def test_without_it_the_search_goes_another_way(returned, toy_run, tmp_path):
    path = bare(toy_run, tmp_path / "run")
    flags = [flag for flag in RETURNS if flag != "--return-to-best"]
    assert main(["train-controller", "--run", str(path), *flags]) == 0
    ours, other = ([row["fitness"] for row in rows(run, "history")] for run in (returned, path))
    assert ours[0] == other[0]
    assert ours != other


@pytest.mark.parametrize("switch", [RETURNS, ("--cap-time", "--num-generations", "4")])
def test_cut_off_at_any_generation_it_ends_the_same(switch, toy_run, tmp_path):
    whole = bare(toy_run, tmp_path / "whole")
    assert main(["train-controller", "--run", str(whole), *switch]) == 0
    for generation in (1, 3):
        path = shutil.copytree(whole, tmp_path / f"cut-{generation}")
        shutil.rmtree(path / "model")
        (path / "controller" / "DONE").unlink()
        for name in ("history", "scores"):
            kept = [row for row in rows(path, name) if row["generation"] <= generation - (name == "scores")]
            (path / "controller" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
        assert main(["train-controller", "--run", str(path)]) == 0
        fitness = [[row["fitness"] for row in rows(run, "history")] for run in (whole, path)]
        assert fitness[0] == fitness[1]
        means = [[row["mean"] for row in rows(run, "scores")] for run in (whole, path)]
        assert means[0] == means[1]
        best = [(run / "controller" / "best.safetensors").read_bytes() for run in (whole, path)]
        assert best[0] == best[1]


def test_no_candidate_plays_on_beyond_twice_the_mean(toy_run, tmp_path):
    path = bare(toy_run, tmp_path / "run")
    flags = ("--cap-time", "--num-generations", "5", "--sigma", "1")
    assert main(["train-controller", "--run", str(path), *flags]) == 0
    config, history = Run.open(path).preset.controller, rows(path, "history")
    num_jobs = config.population_size * config.episodes_per_candidate
    caps = [2 * (row["steps"] // num_jobs) for row in history]
    for cap, row in zip(caps, history[1:], strict=False):
        assert row["max"] <= cap  # a reward of 1 a step


def test_rollout_cuts_episodes(toy_world_model):
    agent = Agent(toy_world_model, "zh", None, 1.0)

    class Still:
        def begin(self, mask, jobs):
            pass

        def act(self, obs):
            return np.zeros((len(obs), 1), np.float32)

        def shrink(self, keep):
            pass

    jobs = [EpisodeJob(0, seed) for seed in range(5)]
    free = rollout(agent.dream(2), Still(), jobs)
    cut = rollout(agent.dream(2), Still(), jobs, cap_steps=3)
    assert [result.length for result in cut] == [min(3, result.length) for result in free]


def test_they_are_off_and_in_no_fingerprint():
    assert not {"cap_time", "return_to_best"} & ControllerConfig().fingerprint_fields().keys()
    assert ControllerConfig(cap_time=True).fingerprint_fields()["cap_time"] is True


def test_only_a_mean_can_be_put_back(toy_run, tmp_path, capsys):
    path = bare(toy_run, tmp_path / "run")
    for optimizer in ("cma", "simple-ga"):
        assert main(["train-controller", "--run", str(path), "--optimizer", optimizer, "--return-to-best"]) == 2
        assert f"the optimizer is {optimizer}" in capsys.readouterr().err
    assert not (path / "controller").exists()


def test_the_search_ends_with_the_generation_that_reaches_its_steps(toy_run, tmp_path):
    """Killed after two generations, it ends with the same bytes."""
    whole = bare(toy_run, tmp_path / "whole")
    limit = ["--max-steps", "1500", "--num-generations", "1000", "--score-every-generations", "2"]
    assert main(["train-controller", "--run", str(whole), *limit]) == 0
    steps = np.cumsum([row["steps"] for row in rows(whole, "history")])
    assert steps[-2] < 1500 <= steps[-1]
    assert rows(whole, "scores")[-1]["generation"] == len(steps)
    cut = shutil.copytree(whole, tmp_path / "cut")
    shutil.rmtree(cut / "model")
    (cut / "controller" / "DONE").unlink()
    for name in ("history", "scores"):
        file = cut / "controller" / f"{name}.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[: {"history": 2, "scores": 1}[name]]))
    assert main(["train-controller", "--run", str(cut)]) == 0
    assert (cut / "controller" / "best.safetensors").read_bytes() == (whole / "controller" / "best.safetensors").read_bytes()
    assert [row["fitness"] for row in rows(cut, "history")] == [row["fitness"] for row in rows(whole, "history")]
