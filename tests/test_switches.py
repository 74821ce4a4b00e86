"""M's switches that the original has, off by default: layer normalisation and dropout."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import worldmodels as wm
from worldmodels.base.errors import BadFileError
from worldmodels.cli import main
from worldmodels.config import RNNConfig
from worldmodels.models.mdn_rnn import MDNRNN, Kept, RNNSizes, RNNState, normed
from worldmodels.models.stepper import MDNStepper

SIZES = RNNSizes(4, 2, 8, 3, restart_input=True, done_head=True)
SWITCHES = ("--layer-norm", "--input-dropout", "0.2", "--recurrent-dropout", "0.1", "--output-dropout", "0.3")


@pytest.fixture(scope="module")
def switched(tmp_path_factory, toy_run):
    """The toy run with an M of all the switches, and the C that was found with it."""
    path = tmp_path_factory.mktemp("switches") / "run"
    shutil.copytree(toy_run, path, ignore=shutil.ignore_patterns("rnn", "controller", "model", "evaluation"))
    assert main(["train-rnn", "--run", str(path), *SWITCHES]) == 0
    assert main(["train-controller", "--run", str(path)]) == 0
    return path


def normed_model():
    torch.manual_seed(0)
    model = MDNRNN(RNNSizes(4, 2, 8, 3, restart_input=True, done_head=True, layer_norm=True)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tensorflow_cell(model, x, hidden, cell, kept=1.0):
    """TensorFlow's LayerNormBasicLSTMCell: gates and new cell state are normalised, gain and shift come after, no bias before;
    dropout is the candidate's."""

    def norm(a, gain, shift):
        mean, variance = a.mean(1, keepdims=True), a.var(1, keepdims=True)
        return (a - mean) / np.sqrt(variance + 1e-12) * gain + shift

    def value(name):
        return getattr(model, name).detach().double().numpy()

    gates = x @ value("weight_ih").T + hidden @ value("weight_hh").T
    gains, shifts = np.split(value("gate_gain"), 4), np.split(value("bias"), 4)
    i, f, j, o = (norm(*part) for part in zip(np.split(gates, 4, 1), gains, shifts, strict=True))
    new = cell / (1 + np.exp(-f)) + np.tanh(j) * kept / (1 + np.exp(-i))
    new = norm(new, value("cell_gain"), value("cell_shift"))
    return np.tanh(new) / (1 + np.exp(-o)), new


def test_the_normed_cell_is_tensorflows_in_training_and_step_by_step():
    model, rng = normed_model(), np.random.default_rng(1)
    inputs = rng.normal(size=(3, 6, 7))
    kept = (rng.random((3, 6, 8)) > 0.5) * 2.0
    for mask in (None, kept):
        hidden, cell = np.zeros((3, 8)), np.zeros((3, 8))
        state = model.initial_state(3)
        stepper = MDNStepper(model, torch.float32)
        found, last = model(
            torch.from_numpy(inputs).float(),
            model.initial_state(3),
            Kept(candidate=None if mask is None else torch.from_numpy(mask).float()),
        )
        for step in range(6):
            hidden, cell = tensorflow_cell(model, inputs[:, step], hidden, cell, 1.0 if mask is None else mask[:, step])
            np.testing.assert_allclose(found[:, step].detach(), hidden, atol=1e-4)
            x = torch.from_numpy(inputs[:, step]).float()
            state = stepper.step(x[:, :4], x[:, 4:6], x[:, 6], state)
            if mask is None:
                np.testing.assert_allclose(state.hidden, hidden, atol=1e-4)
        np.testing.assert_allclose(last.cell.detach(), cell, atol=1e-4)


def test_step_by_step_is_the_plain_lstm_where_nothing_is_left_out():
    torch.manual_seed(2)
    model = MDNRNN(SIZES)
    inputs, state = torch.randn(3, 5, 7), RNNState(torch.randn(3, 8), torch.randn(3, 8))
    plain, last = model(inputs, state)
    found, after = model(inputs, state, Kept(candidate=torch.ones(3, 5, 8)))
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(after, last)


