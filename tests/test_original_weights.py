"""The original's published CarRacing M, stepped by our LSTM and by TensorFlow's rules written out in NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.mixture_nll import LOG_STD_RANGE
from worldmodels.models.stepper import MDNStepper

FILE = Path(__file__).parents[1] / ".." / "shared" / "reference" / "original" / "carracing" / "rnn.json"
Z, K, H = 32, 5, 256

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the original's weights are not here")


@pytest.fixture(scope="module")
def original():
    """Output weight [H, 3ZK] and bias, LSTM kernel [I + H, 4H] and bias, in the original's layout."""
    return [np.array(values, np.float64) / 10_000 for values in json.loads(FILE.read_text())]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def tensorflow_step(kernel, bias, x, hidden, cell):
    """TensorFlow's BasicLSTMCell: gates i, j (candidate), f, o; 1 is added to f."""
    i, j, f, o = np.split(np.concatenate([x, hidden], 1) @ kernel + bias, 4, axis=1)
    cell = cell * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
    return np.tanh(cell) * sigmoid(o), cell


def convert(original):
    """Our M with the original's weights."""
    weight_out, bias_out, kernel, bias = original
    model = MDNRNN(RNNSizes(Z, 3, H, K, False, False))
    i, j, f, o = np.split(kernel.T, 4)
    bias_i, bias_j, bias_f, bias_o = np.split(bias, 4)
    gates = np.concatenate([i, f, j, o])
    with torch.no_grad():
        model.weight_ih.copy_(torch.from_numpy(gates[:, : Z + 3]))
        model.weight_hh.copy_(torch.from_numpy(gates[:, Z + 3 :]))
        model.bias.copy_(torch.from_numpy(np.concatenate([bias_i, bias_f + 1.0, bias_j, bias_o])))
        # Columns: the original has [Z, 3, K] (it reshapes to rows of 3·K, one a latent), we have [3, K, Z].
        model.weight_out.copy_(torch.from_numpy(weight_out.T.reshape(Z, 3, K, H).transpose(1, 2, 0, 3).reshape(-1, H)))
        model.bias_out.copy_(torch.from_numpy(bias_out.reshape(Z, 3, K).transpose(1, 2, 0).reshape(-1)))
    return model.eval()


def test_shapes_are_car_racings(original):
    assert [part.shape for part in original] == [(H, 3 * Z * K), (3 * Z * K,), (Z + 3 + H, 4 * H), (4 * H,)]


def test_steps_and_mixtures_agree(original):
    weight_out, bias_out, kernel, bias = original
    model = convert(original)
    stepper = MDNStepper(model, torch.float32)
    rng = np.random.default_rng(0)
    state, hidden, cell = model.initial_state(3), np.zeros((3, H)), np.zeros((3, H))
    for _ in range(40):
        z, action = rng.normal(size=(3, Z)), rng.uniform(-1, 1, (3, 3))
        hidden, cell = tensorflow_step(kernel, bias, np.concatenate([z, action], 1), hidden, cell)
        state = stepper.step(torch.from_numpy(z), torch.from_numpy(action), torch.zeros(3), state)
        np.testing.assert_allclose(state.hidden, hidden, atol=2e-4)
        np.testing.assert_allclose(state.cell, cell, rtol=1e-3, atol=1e-3)

    logits, mean, log_std = np.moveaxis((hidden @ weight_out + bias_out).reshape(3, Z, 3, K), 2, 0)
    ours = F.linear(state.hidden, model.weight_out, model.bias_out).detach().view(3, 3, K, Z).swapaxes(0, 1).numpy()
    for found, expected in zip(ours, (logits, mean, log_std), strict=True):
        np.testing.assert_allclose(found.swapaxes(1, 2), expected, atol=3e-3)

    # The draw itself, as the original's code makes it: pick a mixture by its share, then mean + σ·ε·√τ.
    temperature = 1.15
    share = np.exp(logits / temperature - (logits / temperature).max(2, keepdims=True))
    ends = (share / share.sum(2, keepdims=True)).cumsum(2)
    uniform, normal = rng.random((3, Z)), rng.normal(size=(3, Z))
    picked = (uniform[..., None] >= ends[..., :-1]).sum(2)[..., None]
    drawn = np.take_along_axis(log_std, picked, 2)[..., 0]
    assert LOG_STD_RANGE[0] < drawn.min() < drawn.max() < LOG_STD_RANGE[1]  # our clip, which the original has not, is not met
    std = np.exp(drawn)
    expected = np.take_along_axis(mean, picked, 2)[..., 0] + std * normal * np.sqrt(temperature)
    found, done, _ = stepper.sample(
        state.hidden, torch.from_numpy(uniform).float(), torch.from_numpy(normal).float(), temperature
    )
    assert done is None
    close = np.isclose(found.numpy(), expected, atol=5e-3)
    assert close.mean() > 0.98  # a number on a border may round to the next mixture


def test_its_first_prediction_is_near_the_first_frame(original):
    """Frames change little in one step, so the layout of the output's columns shows: the mean follows z, and no deviation
    of the prediction is wider than the latents' own. (Read as [3, Z, K], the same numbers correlate at 0.2.)"""
    mu = torch.tensor(json.loads((FILE.parent / "initial_z.json").read_text())[0]).float() / 10_000
    model = convert(original)
    straight_on = torch.tensor([[0.0, 1.0, 0.0]])
    state = MDNStepper(model, torch.float32).step(mu, straight_on, torch.zeros(1), model.initial_state(1))
    logits, mean, log_std = F.linear(state.hidden, model.weight_out, model.bias_out).detach().view(3, K, Z)
    predicted = (logits.softmax(0) * mean).sum(0)
    assert np.corrcoef(predicted.numpy(), mu[0].numpy())[0, 1] > 0.4
    assert log_std.max() < 1
