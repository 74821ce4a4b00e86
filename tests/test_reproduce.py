"""The whole experiment on the toy task: killed anywhere and started again, it ends with the same bytes."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from kill_loop import result_of

from worldmodels.base import files
from worldmodels.cli import main
from worldmodels.runs.run import VERBS, Run


def test_everything_is_there(toy_run):
    found = result_of(toy_run)
    expected = {
        "episodes/shard-00002/frames.bin",
        "vae/model.safetensors",
        "latents/mu.npy",
        "rnn/model.safetensors",
        "controller/best.safetensors",
        "model/config.json",
        "controller/DONE",
    }
    assert expected <= set(found)
    summary = json.loads((toy_run / "evaluation" / "results.json").read_text())
    for path in summary["files"].values():
        assert (toy_run / path).stat().st_size > 1000
    assert summary["evaluations"]["real"]["num_episodes"] == 6
    history = found["controller/history.jsonl"]
    assert [row["generation"] for row in history] == [1, 2, 3, 4]
    assert {"mean", "min", "max", "std", "sigma", "steps"} <= set(history[0])
    assert list(toy_run.rglob(".*.tmp*")) == []


def test_the_same_command_again_changes_nothing(toy_run, toy_copy):
    assert main(["reproduce", "toy", "--run", str(toy_copy)]) == 0
    assert result_of(toy_copy) == result_of(toy_run)


def state_of(run):
    """The bytes of every file, and when it was written."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(run)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_finished_run_is_left_as_it_is(toy_copy):
    """Scores, pictures, video and times: all of it is there, nothing is made or written again."""
    before = state_of(toy_copy)
    assert main(["reproduce", "toy", "--run", str(toy_copy)]) == 0
    assert state_of(toy_copy) == before


@pytest.mark.parametrize("change", ["gone", "damaged", "other inputs"])
def test_what_is_no_longer_right_is_made_again_and_nothing_else(toy_copy, change):
    folder = toy_copy / "evaluation"
    before = state_of(folder)
    curve = folder / "curve.png"
    if change == "gone":
        curve.unlink()
    elif change == "damaged":
        curve.write_bytes(curve.read_bytes()[:-1])
    else:
        scores = toy_copy / "controller" / "scores.jsonl"
        *rows, last = map(json.loads, scores.read_text().splitlines())
        scores.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**last, "mean": last["mean"] + 20}]))
    assert main(["reproduce", "toy", "--run", str(toy_copy)]) == 0
    after = state_of(folder)
    written = {name for name in after if after[name][0] != before[name][0]}
    assert written - {"made.json"} == {"curve.png"}
    assert (after["curve.png"][1] == before["curve.png"][1]) == (change != "other inputs")


def test_a_damaged_record_of_what_was_made_only_costs_time(toy_copy):
    for name in ("made.json", "results.json"):
        (toy_copy / "evaluation" / name).write_text("{")
    assert main(["reproduce", "toy", "--run", str(toy_copy)]) == 0
    assert json.loads((toy_copy / "evaluation" / "results.json").read_text())["evaluations"]["real"]["num_episodes"] == 6
    assert len(json.loads((toy_copy / "evaluation" / "made.json").read_text())) == 3


def test_the_latents_are_read_through_once(toy_copy, monkeypatch):
    """A search that takes its coordinates from the latents compares them to the record once, not once for every use."""
    preset = Run.open(toy_copy).preset
    for name in ("controller", "model"):
        shutil.rmtree(toy_copy / name)
    controller = dataclasses.replace(preset.controller, num_components=3)
    dataclasses.replace(Run.open(toy_copy), preset=dataclasses.replace(preset, controller=controller)).save()
    read = []
    of_bytes = files.sha256_of
    monkeypatch.setattr(files, "sha256_of", lambda path: read.append(path.name) or of_bytes(path))
    assert main(["train-controller", "--run", str(toy_copy)]) == 0
    assert read.count("mu.npy") == read.count("action.npy") == 1


