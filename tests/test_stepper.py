"""M one step at a time: the trained LSTM's own numbers, and samples with the mixture's moments."""

import math

import pytest
import torch
from torch.nn import functional as F

from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes
from worldmodels.models.mixture_nll import LOG_STD_RANGE
from worldmodels.models.stepper import MDNStepper

SIZES = RNNSizes(4, 2, 24, 3, restart_input=True, done_head=True)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MDNRNN(SIZES).eval()


def walk(model, dtype, num_steps=30):
    """Hidden and cell states of the stepper and of the trained LSTM on the same sequences, [B, T, H] each."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, num_steps, 4, generator=generator)
    action = torch.randn(5, num_steps, 2, generator=generator)
    restart = torch.zeros(5, num_steps)
    restart[:, 0] = 1
    stepper, state, expected = MDNStepper(model, dtype), model.initial_state(5), model.initial_state(5)
    for t in range(num_steps):
        state = stepper.step(z[:, t], action[:, t], restart[:, t], state)
        with torch.no_grad():
            _, expected = model(model.inputs(z, action, restart)[:, t : t + 1], expected)
        yield state, expected


def test_float32_steps_are_the_lstms(model):
    for state, expected in walk(model, torch.float32):
        torch.testing.assert_close(state.hidden, expected.hidden, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state.cell, expected.cell, rtol=1e-4, atol=1e-5)


def test_bfloat16_steps_stay_close(model):
    worst = 0.0
    for state, expected in walk(model, torch.bfloat16):
        worst = max(worst, float((state.hidden - expected.hidden).abs().max()))
    assert 0 < worst < 0.03


def test_no_restart_input_no_other_heads():
    model = MDNRNN(RNNSizes(4, 2, 8, 3)).eval()
    stepper = MDNStepper(model, torch.float32)
    z, action, state = torch.randn(2, 4), torch.randn(2, 2), model.initial_state(2)
    told = stepper.step(z, action, torch.ones(2), state)
    untold = stepper.step(z, action, torch.zeros(2), state)
    assert torch.equal(told.hidden, untold.hidden)
    assert stepper.sample(told.hidden, torch.rand(2, 4), torch.randn(2, 4), 1.0)[1:] == (None, None)


@pytest.mark.parametrize("done_head", [True, False])
def test_the_reward_head_is_the_column_before_the_mixtures(done_head):
    torch.manual_seed(0)
    model = MDNRNN(RNNSizes(4, 2, 8, 3, done_head=done_head, reward_head=True)).eval()
    hidden, uniform, normal = torch.randn(5, 8), torch.rand(5, 4), torch.randn(5, 4)
    dreamt = MDNStepper(model, torch.float32).sample(hidden, uniform, normal, 1.0)
    outputs = F.linear(hidden, model.weight_out, model.bias_out)
    torch.testing.assert_close(dreamt.reward, outputs[:, int(done_head)])
    assert (dreamt.done is not None) == done_head
    # The mixtures are the same as those of a model without the heads.
    plain = MDNRNN(RNNSizes(4, 2, 8, 3))
    with torch.no_grad():
        plain.weight_out.copy_(model.weight_out[1 + int(done_head) :])
        plain.bias_out.copy_(model.bias_out[1 + int(done_head) :])
    torch.testing.assert_close(dreamt.z, MDNStepper(plain, torch.float32).sample(hidden, uniform, normal, 1.0).z)


def sample_many(model, temperature, num=60_000):
    """Many draws at one hidden state: z [num, Z], the done logits, and the mixture's parameters [K, Z] each."""
    torch.manual_seed(3)
    hidden = torch.randn(1, 24)
    uniform, normal = torch.rand(num, 4), torch.randn(num, 4)
    z, done, _ = MDNStepper(model, torch.float32).sample(hidden.expand(num, -1), uniform, normal, temperature)
    outputs = F.linear(hidden, model.weight_out, model.bias_out)[0].detach()
    logits, mean, log_std = outputs[1:].view(3, 3, 4)
    return z, done, outputs[0], logits, mean, log_std.clamp(*LOG_STD_RANGE).exp()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.3])
def test_moments_of_the_samples(model, temperature):
    """Logits are divided by τ, variances are multiplied by it."""
    z, _, _, logits, mean, std = sample_many(model, temperature)
    share = (logits / temperature).softmax(0)
    expected_mean = (share * mean).sum(0)
    expected_var = (share * (temperature * std**2 + mean**2)).sum(0) - expected_mean**2
    error = expected_var.sqrt() / math.sqrt(len(z))
    assert ((z.mean(0) - expected_mean).abs() < 5 * error).all()
    torch.testing.assert_close(z.var(0), expected_var, rtol=0.04, atol=0)


def test_low_temperature_gives_the_likeliest_mixtures_mean(model):
    z, _, _, logits, mean, std = sample_many(model, 1e-4, num=200)
    likeliest = mean.gather(0, logits.argmax(0)[None])[0]
    assert ((z - likeliest).abs() < 6 * std.max() * 1e-2).all()


def test_uniform_number_picks_the_mixture_by_its_share(model):
    """The normal number is zero: z is one of the means, each as wide in u as its probability."""
    torch.manual_seed(3)
    hidden = torch.randn(1, 24)
    u = torch.linspace(0, 1 - 2**-24, 10_001)[:, None].expand(-1, 4).contiguous()
    z, *_ = MDNStepper(model, torch.float32).sample(hidden.expand(len(u), -1), u, torch.zeros_like(u), 1.0)
    logits, mean, _ = F.linear(hidden, model.weight_out, model.bias_out)[0, 1:].detach().view(3, 3, 4)
    ends = logits.softmax(0).cumsum(0)
    for latent in range(4):
        picked = (u[:, latent, None] >= ends[:-1, latent]).sum(1)
        wrong = (z[:, latent] - mean[picked, latent]).abs() > 1e-5
        assert wrong.sum() <= 2  # a number on a border may round to either side


def test_done_logit_is_the_first_output(model):
    _, done, logit, *_ = sample_many(model, 1.0, num=3)
    torch.testing.assert_close(done, logit.expand(3))
