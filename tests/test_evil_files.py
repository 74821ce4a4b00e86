"""Files that somebody made to hurt: pickles under every name, bombs and absurd claims. Nothing of them runs."""

import json
import pickle
import shutil
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodels.base.files import MAX_JSON_BYTES
from worldmodels.cli import main


class Canary:
    """Unpickling one leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


#: Every file of a run that is read, and what reads it.
READERS = {
    "config.json": "evaluate",
    "episodes/shard-00000/shard.json": "train-vae",
    "episodes/shard-00000/frames.bin": "train-vae",
    "episodes/shard-00000/steps.npz": "train-vae",
    "episodes/DONE": "train-vae",
    "vae/model.safetensors": "encode",
    "vae/training_state/state.safetensors": "train-vae",
    "latents/mu.npy": "train-rnn",
    "latents/terminated.npy": "train-rnn",
    "controller/history.jsonl": "train-controller",
    "model/rnn.safetensors": "evaluate",
    "model/config.json": "evaluate",
}
FORGET = {"train-vae": "vae/DONE", "encode": "latents", "train-rnn": "rnn/DONE", "train-controller": "controller/DONE"}


def evil(kind, canary):
    """The bytes of a file that touches ``canary`` if anything unpickles it."""
    if kind == "pickle":
        return pickle.dumps(Canary(canary))
    folder = Path(canary).parent
    if kind == "torch":
        torch.save({"weight": Canary(canary)}, folder / "evil")
    elif kind == "npy":
        with (folder / "evil").open("wb") as file:
            np.save(file, np.array([Canary(canary)] * 3, object), allow_pickle=True)
    else:
        with (folder / "evil").open("wb") as file:
            np.savez(file, action=np.array([Canary(canary)], object), mu=np.array([Canary(canary)], object))
    return (folder / "evil").read_bytes()


def command_for(verb, run):
    return ["evaluate", str(run), "--episodes", "1", "--world", "dream"] if verb == "evaluate" else [verb, "--run", str(run)]


@pytest.mark.parametrize("name", READERS)
def test_a_pickle_under_every_name_is_refused_and_does_not_run(toy_run, tmp_path, capsys, name):
    canary = tmp_path / "canary"
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    verb = READERS[name]
    if verb in FORGET:
        path = run / FORGET[verb]
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for kind in ("pickle", "torch", "npy", "npz"):
        (run / name).write_bytes(evil(kind, canary))
        capsys.readouterr()
        start = time.monotonic()
        code = main(command_for(verb, run))
        # A log whose lines are none is an empty log: its generations are played again.
        assert code in (2, 3) or (name.endswith(".jsonl") and code == 0)
        if code:
            assert time.monotonic() - start < 5
        for looked_at in ((run / name), (run / name).parent):
            assert main(["inspect", str(looked_at)]) in (0, 2, 3)
        assert "Traceback" not in capsys.readouterr().err
        assert not canary.exists()
    pickle.loads(evil("pickle", canary))
    assert canary.exists()  # the canary does sing


@pytest.mark.parametrize("ending", [".pt", ".pth", ".pkl", ".ckpt"])
def test_what_others_call_weights_is_nothing_to_us(tmp_path, capsys, ending):
    canary = tmp_path / "canary"
    path = tmp_path / f"model{ending}"
    path.write_bytes(evil("torch", canary))
    for command in (["inspect", path], ["evaluate", path]):
        assert main(list(map(str, command))) in (2, 3)
    assert not canary.exists()


def refused_cheaply(capsys, command, start):
    """Runs a command that must refuse without much memory; returns its line."""
    capsys.readouterr()
    tracemalloc.start()
    try:
        assert main(command) == 3
        assert tracemalloc.get_traced_memory()[1] < 10**8
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 20
    return capsys.readouterr().err


def test_a_bomb_in_a_shard(toy_copy, capsys):
    (toy_copy / "vae" / "DONE").unlink()
    with zipfile.ZipFile(toy_copy / "episodes" / "shard-00000" / "steps.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("action", "reward", "terminated", "damage"):
            with archive.open(f"{name}.npy", "w") as member:
                for _ in range(200):
                    member.write(bytes(10**6))
    assert "steps.npz" in refused_cheaply(capsys, ["train-vae", "--run", str(toy_copy)], time.monotonic())


@pytest.mark.parametrize("name", ["config.json", "controller/history.jsonl", "vae/STARTED"])
def test_a_file_of_a_terabyte(toy_copy, capsys, name):
    """It takes no room on the disk: there is nothing in it."""
    verb, folder = ("train-vae", "vae") if name == "vae/STARTED" else ("train-controller", "controller")
    (toy_copy / folder / "DONE").unlink()
    with (toy_copy / name).open("wb") as file:
        file.truncate(10**12)
    assert MAX_JSON_BYTES < 10**12
    assert "1,000,000,000,000 bytes" in refused_cheaply(capsys, [verb, "--run", str(toy_copy)], time.monotonic())


def test_latents_that_claim_a_petabyte(toy_copy, capsys):
    (toy_copy / "rnn" / "DONE").unlink()
    header = b"{'descr': '<f2', 'fortran_order': False, 'shape': (1000000000000, 500), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (toy_copy / "latents" / "mu.npy").write_bytes(content)
    assert "mu.npy" in refused_cheaply(capsys, ["train-rnn", "--run", str(toy_copy)], time.monotonic())


@pytest.mark.parametrize("task", ["../../etc/passwd", "os.system", "take-cover/../toy", "", "worldmodels_toy:MovingDot"])
def test_a_task_is_a_known_name_and_never_a_path_or_a_class(toy_copy, capsys, task):
    for file in (toy_copy / "config.json", toy_copy / "model" / "config.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "task": task}))
    for command in (["train-vae", "--run", toy_copy], ["evaluate", toy_copy / "model", "--world", "dream"]):
        capsys.readouterr()
        assert main(list(map(str, command))) == 2
        assert "there is no task" in capsys.readouterr().err
