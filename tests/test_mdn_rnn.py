"""M as it trains: sizes, the LSTM, and the loss with its done head."""

import math

import pytest
import torch
from torch.nn import functional as F

from worldmodels.models.mdn_rnn import MDNRNN, RNNSizes, RNNState, Sequences

TAKE_COVER = RNNSizes(64, 1, 512, 5, restart_input=True, done_head=True)
CAR_RACING = RNNSizes(32, 3, 256, 5, False, False)
SMALL = RNNSizes(3, 2, 7, 4, restart_input=True, done_head=True)


@pytest.mark.parametrize(("sizes", "count"), [(TAKE_COVER, 1_678_785), (CAR_RACING, 422_368)])
def test_parameter_count_is_the_papers(sizes, count):
    assert sum(p.numel() for p in MDNRNN(sizes).parameters()) == count


def test_forget_bias_starts_at_one():
    bias = MDNRNN(SMALL).bias
    assert (bias[7:14] == 1).all()
    assert (bias[:7] == 0).all()
    assert (bias[14:] == 0).all()


def test_inputs_end_with_the_restart_bit():
    model = MDNRNN(SMALL)
    z, action = torch.randn(2, 5, 3), torch.randn(2, 5, 2)
    restart = torch.zeros(2, 5, dtype=torch.bool)
    restart[:, 0] = True
    assert torch.equal(model.inputs(z, action, restart), torch.cat([z, action, restart[..., None].float()], 2))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MDNRNN(SMALL)


def test_forward_is_torchs_lstm_with_one_bias(model):
    lstm = torch.nn.LSTM(SMALL.input_size, 7, batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(model.weight_ih)
        lstm.weight_hh_l0.copy_(model.weight_hh)
        lstm.bias_ih_l0.copy_(model.bias)
        lstm.bias_hh_l0.zero_()
    x, state = torch.randn(2, 9, SMALL.input_size), RNNState(torch.randn(2, 7), torch.randn(2, 7))
    expected, (hidden, cell) = lstm(x, (state.hidden[None], state.cell[None]))
    found, last = model(x, state)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(last.hidden, hidden[0])
    torch.testing.assert_close(last.cell, cell[0])


def test_state_carried_across_a_cut_changes_nothing(model):
    x = torch.randn(2, 10, SMALL.input_size)
    whole, end = model(x, model.initial_state(2))
    first, middle = model(x[:, :4], model.initial_state(2))
    second, last = model(x[:, 4:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(last.cell, end.cell)


def test_done_weight_is_the_definition(model):
    """Cross-entropy, each step with done = 1 counted ``done_weight`` times, over the number of steps."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 6, SMALL.input_size, generator=generator)
    next_z = torch.randn(3, 6, 3, generator=generator)
    done = torch.rand(3, 6, generator=generator) < 0.4
    has_next, zeros, valid = ~done, torch.zeros(3, 6), torch.ones(3, 6, dtype=torch.bool)
    losses = {}
    for weight in (1.0, 10.0):
        loss, parts, _ = model.loss(Sequences(x, next_z, has_next, done, zeros, valid), model.initial_state(3), weight)
        torch.testing.assert_close(loss.detach(), parts["nll"] + parts["done_loss"])
        losses[weight] = parts["done_loss"]

    hidden, _ = model(x, model.initial_state(3))
    logit = F.linear(hidden, model.weight_out, model.bias_out)[..., 0].detach()
    alive, dead = -F.logsigmoid(-logit[~done]).sum(), -F.logsigmoid(logit[done]).sum()
    for weight, found in losses.items():
        torch.testing.assert_close(found, (alive + weight * dead) / 18, rtol=1e-2, atol=1e-3)


def test_a_hits_logit_is_free_of_its_weight():
    """Where nothing tells hits apart, the best logit is the log-odds of their share, whatever they weigh."""
    sizes = RNNSizes(1, 1, 1, 1, done_head=True, hits=True, drawn=True)
    model = MDNRNN(sizes)
    torch.nn.init.zeros_(model.weight_out)
    x, zeros, valid = torch.zeros(1, 8, 2), torch.zeros(1, 8), torch.ones(1, 8, dtype=torch.bool)
    done = torch.arange(8)[None] < 2

    def slope(logit):
        with torch.no_grad():
            model.bias_out[0] = logit
        model.zero_grad()
        model.loss(Sequences(x, torch.zeros(1, 8, 1), valid, done, zeros, valid), model.initial_state(1), 10.0)[0].backward()
        return float(model.bias_out.grad[0])

    assert slope(math.log(2 / 6)) == pytest.approx(0, abs=0.01)
    assert slope(math.log(2 / 6) + 0.5) > 0.1
    assert slope(math.log(2 / 6) - 0.5) < -0.1


def test_nll_is_per_latent_over_the_steps_that_go_on(model):
    x = torch.randn(2, 5, SMALL.input_size)
    next_z = torch.randn(2, 5, 3)
    done = torch.zeros(2, 5, dtype=torch.bool)
    has_next, zeros, valid = torch.ones(2, 5, dtype=torch.bool), torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool)
    has_next[0, 2] = False
    nll = model.loss(Sequences(x, next_z, has_next, done, zeros, valid), model.initial_state(2), 10.0)[1]["nll"]
    next_z[0, 2] = 1e3  # what follows the end of an episode is meaningless, and must not count
    again = model.loss(Sequences(x, next_z, has_next, done, zeros, valid), model.initial_state(2), 10.0)[1]["nll"]
    assert torch.equal(nll, again)
    one = torch.zeros(2, 5, dtype=torch.bool)
    one[1, 4] = True
    alone = model.loss(Sequences(x, next_z, one, done, zeros, valid), model.initial_state(2), 10.0)[1]["nll"]
    hidden, _ = model(x, model.initial_state(2))
    outputs = F.linear(hidden[1, 4], model.weight_out, model.bias_out)[1:].detach()
    logits, mean, log_std = outputs.view(3, 4, 3)
    normal = torch.distributions.Normal(mean, log_std.clamp(-6, 2).exp())
    by_hand = -torch.logsumexp(logits.log_softmax(0) + normal.log_prob(next_z[1, 4]), 0).mean()
    torch.testing.assert_close(alone, by_hand, rtol=2e-2, atol=1e-2)


def test_reward_loss_is_half_the_squared_error_over_valid_steps():
    torch.manual_seed(0)
    sizes = RNNSizes(3, 2, 7, 4, done_head=True, reward_head=True)
    model = MDNRNN(sizes)
    x, next_z, reward = torch.randn(2, 5, sizes.input_size), torch.randn(2, 5, 3), torch.randn(2, 5)
    done, valid = torch.zeros(2, 5, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)
    valid[0, 3:] = False

    def parts():
        return model.loss(Sequences(x, next_z, valid, done, reward, valid), model.initial_state(2), 10.0)[:2]

    loss, found = parts()
    torch.testing.assert_close(loss.detach(), found["nll"] + found["done_loss"] + found["reward_loss"])
    hidden, _ = model(x, model.initial_state(2))
    predicted = F.linear(hidden, model.weight_out, model.bias_out)[..., 1].detach()
    torch.testing.assert_close(found["reward_loss"], 0.5 * (predicted - reward)[valid].square().mean(), rtol=2e-2, atol=1e-2)
    # What stands where an episode is padded does not count, in any part.
    reward[0, 4], next_z[0, 4], done[0, 4] = 1e3, 1e3, True
    assert all(torch.equal(part, found[name]) for name, part in parts()[1].items())
