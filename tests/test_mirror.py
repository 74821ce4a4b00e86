"""Episodes seen in a mirror: what is encoded, what M makes of it, and that a kill changes nothing."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodels.cli import main
from worldmodels.data.run_data import open_episodes, open_latents
from worldmodels.envs.registry import get_task
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import load_vae
from worldmodels.runs.run import Run
from worldmodels.stages import encode


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """A run of the toy task between walls with a trained V."""
    path = tmp_path_factory.mktemp("mirror") / "run"
    for verb in (["collect", "--task", "toy-walls", "--scale", "smoke"], ["train-vae"]):
        assert main([*verb, "--run", str(path)]) == 0
    return path


@pytest.fixture
def run_path(collected, tmp_path):
    return Path(shutil.copytree(collected, tmp_path / "run"))


def test_the_newest_episodes_are_encoded_in_a_mirror(run_path):
    assert main(["encode", "--run", str(run_path), "--mirror-episodes", "5"]) == 0
    run = Run.open(run_path)
    store, episodes = open_latents(run), open_episodes(run)
    assert store.first_mirrored == store.num_episodes - 5
    vae = VAE(get_task("toy-walls").latent_size)
    load_vae(run_path / "vae" / "model.safetensors", vae)
    first = int(store.offsets[store.first_mirrored])
    frames = torch.from_numpy(episodes.frames(first, episodes.num_frames)[:, :, ::-1].copy())
    size = run.preset.encode.batch_size
    found = [vae.eval().encode_frames(frames[at : at + size], many=True) for at in range(0, len(frames), size)]
    expected = [torch.cat(parts).half().float().numpy() for parts in zip(*found, strict=True)]
    steps = np.arange(first, episodes.num_frames)
    for shown, wanted in zip(store.latents(steps, np.ones(len(steps), np.bool_)), expected, strict=True):
        np.testing.assert_array_equal(shown, wanted)
    assert not np.array_equal(expected[0], store.mu[first:])


def test_a_killed_encoding_in_the_mirror_ends_with_the_same_bytes(run_path, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "SPAN_FRAMES", 64)
    whole = shutil.copytree(run_path, tmp_path / "whole")
    command = ["encode", "--mirror-episodes", "12", "--run"]
    assert main([*command, str(whole)]) == 0
    num_spans = -(-Run.open(whole).require("collect")["num_frames"] // 64)
    write, left = encode.files.write_json, num_spans + 2

    def killed(path, value):
        nonlocal left
        left -= path.name == "position.json"
        if left < 0:
            raise KeyboardInterrupt
        write(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(encode.files, "write_json", killed)
        assert main([*command, str(run_path)]) == 130
    assert not (run_path / "latents" / "DONE").exists()
    assert main([*command, str(run_path)]) == 0
    for name in ("mu", "logvar", "mirrored_mu", "mirrored_logvar"):
        assert (run_path / "latents" / f"{name}.npy").read_bytes() == (whole / "latents" / f"{name}.npy").read_bytes()
    assert (run_path / "latents" / "DONE").read_bytes() == (whole / "latents" / "DONE").read_bytes()


def test_m_learns_from_both(run_path, tmp_path):
    """With the mirror M is another one than without it."""
    weights = []
    for number in (0, 6):
        path = Path(shutil.copytree(run_path, tmp_path / f"run-{number}"))
        assert main(["encode", "--run", str(path), "--mirror-episodes", str(number)]) == 0
        assert main(["train-rnn", "--run", str(path)]) == 0
        weights.append((path / "rnn" / "model.safetensors").read_bytes())
    assert weights[0] != weights[1]


def test_a_part_of_another_mirror_is_refused(run_path, capsys):
    assert main(["encode", "--run", str(run_path), "--mirror-episodes", "6"]) == 0
    path = run_path / "latents" / "mirrored_mu.npy"
    np.save(path, np.load(path) + 1)
    assert main(["train-rnn", "--run", str(run_path)]) == 2
    assert "mirrored_mu.npy: has SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mirrored_mu", "mirrored_logvar"])
def test_a_missing_part_of_the_mirror_is_named(run_path, name, capsys):
    assert main(["encode", "--run", str(run_path), "--mirror-episodes", "6"]) == 0
    (run_path / "latents" / f"{name}.npy").unlink()
    assert main(["train-rnn", "--run", str(run_path)]) == 3
    assert f"{name}.npy" in capsys.readouterr().err


def test_a_task_that_is_another_in_a_mirror_is_refused(toy_copy, capsys):
    shutil.rmtree(toy_copy / "latents")
    assert main(["encode", "--run", str(toy_copy), "--mirror-episodes", "3"]) == 2
    assert "mirror_episodes is 3; toy is not the same in a mirror: leave it 0" in capsys.readouterr().err
    assert not (toy_copy / "latents").exists()
