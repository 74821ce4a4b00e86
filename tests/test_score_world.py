"""C may be scored in another world than the one it is evolved in, with the same seeds every time."""

import shutil

import numpy as np
import pytest
import torch

from worldmodels.agent.load import load_model
from worldmodels.base.logs import read_jsonl
from worldmodels.base.seeding import FIRST_TRAINING_SEED
from worldmodels.cli import main
from worldmodels.runs.run import Run
from worldmodels.search.evaluators import RealEvaluator
from worldmodels.worlds.rollout import EpisodeJob


@pytest.fixture
def evolved(toy_copy):
    for name in ("controller", "model"):
        shutil.rmtree(toy_copy / name)
    args = ["--num-generations", "2", "--score-every-generations", "1", "--score-episodes", "5", "--score-world", "real"]
    assert main(["train-controller", "--run", str(toy_copy), *args]) == 0
    return toy_copy


def test_the_mean_is_scored_in_reality_with_seeds_of_training(evolved):
    run, model = Run.open(evolved), load_model(evolved / "model")
    assert run.preset.controller.world == "dream"
    scores = read_jsonl(evolved / "controller" / "scores.jsonl")
    assert [row["generation"] for row in scores] == [1, 2]
    seeds = [run.derive_seed("controller/score", i) for i in range(5)]
    assert min(seeds) >= FIRST_TRAINING_SEED
    population = RealEvaluator(model.task, model.world_model, model.inputs, official=False, num_workers=1)
    try:
        results = population.evaluate(model.solution[None], [EpisodeJob(0, seed) for seed in seeds])
    finally:
        population.close()
    # The model's C is the mean that scored best, rounded to float32.
    found = np.mean([result.episode_return for result in results])
    assert found == pytest.approx(max(row["mean"] for row in scores), abs=1e-3)
    assert torch.isfinite(model.solution).all()
