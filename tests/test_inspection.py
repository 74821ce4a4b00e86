"""`worldmodels inspect`: every kind of path is told apart, and damage is said in words."""

import json
import os
import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

from worldmodels.base.errors import BadFileError
from worldmodels.base.files import sha256_of
from worldmodels.base.tensors import load_tensors
from worldmodels.cli import main
from worldmodels.models.world_model import load_initial_latents
from worldmodels.runs.lock import RunLock


def inspect(path, tmp_path):
    out = tmp_path / "facts.json"
    assert main(["inspect", str(path), "--json", str(out)]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ("name", "kind", "facts"),
    [
        (".", "run", {"task": "toy", "recipe": "best", "seed": 0}),
        ("episodes", "episodes", {"shards": 3, "episodes": 12}),
        ("episodes/shard-00001", "episode shard", {"episodes": 4}),
        ("latents", "latents", {"episodes": 12, "latent_size": 4}),
        ("rnn", "stage", {"state": "finished"}),
        (
            "model",
            "model",
            {"task": "toy", "controller_inputs": "zh", "initial_latents": 12, "frames": "own", "dream_end": "compared"},
        ),
        ("model/controller.safetensors", "weights", {"tensors": 2, "numbers": 13, "types": ["float32"]}),
        ("evaluation/real.json", "result", {"world": "real", "episodes": 6}),
        ("controller/history.jsonl", "log", {"rows": 4}),
    ],
)
def test_every_kind_is_known(toy_run, tmp_path, name, kind, facts, capsys):
    found = inspect(toy_run / name, tmp_path)
    assert found["kind"] == kind
    assert found["health"] == []
    assert found["bytes"] > 0
    assert {key: found[key] for key in facts} == facts
    assert "nothing wrong found" in capsys.readouterr().out


def test_a_list_of_values_is_no_fault(tmp_path):
    """Such as the original's training logs."""
    log = tmp_path / "doomrnn.cma.16.64.hist.json"
    log.write_text("[[1, 2.5, 3], [2, 3.5, 4]]")
    found = inspect(log, tmp_path)
    assert (found["values"], found["health"]) == (2, [])


def test_a_run_says_how_far_it_is(toy_copy, tmp_path):
    (toy_copy / "controller" / "DONE").unlink()
    found = inspect(toy_copy, tmp_path)
    assert found["stages"]["controller"]["state"] == "begun"
    assert found["stages"]["rnn"]["state"] == "finished"
    assert found["stages"]["collect"]["num_episodes"] == 12
    assert re.fullmatch(r"\d+:\d\d", found["stages"]["collect"]["took"])
    assert set(found["scores"]) == {"random", "dream", "real"}


def test_a_half_trained_run_says_what_is_next_and_how_long_it_may_take(toy_copy, tmp_path, capsys):
    assert "next" not in inspect(toy_copy, tmp_path)
    (toy_copy / "controller" / "DONE").unlink()
    history = toy_copy / "controller" / "history.jsonl"
    rows = [json.loads(line) | {"elapsed_seconds": 30.0 * number} for number, line in enumerate(history.open(), 1)]
    history.write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    found = inspect(toy_copy, tmp_path)
    assert found["next"] == f"worldmodels train-controller --run {toy_copy}"
    assert found["so_far"] == "2 of 4 generations"
    assert found["may_take"] == "1:00 more for train-controller, at the pace so far"
    shutil.rmtree(toy_copy / "controller")
    found = inspect(toy_copy, tmp_path)
    assert "so_far" not in found
    assert found["may_take"] == "not known before it has begun"
    (toy_copy / "rnn" / "DONE").unlink()
    log = toy_copy / "rnn" / "metrics.jsonl"
    rows = [json.loads(line) for line in log.open()]
    log.write_text("".join(json.dumps(row | {"time": 100.0 + 10 * i}) + "\n" for i, row in enumerate(rows[:2])))
    found = inspect(toy_copy, tmp_path)
    assert found["next"] == f"worldmodels train-rnn --run {toy_copy}"
    assert found["so_far"].startswith(f"{rows[1]['step']} of ")
    known, unknown = found["may_take"].split("; ")
    assert known.endswith("more for train-rnn, at the pace so far")
    assert unknown == "how long train-controller will take is not known yet"
    assert f"next: worldmodels train-rnn --run {toy_copy}" in capsys.readouterr().out


