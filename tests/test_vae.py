"""V: the paper's sizes, its loss by hand, and the decoder's short cut."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from worldmodels.models.vae import VAE, kl_to_standard_normal, to_input


@pytest.mark.parametrize(("latent_size", "count"), [(64, 4_446_915), (32, 4_348_547)])
def test_parameter_count_is_the_papers(latent_size, count):
    assert sum(p.numel() for p in VAE(latent_size).parameters()) == count


@given(st.integers(1, 9), st.integers(1, 70), st.integers(0, 99))
def test_kl_is_torch_distributions(batch, latent, seed):
    generator = torch.Generator().manual_seed(seed)
    mu, logvar = 2 * torch.randn(2, batch, latent, generator=generator)
    reference = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar), reference, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(1)
    return VAE(8).eval()


def decode_plainly(vae, z):
    """The decoder as the paper draws it: a dense layer, then four deconvolutions."""
    x = vae.expand(z)[:, :, None, None]
    for i, layer in enumerate(vae.decoder):
        x = layer(x if i == 0 else F.relu(x))
    return x


def test_decoder_is_four_deconvolutions(vae):
    z = torch.randn(3, 8)
    torch.testing.assert_close(vae.decode_logits(z), decode_plainly(vae, z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tolerance", [0.0, 0.5, 50.0])
def test_loss_by_hand(vae, tolerance):
    frames = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    noise = torch.randn(4, 8)
    x = frames.float().permute(0, 3, 1, 2) / 255
    mu, logvar = vae.encode(x)
    z = mu + (logvar / 2).exp() * noise
    picture = torch.sigmoid(decode_plainly(vae, z))
    recon = torch.stack([((picture[i] - x[i]) ** 2).sum() for i in range(4)])
    kl = torch.stack([kl_divergence(Normal(mu[i], (logvar[i] / 2).exp()), Normal(0.0, 1.0)).sum() for i in range(4)])
    by_hand = sum(recon[i] + max(kl[i], torch.tensor(tolerance * 8)) for i in range(4)) / 4

    loss, parts = vae.loss(frames, noise, tolerance)

    # V's matrix products may run in bfloat16, with 8 bits of mantissa.
    torch.testing.assert_close(loss, by_hand, rtol=5e-3, atol=5e-2)
    torch.testing.assert_close(parts["recon_loss"], recon.mean(), rtol=5e-3, atol=5e-2)
    torch.testing.assert_close(parts["kl_loss"], kl.mean(), rtol=5e-2, atol=5e-3)


def test_below_the_tolerance_the_kl_has_no_gradient():
    torch.manual_seed(1)
    vae = VAE(8)
    frames = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    noise = torch.zeros(2, 8)
    gradients = []
    for tolerance in (100.0, 0.0):
        vae.zero_grad()
        vae.loss(frames, noise, tolerance)[0].backward()
        gradients.append(vae.logvar.weight.grad.abs().sum())
    # With no noise, logvar reaches the loss through the KL alone.
    assert gradients[0] == 0
    assert gradients[1] > 0


def test_frames_in_and_out(vae):
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    assert to_input(frames).shape == (2, 3, 64, 64)
    assert to_input(frames).max() <= 1
    mu, logvar = vae.encode_frames(frames)
    assert mu.shape == logvar.shape == (2, 8)
    assert mu.dtype == torch.float32
    decoded = vae.decode_frames(mu)
    assert decoded.shape == frames.shape
    assert decoded.dtype == torch.uint8
    expected = (torch.sigmoid(decode_plainly(vae, mu)) * 255).permute(0, 2, 3, 1)
    assert (decoded.float() - expected).abs().max() <= 2
