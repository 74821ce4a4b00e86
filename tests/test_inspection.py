"""`worldmodels inspect`: every kind of path is told apart, and damage is said in words."""

import json
import re
import shutil

import pytest

from worldmodels.cli import main


def inspect(path, tmp_path):
    out = tmp_path / "facts.json"
    assert main(["inspect", str(path), "--json", str(out)]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ("name", "kind", "facts"),
    [
        (".", "run", {"task": "toy", "seed": 0}),
        ("episodes", "episodes", {"shards": 3, "episodes": 12}),
        ("episodes/shard-00001", "episode shard", {"episodes": 4}),
        ("latents", "latents", {"episodes": 12, "latent_size": 4}),
        ("rnn", "stage", {"state": "finished"}),
        ("model", "model", {"task": "toy", "controller_inputs": "zh", "initial_latents": 12}),
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
    assert found["may_take"] == "1:00 more, at the pace so far"
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
    assert found["may_take"].endswith("more, at the pace so far")
    assert f"next: worldmodels train-rnn --run {toy_copy}" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["collect", "encode"])
def test_a_killed_stage_says_how_far_it_is(toy_copy, tmp_path, stage):
    folder = toy_copy / {"collect": "episodes", "encode": "latents"}[stage]
    (folder / "DONE").unlink()
    if stage == "collect":
        shutil.rmtree(folder / "shard-00002")
    else:
        (folder / "position.json").write_text('{"frames": 100}')
    found = inspect(toy_copy, tmp_path)
    assert found["next"] == f"worldmodels {stage} --run {toy_copy}"
    assert found["so_far"].startswith({"collect": "8 of 12 episodes", "encode": "100 of "}[stage])


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
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.tensor([1.0, float("nan")])}, tmp_path / "w.safetensors")
    assert "'w' holds a value that is not finite" in inspect(tmp_path / "w.safetensors", tmp_path)["health"][0]


@pytest.mark.parametrize("name", ["nothing", "notes.txt"])
def test_something_else_is_refused(tmp_path, name, capsys):
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["inspect", str(tmp_path / name)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
