"""The agents that come with the package: whole, small, described truly, and as good as their card says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldmodels.agent.load import load, load_model
from worldmodels.agent.target import SHIPPED, model_folder
from worldmodels.cli import main
from worldmodels.envs.registry import get_task
from worldmodels.search.real_player import RealPlayer, split_jobs
from worldmodels.worlds.rollout import EpisodeJob

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(SHIPPED.iterdir())


def test_every_card_is_what_its_json_says():
    check = [sys.executable, "-m", "tools.ship_model", "--check"]
    result = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_is_small_and_whole(folder):
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12_000_000
    model = load_model(folder)
    assert model.task == get_task(folder.name)
    assert len(model.world_model.initial.mu) >= 1_000
    scores = json.loads((folder / "evaluation.json").read_text())
    # An official environment that has a faster copy is played for a hundred episodes, the copy for a thousand.
    assert scores["real"]["num_episodes"] >= 100
    assert scores.get("fast", scores["real"])["num_episodes"] >= 1_000
    for row in scores.values():
        assert row["mean"] == pytest.approx(np.mean(row["returns"]), abs=1e-3)
        assert len(row["lengths"]) == row["num_episodes"]
    assert scores["real"]["ci95"][0] > scores["random"]["ci95"][1]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_its_episodes_are_played_again_one_by_one(folder, tmp_path):
    """Seed by seed as its JSON says, though they were scored side by side."""
    scored = json.loads((folder / "evaluation.json").read_text())["real"]
    assert scored["seed"] == 0
    # The shortest of the first hundred: they cost the least, and leave a rounding the least time.
    seeds = np.argsort(scored["lengths"][:100], kind="stable")[:2]
    same = 0
    for seed in seeds:
        out = tmp_path / f"{seed}.json"
        args = ["evaluate", folder.name, "--seed", str(seed), "--episodes", "1", "--json", str(out)]
        assert main(args) == 0
        same += json.loads(out.read_text())["episodes"][0]["return"] == pytest.approx(scored["returns"][seed], abs=1e-3)
    # On another processor one rounding can turn one action.
    assert same >= 1


def test_the_drivers_episodes_are_driven_again_side_by_side():
    model = load("car-racing")
    scored = json.loads((model_folder("car-racing") / "evaluation.json").read_text())["fast"]
    chunk = split_jobs([EpisodeJob(0, scored["seed"] + i) for i in range(scored["num_episodes"])])[0]
    player = RealPlayer(model.task, False, model.world_model, model.inputs)
    try:
        results = player.play(model.solution[None].numpy(), chunk, 0)
    finally:
        player.close()
    assert len(chunk) == 32
    same = sum(
        result.episode_return == pytest.approx(was, abs=1e-3) for result, was in zip(results, scored["returns"], strict=False)
    )
    # On another processor roundings differ, and so do single episodes; not the agent.
    assert same == 32 or np.mean([r.episode_return for r in results]) == pytest.approx(
        scored["mean"], abs=4 * scored["std"] / 32**0.5
    )


def test_chance_needs_no_model(tmp_path):
    out = tmp_path / "random.json"
    assert main(["evaluate", "take-cover", "--agent", "random", "--episodes", "1", "--json", str(out)]) == 0
    scored = json.loads((model_folder("take-cover") / "evaluation.json").read_text())["random"]
    assert json.loads(out.read_text())["episodes"][0]["return"] == scored["returns"][0]
