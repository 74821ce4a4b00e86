"""Training that goes wrong: no NaN is ever saved, the batch is named, a collapsed V is shown, a broken fitness is counted."""

import json
import shutil

import numpy as np
import pytest
import torch
from worldmodels_toy import SMOKE, MovingDot

from worldmodels.base.files import sha256_of
from worldmodels.base.tensors import load_metadata, load_tensors, save_tensors
from worldmodels.cli import main
from worldmodels.envs import registry


def said(capsys, code, *command):
    capsys.readouterr()
    assert main([str(word) for word in command]) == code
    return capsys.readouterr().err


def change_state(run, stage, step, change):
    """Puts a training back to ``step``, with its tensors changed; returns the state's path."""
    path = run / stage / "training_state" / "state.safetensors"
    state = load_tensors(path)
    for name in state:
        change(name, state[name])
    save_tensors(path, state, {"step": str(step)})
    (run / stage / "DONE").unlink()
    return path


def everything_finite(run, stage):
    files = [run / stage / "model.safetensors", run / stage / "training_state" / "state.safetensors"]
    return all(torch.isfinite(tensor).all() for file in files for tensor in load_tensors(file).values())


@pytest.mark.parametrize(("stage", "verb"), [("vae", "train-vae"), ("rnn", "train-rnn")])
def test_a_loss_that_is_not_finite_names_the_batch_and_saves_nothing(toy_copy, capsys, stage, verb):
    def blow_up(name, tensor):
        if name.startswith("weight/"):
            tensor.mul_(0).add_(1e30)

    path = change_state(toy_copy, stage, 8, blow_up)
    before = sha256_of(path)
    err = said(capsys, 2, verb, "--run", toy_copy)
    assert f"{verb}: the loss of step 9's batch is not finite; the last checkpoint is untouched" in err
    assert sha256_of(path) == before
    assert everything_finite(toy_copy, stage)


def test_an_exploding_sigma_in_the_data_names_the_batch(toy_copy, capsys):
    """Latents whose log variance has run away, from a V that somebody vouches for."""
    latents = toy_copy / "latents"
    logvar = np.load(latents / "logvar.npy")
    logvar[:] = 60_000
    np.save(latents / "logvar.npy", logvar)
    done = json.loads((latents / "DONE").read_text())
    done["outputs"]["latents/logvar"] = sha256_of(latents / "logvar.npy")
    (latents / "DONE").write_text(json.dumps(done))
    for name in ("rnn", "controller"):
        shutil.rmtree(toy_copy / name)
    assert "the loss of step 1's batch is not finite" in said(capsys, 2, "train-rnn", "--run", toy_copy)
    assert not (toy_copy / "rnn" / "model.safetensors").exists()


def test_weights_that_a_good_loss_leaves_broken_are_not_saved(toy_copy, capsys):
    """The gradient overflows in the very step before a checkpoint: the loss of that step is still finite."""

    def huge_moment(name, tensor):
        if name.startswith("exp_avg/"):
            tensor.fill_(3e38)
        if name.startswith("exp_avg_sq/"):
            tensor.fill_(0)

    path = change_state(toy_copy, "rnn", 8, huge_moment)
    before = sha256_of(path)
    err = said(capsys, 2, "train-rnn", "--run", toy_copy, "--checkpoint-every-steps", "1")
    assert "after step 9 is not finite" in err or "the loss of step 10's batch" in err
    assert sha256_of(path) == before or everything_finite(toy_copy, "rnn")
    assert everything_finite(toy_copy, "rnn")


def test_a_collapsed_v_is_said_and_shown(toy_copy, capsys, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(toy_copy / "episodes", run / "episodes")
    shutil.copy(toy_copy / "config.json", run)
    rates = ["--learning-rate", "1e-8", "--final-learning-rate", "1e-8"]
    err = said(capsys, 0, "train-vae", "--run", run, *rates)
    assert "train-vae: step 10: V has collapsed, or has hardly begun: its reconstructions are all alike" in err
    picture = run / "vae" / "reconstructions-10.png"
    assert f"see {picture}" in err
    assert picture.read_bytes().startswith(b"\x89PNG")


class Unwell(MovingDot):
    """Its reward is no number if the first push goes to the right (``bad`` = 1) or always (``bad`` = 2)."""

    bad = 1

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        broken = self.bad == 2 or (self.bad == 1 and self._steps == 1 and action[0] > 0)
        return obs, float("nan") if broken else reward, terminated, truncated, info


@pytest.fixture
def unwell(toy_copy, monkeypatch):
    """A finished toy run whose environment now gives rewards that are no numbers."""
    spec = registry.get_task("toy")
    monkeypatch.setattr(type(spec), "make_env", lambda self, *args, **kwargs: Unwell())
    shutil.rmtree(toy_copy / "controller")
    return toy_copy


EVOLVE = ["--world", "real", "--num-workers", "1", "--num-generations", "1", "--score-episodes", "1"]


def test_a_fitness_that_is_no_number_ranks_last_and_is_counted(unwell, capsys, monkeypatch):
    err = said(capsys, 0, "train-controller", "--run", unwell, *EVOLVE)
    rows = [json.loads(line) for line in (unwell / "controller" / "history.jsonl").read_text().splitlines()]
    counts = [row.get("num_not_finite", 0) for row in rows]
    assert sum(counts) > 0
    for row, count in zip(rows, counts, strict=True):
        assert sum(not np.isfinite(f) for f in row["fitness"]) == count < SMOKE.controller.population_size
        assert np.isfinite([row["mean"], row["min"], row["max"], row["std"]]).all()
        if count:
            assert f"generation {row['generation']}: the fitness of {count} of 6 candidates is not finite" in err


def test_no_finite_fitness_stops_before_the_search_is_told(unwell, capsys, monkeypatch):
    monkeypatch.setattr(Unwell, "bad", 2)
    err = said(capsys, 4, "train-controller", "--run", unwell, *EVOLVE)
    assert "no candidate of generation 1 has a finite fitness" in err
    assert (unwell / "controller" / "history.jsonl").read_text() == ""
    monkeypatch.setattr(Unwell, "bad", 0)
    assert main(["train-controller", "--run", str(unwell), *EVOLVE]) == 0


def test_episodes_of_one_step_teach_m_nothing(tmp_path, capsys):
    run = ["--run", str(tmp_path), "--task", "toy", "--scale", "smoke"]
    assert main(["collect", *run, "--max-short-steps", "0", "--max-episode-steps", "1"]) == 0
    for verb in ("train-vae", "encode"):
        assert main([verb, *run]) == 0
    assert "every episode has a single step; M needs some of at least 2" in said(capsys, 2, "train-rnn", *run)


def test_an_interrupted_state_knows_the_sums_of_its_row(toy_run):
    """At a checkpoint that a row of metrics goes with there is nothing to remember: such states are as they always were."""
    assert load_metadata(toy_run / "vae" / "training_state" / "state.safetensors") == {"step": "20"}