def test_killed_in_every_stage_it_ends_with_the_same_bytes(tmp_path):
    """A kill a stage; `make faults` kills every command of every task twenty times, and hurts it in other ways."""
    found = tmp_path / "faults.json"
    command = [sys.executable, str(Path(__file__).parent / "kill_loop.py"), "--kills", "1", "--json", str(found)]
    asked = ["--tasks", "toy", "--commands", *VERBS.values(), "--faults", "kill"]
    finished = subprocess.run([*command, *asked], capture_output=True, text=True, check=False, timeout=600)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    rows = json.loads(found.read_text())["rows"]
    assert [row["command"] for row in rows] == list(VERBS.values())
    assert all(row["survived"] == row["tried"] == 1 for row in rows)


def test_workers_make_no_difference(toy_run, tmp_path):
    arguments = ["--task", "toy", "--scale", "smoke", "--num-workers", "2"]
    assert main(["collect", "--run", str(tmp_path / "run"), *arguments]) == 0
    shards = sorted((toy_run / "episodes").glob("shard-*"))
    assert len(shards) == 3
    for shard in shards:
        for file in shard.iterdir():
            assert (tmp_path / "run" / "episodes" / shard.name / file.name).read_bytes() == file.read_bytes()


def test_no_worker_outlives_a_killed_collection(tmp_path):
    command = [sys.executable, "-m", "worldmodels", "collect", "--run", str(tmp_path), "--task", "toy", "--scale", "smoke"]
    with subprocess.Popen(
        [*command, "--num-episodes", "4000", "--num-workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        while not (tmp_path / "episodes" / "shard-00000").exists():
            assert process.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    try:
        time.sleep(5)
        alive = [p for p in workers if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        assert alive == []
    finally:
        for worker in workers:
            if worker.is_running():
                worker.kill()


def test_changed_settings_are_refused_by_name(toy_copy, capsys):
    file = toy_copy / "config.json"
    config = json.loads(file.read_text())
    config["stages"]["rnn"]["num_steps"] = 31
    file.write_text(json.dumps(config))
    assert main(["reproduce", "toy", "--run", str(toy_copy)]) == 2
    assert "num_steps 30 → 31" in capsys.readouterr().err


def resume(run: Path, verb: str) -> int:
    (run / {"train-vae": "vae", "train-rnn": "rnn"}[verb] / "DONE").unlink()
    return main([verb, "--run", str(run)])


@pytest.mark.parametrize(("verb", "stage"), [("train-vae", "vae"), ("train-rnn", "rnn")])
def test_killed_after_the_last_checkpoint(toy_run, toy_copy, verb, stage):
    assert resume(toy_copy, verb) == 0
    assert (toy_copy / stage / "model.safetensors").read_bytes() == (toy_run / stage / "model.safetensors").read_bytes()
    assert (toy_copy / stage / "DONE").read_bytes() == (toy_run / stage / "DONE").read_bytes()


@pytest.mark.parametrize(("verb", "stage"), [("train-vae", "vae"), ("train-rnn", "rnn")])
def test_killed_between_the_state_and_the_weights(toy_run, toy_copy, verb, stage):
    """The state of the last step is on disk; the weights beside it are still those of an earlier checkpoint."""
    other = "rnn" if stage == "vae" else "vae"
    weights = toy_copy / stage / "model.safetensors"
    weights.write_bytes((toy_copy / other / "model.safetensors").read_bytes())
    assert resume(toy_copy, verb) == 0
    assert weights.read_bytes() == (toy_run / stage / "model.safetensors").read_bytes()


def test_leftovers_of_a_checkpoint_are_cleared(toy_copy):
    leftover = toy_copy / "vae" / "training_state" / ".state.abc.tmp.safetensors"
    leftover.touch()
    assert resume(toy_copy, "train-vae") == 0
    assert not leftover.exists()