def test_dropout_of_inputs_and_outputs_are_factors():
    torch.manual_seed(3)
    model = MDNRNN(SIZES)
    inputs, state = torch.randn(3, 5, 7), model.initial_state(3)
    into, out = torch.rand(3, 5, 7), torch.rand(3, 5, 8)
    found, _ = model(inputs, state, Kept(inputs=into, hidden=out))
    torch.testing.assert_close(found, model(inputs * into, state)[0] * out)


def test_off_they_are_in_no_fingerprint_and_in_no_weights():
    assert not {"layer_norm", "input_dropout", "recurrent_dropout", "output_dropout"} & RNNConfig().fingerprint_fields().keys()
    assert set(MDNRNN(SIZES).state_dict()) == {"weight_ih", "weight_hh", "bias", "weight_out", "bias_out"}


def test_a_models_own_config_builds_it(switched, tmp_path):
    config = json.loads((switched / "model" / "config.json").read_text())
    assert config["layer_norm"] is True
    model = wm.load(switched / "model")
    assert model.rnn.sizes.layer_norm
    assert float((model.rnn.gate_gain - 1).abs().max()) > 0  # it was trained
    assert main(["evaluate", str(switched / "model"), "--world", "dream", "--episodes", "3"]) == 0
    copy = shutil.copytree(switched / "model", tmp_path / "model")
    (copy / "config.json").write_text(json.dumps(config | {"layer_norm": 1}))
    with pytest.raises(BadFileError, match="'layer_norm' is 1"):
        wm.load(copy)


def test_validation_leaves_nothing_out(switched, toy_run):
    """Held-out figures are those of the whole M: with a dropout of 0.9 they would be as bad as chance."""
    last = json.loads((switched / "rnn" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["held_out_nll"] < last["nll"] + 0.5


def test_the_same_bytes_after_a_kill(switched, toy_run, tmp_path):
    """Killed after a checkpoint in mid-training, the masks of the steps that are left are drawn as they would have been."""
    path = tmp_path / "run"
    shutil.copytree(toy_run, path, ignore=shutil.ignore_patterns("rnn", "controller", "model", "evaluation"))
    cut_short = (
        "import signal, sys\n"
        "from worldmodels.training import loop\n"
        "from worldmodels.cli import main\n"
        "save, count = loop.save_tensors, [0]\n"
        "def saving(*args, **kwargs):\n"
        "    save(*args, **kwargs)\n"
        "    count[0] += 1\n"
        "    if count[0] == 3:\n"
        "        import os; os.kill(os.getpid(), signal.SIGKILL)\n"
        "loop.save_tensors = saving\n"
        "main(sys.argv[1:])\n"
    )
    command = ["train-rnn", "--run", str(path), *SWITCHES]
    killed = subprocess.run([sys.executable, "-c", cut_short, *command], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert not (path / "rnn" / "DONE").exists()
    assert main(command) == 0
    assert (path / "rnn" / "model.safetensors").read_bytes() == (switched / "rnn" / "model.safetensors").read_bytes()


def test_the_next_round_has_the_same_m(switched, tmp_path, capsys):
    run = ("--run", str(tmp_path / "next"))
    start = ("--task", "toy", "--scale", "smoke", "--seed", "1", "--previous", str(switched), "--policy", "agent")
    assert main(["collect", *run, *start]) == 0
    assert main(["train-vae", *run]) == 0
    assert main(["encode", *run]) == 0
    assert main(["train-rnn", *run]) == 2
    assert (
        "layer_norm is false here and true there; use --layer-norm, or begin a run without --previous"
        in capsys.readouterr().err
    )
    assert main(["train-rnn", *run, "--layer-norm"]) == 0


def test_bounds(toy_run, capsys):
    assert main(["train-rnn", "--run", str(toy_run), "--recurrent-dropout", "1"]) == 2
    assert "recurrent_dropout is 1.0; it must lie between 0 and 0.9" in capsys.readouterr().err


def test_normalising_is_torchs():
    x, gain, shift = torch.randn(5, 8), torch.randn(8), torch.randn(8)
    torch.testing.assert_close(normed(x, gain, shift), F.layer_norm(x, (8,)) * gain + shift, atol=1e-4, rtol=1e-4)
