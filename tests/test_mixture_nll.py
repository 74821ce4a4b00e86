"""M's likelihood: value and gradient against `torch.distributions`, with masks and clipped standard deviations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, MixtureSameFamily, Normal

from worldmodels.models.mixture_nll import LOG_STD_RANGE, MixtureNLL, at_once
from worldmodels.models.mixture_nll_cpu import likelihood


def reference(outputs, target, row_weight, num_mixtures):
    """The same sum through `MixtureSameFamily`, one mixture per latent, in float64."""
    rows, latent = target.shape
    logits, mean, log_std = outputs.double().view(rows, 3, num_mixtures, latent).transpose(2, 3).unbind(1)
    mixture = MixtureSameFamily(Categorical(logits=logits), Normal(mean, log_std.clamp(*LOG_STD_RANGE).exp()))
    return -(mixture.log_prob(target.double()) * row_weight[:, None]).sum()


def draw(rows, latent, mixtures, seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    outputs = spread * torch.randn(rows, 3 * mixtures * latent, generator=generator)
    target = torch.randn(rows, latent, generator=generator)
    row_weight = (torch.rand(rows, generator=generator) < 0.7).float()
    return outputs, target, row_weight


def compare(outputs, target, row_weight, mixtures, factor=1.0):
    ours = outputs.clone().requires_grad_()
    theirs = outputs.clone().requires_grad_()
    value = factor * MixtureNLL.apply(ours, target, row_weight, mixtures)
    expected = factor * reference(theirs, target, row_weight, mixtures)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-3)
    # Gradients scale with 1/σ², up to e^12 where the log standard deviation is clipped.
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=2e-3, atol=1e-4)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 6), st.integers(0, 99))
def test_value_and_gradient(rows, latent, mixtures, seed):
    compare(*draw(rows, latent, mixtures, seed), mixtures)


@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(0, 99),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_the_loop_and_the_whole_arrays_agree(rows, latent, mixtures, seed, dtype):
    outputs, target, row_weight = draw(rows, latent, mixtures, seed, spread=2.0)
    given = outputs.to(dtype), target, row_weight, mixtures, LOG_STD_RANGE
    (value, gradient), (expected, slopes) = likelihood(*given), at_once(*given)
    assert gradient.dtype == slopes.dtype == dtype
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(gradient, slopes, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("column", [0, 17, 31, 44])
def test_what_is_not_finite_reaches_the_loss(broken, column):
    outputs, target, row_weight = draw(8, 3, 5, 4)
    outputs[3, column], row_weight[3] = broken, 1
    assert not torch.isfinite(MixtureNLL.apply(outputs, target, row_weight, 5))


def test_clipped_log_std_has_no_gradient():
    outputs, target, row_weight = draw(30, 4, 5, 0, spread=1.0)
    outputs[:, 40:] = torch.where(outputs[:, 40:] > 0, 5.0, -9.0)  # all outside the range
    target = outputs[:, 20:24] + 0.001  # near a mean: e^-6 is a narrow Gaussian
    ours = outputs.clone().requires_grad_()
    MixtureNLL.apply(ours, target, row_weight, 5).backward()
    assert (ours.grad[:, 40:] == 0).all()
    assert (ours.grad[:, :20] != 0).any()
    compare(outputs, target, row_weight, 5)


def test_masked_rows_have_no_gradient():
    outputs, target, row_weight = draw(20, 3, 5, 1)
    row_weight[:10] = 0
    ours = outputs.requires_grad_()
    MixtureNLL.apply(ours, target, row_weight, 5).backward()
    assert (ours.grad[:10] == 0).all()
    assert (ours.grad[10:] != 0).any()


def test_gradient_follows_the_factor_above():
    compare(*draw(12, 3, 5, 2), 5, factor=0.125)


def test_bfloat16_outputs_are_close():
    outputs, target, row_weight = draw(50, 4, 5, 3)
    exact = MixtureNLL.apply(outputs, target, row_weight, 5)
    rounded = MixtureNLL.apply(outputs.bfloat16(), target, row_weight, 5)
    torch.testing.assert_close(rounded, exact, rtol=0.03, atol=0)