def test_what_a_kill_lost_is_not_counted(toy_copy, tmp_path):
    """Before the first checkpoint that is all; while a process is at work nothing is lost."""
    (toy_copy / "controller").rename(tmp_path / "later")
    (toy_copy / "rnn" / "DONE").unlink()
    (toy_copy / "rnn" / "training_state" / "state.safetensors").rename(tmp_path / "state.safetensors")
    found = inspect(toy_copy, tmp_path)
    assert found["so_far"] == "0 of 30 steps; nothing of the 30 that were done was saved: it begins anew"
    with RunLock(toy_copy):
        found = inspect(toy_copy, tmp_path)
        assert found["in_use"].startswith(f"by process {os.getpid()} on ")
        assert found["so_far"] == "30 of 30 steps"
        assert "next" not in found
    assert "in_use" not in inspect(toy_copy, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("evaluation/real.json", '{"mean": 1, "std": 2, "episodes": []}', "it has no episodes"),
        ("evaluation/real.json", '{"mean": 1, "std": 2}', "'episodes' is no list"),
        ("evaluation/real.json", "[1, 2]", "'episodes' is no list"),
        ("evaluation/real.json", '{"mean": 1, "num_episodes": 1, "episodes": [{"return": NaN}]}', "episode 1 is nan"),
        ("evaluation/real.json", '{"mean": "1", "num_episodes": 1, "episodes": [{"return": 1}]}', "mean is '1'"),
        ("controller/scores.jsonl", '{"generation": 9, "mean": 1, "std": 1}\n', "scores generation 9, which history.jsonl"),
        ("controller/history.jsonl", '{"generation": 1, "elapsed_seconds": 1}\n', "'mean' is None in row 1"),
    ],
)
def test_what_a_picture_is_made_of_is_checked(toy_copy, tmp_path, name, content, said, capsys):
    """A picture of it is refused in one line that names the file."""
    (toy_copy / name).write_text(content)
    found = inspect(toy_copy, tmp_path)
    assert any(name in fault and said in fault for fault in found["health"]), found["health"]
    capsys.readouterr()
    assert main(["plot", str(toy_copy)]) == 3
    [line] = capsys.readouterr().err.splitlines()
    assert name in line
    assert said in line


@pytest.mark.parametrize("stage", ["collect", "encode"])
def test_a_killed_stage_says_how_far_it_is(toy_copy, tmp_path, stage):
    folder = toy_copy / {"collect": "episodes", "encode": "latents"}[stage]
    (folder / "DONE").unlink()
    if stage == "collect":
        shutil.rmtree(folder / "shard-00002")
    else:
        (folder / "position.json").write_text('{"frames": 100, "of": 321}')
    found = inspect(toy_copy, tmp_path)
    assert found["next"] == f"worldmodels {stage} --run {toy_copy}"
    assert found["so_far"].startswith({"collect": "8 of 12 episodes", "encode": "100 of 321 frames"}[stage])


