"""Parts of different runs, and damaged ones, are refused by hash; damaged episodes are set aside and played again."""

import json
import shutil

import numpy as np
import pytest
from kill_loop import result_of

from worldmodels.base.files import sha256_of
from worldmodels.cli import main

#: The stages after each one.
LATER = {
    "episodes": ["vae", "latents", "rnn", "controller", "model"],
    "vae": ["latents", "rnn", "controller", "model"],
    "latents": ["rnn", "controller", "model"],
    "rnn": ["controller", "model"],
}
READER = {"episodes": "train-vae", "vae": "encode", "latents": "train-rnn", "rnn": "train-controller"}


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    """The toy task with another seed, as far as M."""
    path = tmp_path_factory.mktemp("other") / "run"
    for verb in ("collect", "train-vae", "encode", "train-rnn"):
        assert main([verb, "--run", str(path), "--task", "toy", "--scale", "smoke", "--seed", "5"]) == 0
    return path


def forget_later(run, stage):
    for name in LATER[stage]:
        shutil.rmtree(run / name, ignore_errors=True)


def refused(capsys, code, *command):
    capsys.readouterr()
    assert main([str(word) for word in command]) == code
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("worldmodels: ")
    return line


@pytest.mark.parametrize("stage", ["vae", "rnn"])
def test_another_runs_weights_are_refused_with_both_hashes(toy_copy, other_run, capsys, stage):
    forget_later(toy_copy, stage)
    mine, theirs = (run / stage / "model.safetensors" for run in (toy_copy, other_run))
    made = sha256_of(mine)
    shutil.copy(theirs, mine)
    line = refused(capsys, 2, READER[stage], "--run", toy_copy)
    assert made[:12] in line
    assert sha256_of(theirs)[:12] in line


@pytest.mark.parametrize("stage", ["vae", "latents", "rnn"])
def test_another_runs_stage_is_refused_with_both_hashes(toy_copy, other_run, capsys, stage):
    """The whole folder, whose own hashes agree: M of another V, and so on."""
    shutil.rmtree(toy_copy / stage)
    shutil.copytree(other_run / stage, toy_copy / stage)
    shutil.rmtree(toy_copy / "controller")
    line = refused(capsys, 2, "train-controller", "--run", toy_copy)
    assert "parts of different runs do not go together" in line


def test_another_runs_controller_is_refused(toy_copy, tmp_path, other_run, capsys):
    """Its C, in the folder of this V and M."""
    shutil.copytree(other_run, tmp_path / "their run")
    assert main(["train-controller", "--run", str(tmp_path / "their run")]) == 0
    shutil.copy(tmp_path / "their run" / "model" / "controller.safetensors", toy_copy / "model")
    assert "part of another model" in refused(capsys, 2, "evaluate", toy_copy, "--episodes", "1", "--world", "dream")


def test_another_tasks_weights_are_refused_with_both_shapes(toy_copy, capsys):
    from worldmodels.agent.target import model_folder

    forget_later(toy_copy, "vae")
    shutil.copy(model_folder("take-cover") / "vae.safetensors", toy_copy / "vae" / "model.safetensors")
    line = refused(capsys, 2, "encode", "--run", toy_copy)
    assert "this task's model has" in line


@pytest.mark.parametrize("name", ["mu", "reward"])
def test_a_bit_of_the_latents_is_noticed(toy_copy, capsys, name):
    forget_later(toy_copy, "latents")
    path = toy_copy / "latents" / f"{name}.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert f"{name}.npy" in refused(capsys, 2, "train-rnn", "--run", toy_copy)


def test_other_beginnings_of_dreams_are_refused(toy_copy, other_run, capsys):
    shutil.rmtree(toy_copy / "controller")
    shutil.copy(other_run / "latents" / "initial_latents.safetensors", toy_copy / "latents")
    assert "initial_latents" in refused(capsys, 2, "train-controller", "--run", toy_copy)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGE = {
    "missing": shutil.rmtree,
    "no manifest": lambda shard: (shard / "shard.json").unlink(),
    "truncated": lambda shard: (shard / "frames.bin").write_bytes((shard / "frames.bin").read_bytes()[:-1]),
    "empty": lambda shard: (shard / "steps.npz").write_bytes(b""),
    "a bit": lambda shard: flip_a_bit(shard / "frames.bin"),
    "other steps": lambda shard: np.savez(shard / "steps.npz", action=np.zeros(3)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_episodes_are_named_and_played_again(toy_run, toy_copy, capsys, damage):
    forget_later(toy_copy, "episodes")
    shard = toy_copy / "episodes" / "shard-00001"
    DAMAGE[damage](shard)
    code = 2 if damage == "missing" else 3
    assert "collect" in refused(capsys, code, "train-vae", "--run", toy_copy)
    # What the message says: a finished collection is not read through again, so what only a checksum tells is taken away.
    if damage in ("empty", "a bit", "other steps"):
        shutil.rmtree(shard)
    assert main(["collect", "--run", str(toy_copy)]) == 0
    for file in (toy_run / "episodes" / "shard-00001").iterdir():
        assert (shard / file.name).read_bytes() == file.read_bytes()
    assert (toy_copy / "episodes" / "DONE").read_bytes() == (toy_run / "episodes" / "DONE").read_bytes()


def test_an_unfinished_collection_sets_damage_aside(toy_run, toy_copy, capsys):
    forget_later(toy_copy, "episodes")
    episodes = toy_copy / "episodes"
    (episodes / "DONE").unlink()
    flip_a_bit(episodes / "shard-00002" / "frames.bin")
    capsys.readouterr()
    assert main(["collect", "--run", str(toy_copy)]) == 0
    assert (
        "shard-00002/frames.bin: its content does not match its checksum; kept as damaged-shard-00002"
        in capsys.readouterr().err
    )
    assert len(list(episodes.glob("damaged-shard-00002-*"))) == 1
    assert (episodes / "shard-00002" / "frames.bin").read_bytes() == (
        toy_run / "episodes" / "shard-00002" / "frames.bin"
    ).read_bytes()
    assert main(["train-vae", "--run", str(toy_copy)]) == 0
    assert (toy_copy / "vae" / "DONE").read_bytes() == (toy_run / "vae" / "DONE").read_bytes()


def test_an_interrupted_encoding_whose_arrays_are_gone_begins_anew(toy_run, toy_copy):
    latents = toy_copy / "latents"
    (latents / "DONE").unlink()
    (latents / "position.json").write_text(json.dumps({"frames": 10}))
    (latents / "logvar.npy").write_bytes(b"")
    assert main(["encode", "--run", str(toy_copy)]) == 0
    assert result_of(toy_copy) == result_of(toy_run)


def test_moved_renamed_and_copied_it_goes_on(toy_run, tmp_path, monkeypatch):
    """Half of it made in one place, the other half elsewhere, under a name with spaces and accents, from another folder."""
    moved = tmp_path / "à côté" / "déjà vu (2)"
    moved.parent.mkdir()
    shutil.copytree(toy_run, moved)
    forget_later(moved, "latents")
    (moved / "latents" / "DONE").unlink()
    monkeypatch.chdir(moved.parent)
    for verb in ("encode", "train-rnn", "train-controller"):
        assert main([verb, "--run", moved.name]) == 0
    found, expected = result_of(moved), result_of(toy_run)
    assert {name: found[name] for name in expected} == expected
