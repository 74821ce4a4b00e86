"""The bookkeeping of an evaluation: work that grows as its episodes do, one episode, chance's dream, and what is kept of it."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest
from test_interrupt import program, wait_for

from worldmodels.agent.load import load
from worldmodels.base import files
from worldmodels.cli import main
from worldmodels.cli.commands import COMMANDS
from worldmodels.config import EvaluateConfig
from worldmodels.diagnostics.statistics import score_text, summarise
from worldmodels.experiments.report import print_table
from worldmodels.experiments.table import DRAW
from worldmodels.runtime.interrupt import KEEPS_ITS_WORK
from worldmodels.stages.evaluate import Tally, evaluate
from worldmodels.worlds.rollout import EpisodeResult


@pytest.mark.parametrize("world", ["real", "dream"])
def test_the_work_for_an_episode_does_not_grow_with_the_episodes(toy_run, tmp_path, monkeypatch, world):
    """Counted: how often anything is asked of a result, with every episode kept on the disk, too."""
    target = load(toy_run)
    looks = 0

    def look(self, name):
        nonlocal looks
        looks += 1
        return object.__getattribute__(self, name)

    monkeypatch.setattr(EpisodeResult, "__getattribute__", look)
    counted = []
    for episodes in (30, 120):
        looks = 0
        config = EvaluateConfig(world=world, episodes=episodes, num_workers=1, num_slots=16)
        evaluate(config, target, tmp_path / f"{episodes}.jsonl")
        counted.append(looks)
    assert counted[0] > 0
    assert counted[1] <= 4.5 * counted[0]


def test_blocks_change_nothing(toy_run, monkeypatch):
    """Millions of episodes are handed out piece by piece; the result is that of handing them out together."""
    target = load(toy_run)
    asked = EvaluateConfig(episodes=70, num_workers=1, num_slots=3)
    whole = evaluate(asked, target)
    monkeypatch.setattr("worldmodels.stages.evaluate.BLOCK_EPISODES", 32)
    assert evaluate(asked, target) == whole


def test_a_log_that_is_larger_than_any_json_goes_on(toy_run, tmp_path, monkeypatch, capsys):
    path, file = tmp_path / "result.json.played.jsonl", tmp_path / "result.json"
    command = ["evaluate", str(toy_run), "--episodes", "40", "--json", str(file), "--num-workers", "1"]
    assert main(command) == 0
    whole = file.read_bytes()
    evaluate(EvaluateConfig(episodes=40, num_workers=1), load(toy_run), path)
    monkeypatch.setattr(files, "MAX_JSON_BYTES", path.stat().st_size - 1)
    capsys.readouterr()
    assert main(command) == 0
    assert "goes on at 40 of 40 episodes" in capsys.readouterr().err
    assert file.read_bytes() == whole


def test_a_tally_is_small_and_counts_an_episode_once():
    tally = Tally(range(7, 1_000_007))
    assert tally.returns.nbytes + tally.lengths.nbytes + tally.played.nbytes == 17_000_000
    for _ in range(2):
        tally.add(9, 3.0, 30)
    tally.add(7, 1.0, 10)
    assert (tally.num_played, tally.mean) == (2, 2.0)
    assert np.flatnonzero(tally.played).tolist() == [0, 2]


def test_a_single_episode_has_no_interval(toy_run, tmp_path, capsys):
    file = tmp_path / "one.json"
    assert main(["evaluate", str(toy_run), "--episodes", "1", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert (result["num_episodes"], result["std"], result["ci95"]) == (1, None, None)
    assert capsys.readouterr().out == f"toy, real, trained: {result['mean']:.1f} over 1 episode\n"


def test_what_shows_scores_shows_that_of_a_single_episode(toy_copy, tmp_path, capsys):
    one = summarise(np.array([12.0]))
    assert (score_text(one), score_text(summarise(np.array([1.0, 3.0])), 1)) == ("12", "2.0 ± 1.4")
    target = load(toy_copy)
    print_table(target.task, {"real": one, "dream": {**one, "temperature": 1.0}})
    files.write_json(toy_copy / "evaluation" / "real.json", one)
    assert main(["inspect", str(toy_copy)]) == 0
    shown = capsys.readouterr().out
    assert "None" not in shown.split("scores:")[1]
    row = {"label": "x", "dream": one, "real": one, "paper_dream": None, "paper_real": None}
    for draw in DRAW.values():
        draw({"rows": [row], "random": one, "task": "toy"}, tmp_path / "table.png")
        assert (tmp_path / "table.png").stat().st_size > 5000


def test_chance_dreams_too(toy_run, tmp_path, capsys):
    def dreamt(*args):
        file = tmp_path / "chance.json"
        command = ["evaluate", str(toy_run), "--world", "dream", "--agent", "random", "--episodes", "9", "--json", str(file)]
        assert main([*command, *args]) == 0
        return json.loads(file.read_text())

    result = dreamt("--num-slots", "1")
    assert "toy, dream at τ 1.15, random: " in capsys.readouterr().out
    assert (result["agent"], result["world"], result["temperature"]) == ("random", "dream", 1.15)
    model = json.loads((toy_run / "model" / "config.json").read_text())["sha256"]
    assert result["sha256"] == {part: model[part] for part in ("vae", "rnn", "initial_latents")}
    assert result["controller_inputs"] is None
    assert dreamt("--num-slots", "4") == result
    agent = evaluate(EvaluateConfig(world="dream", episodes=9), load(toy_run))
    assert [e["return"] for e in agent["episodes"]] != [e["return"] for e in result["episodes"]]


def test_chance_has_no_dream_without_a_model(capsys):
    assert main(["evaluate", "toy", "--world", "dream", "--agent", "random"]) == 2
    assert "no agent is shipped for toy" in capsys.readouterr().err


def last_words(process):
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    return said.strip().splitlines()[-1]


def test_an_interrupted_evaluation_says_what_it_has_kept(toy_run, tmp_path):
    command = ["evaluate", str(toy_run), "--episodes", "1000000", "--num-workers", "1"]
    file = tmp_path / "x.json"
    kept = program(*command, "--json", file, stderr=subprocess.PIPE, text=True)
    lost = program(*command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    wait_for(lambda: file.with_name("x.json.played.jsonl").exists(), kept)
    assert last_words(kept) == f"worldmodels: interrupted; to go on: worldmodels {' '.join(command)} --json {file}"
    wait_for(lambda: list(tmp_path.glob("worldmodels-workers-*")), lost)
    assert last_words(lost) == (
        f"worldmodels: interrupted; nothing was kept; to begin anew: worldmodels {' '.join(command)}; "
        "with --json FILE what was played is kept, and a second call goes on"
    )


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_command_says_whether_it_goes_on(verb, monkeypatch, capsys):
    """Interrupted at its very beginning, which every command can be."""

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, verb, ("", interrupted))
    assert main([verb, "a b"]) == 130
    said = capsys.readouterr().err
    resumes = {"reproduce", "import", "collect", "train-vae", "encode", "train-rnn", "train-controller", "iterate", "table"}
    assert resumes == KEEPS_ITS_WORK
    goes_on = "what is not yet taken out is still there; to go on: " if verb == "clean" else "to go on: "
    assert (
        goes_on if verb in {*resumes, "clean"} else "nothing was kept; to begin anew: "
    ) + f"worldmodels {verb} 'a b'" in said