@pytest.mark.parametrize(
    ("damaged", "looked_at", "said"),
    [
        ("vae/model.safetensors", ".", "is not what the stage wrote"),
        ("model/rnn.safetensors", "model", "another model"),
        ("episodes/shard-00000/frames.bin", "episodes", "shard-00000"),
        ("episodes/shard-00000/frames.bin", "episodes/shard-00000", "checksum"),
        ("latents/mu.npy", "latents", "mu.npy"),
        ("model/vae.safetensors", "model/vae.safetensors", "not a safetensors file"),
        ("config.json", ".", "config.json"),
    ],
)
def test_damage_is_said_in_words(toy_copy, tmp_path, damaged, looked_at, said, capsys):
    file = toy_copy / damaged
    data = bytearray(file.read_bytes())
    if said in ("another model", "is not what the stage wrote", "checksum", "shard-00000"):
        data[-5] ^= 1
        file.write_bytes(data)
    else:
        file.write_bytes(data[: len(data) // 2])
    found = inspect(toy_copy / looked_at, tmp_path)
    assert len(found["health"]) >= 1
    assert any(said in fault for fault in found["health"]), found["health"]
    assert "FAULT" in capsys.readouterr().out


def test_a_torn_log_is_told(toy_copy, tmp_path):
    path = toy_copy / "controller" / "history.jsonl"
    path.write_text(path.read_text() + '{"generation": 5, "me')
    found = inspect(path, tmp_path)
    assert found["rows"] == 4
    assert "1 torn lines" in found["health"][0]


def test_a_value_that_is_no_number(tmp_path):
    save_file({"w": torch.tensor([1.0, float("nan")])}, tmp_path / "w.safetensors")
    assert "'w' holds a value that is not finite" in inspect(tmp_path / "w.safetensors", tmp_path)["health"][0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (torch.float8_e4m3fn, "'bias' is of type float8_e4m3fn; weights are of float16, bfloat16, float32, float64"),
        (torch.complex64, "'bias' is of type complex64"),
        (torch.bool, "'bias' is of type bool"),
        (torch.int64, "'bias' is of type int64"),
        (torch.float64, "'bias' holds a value that is not finite as float32"),
    ],
)
def test_weights_of_another_type(toy_copy, tmp_path, kind, said, capsys):
    """One line that names the file and the tensor, wherever they are read; a large float64 has no float32."""
    path = toy_copy / "model" / "controller.safetensors"
    tensors = {name: (1e300 * tensor.double()).to(kind) for name, tensor in load_tensors(path).items()}
    save_file(tensors, path)
    config = json.loads((toy_copy / "model" / "config.json").read_text())
    config["sha256"]["controller"] = sha256_of(path)
    (toy_copy / "model" / "config.json").write_text(json.dumps(config))
    assert any(f"{path}: {said}" in fault for fault in inspect(path, tmp_path)["health"])
    assert any(f"{path}: {said}" in fault for fault in inspect(path.parent, tmp_path)["health"])
    capsys.readouterr()
    assert main(["evaluate", str(toy_copy / "model"), "--episodes", "1", "--num-workers", "1"]) == 3
    [line] = capsys.readouterr().err.splitlines()
    assert f"{path}: {said}" in line


def test_latents_that_no_dream_can_begin_with(tmp_path):
    """They are finite, and what is drawn of them is not."""
    save_file({"mu": torch.zeros(3, 4).half(), "logvar": torch.full((3, 4), 60_000.0).half()}, tmp_path / "i.safetensors")
    with pytest.raises(BadFileError, match=r"i.safetensors: 'logvar' goes up to 60000"):
        load_initial_latents(tmp_path / "i.safetensors", 4)


@pytest.mark.parametrize("name", ["nothing", "notes.txt"])
def test_something_else_is_refused(tmp_path, name, capsys):
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["inspect", str(tmp_path / name)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_strangers_words_are_not_obeyed_by_the_terminal(toy_copy, capsys):
    config = json.loads((toy_copy / "config.json").read_text())
    config["versions"]["torch"] = "2\x1b[31m\nhealth: nothing wrong found"
    (toy_copy / "config.json").write_text(json.dumps(config))
    assert main(["inspect", str(toy_copy)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "2\\x1b[31m\\nhealth" in out


def test_a_folder_of_runs_names_one_of_them(toy_copy, capsys):
    for command in (["inspect"], ["plot"], ["clean", "--yes"]):
        assert main([*command, str(toy_copy.parent)]) == 2
        assert f"did you mean '{toy_copy}', which lies in it?" in capsys.readouterr().err
