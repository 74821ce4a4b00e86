"""V: the paper's sizes, its loss by hand, and the decoder's short cut."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from worldmodels.models.vae import VAE, kl_to_standard_normal
from worldmodels.models.vae_kernels import ERROR_FRAMES, PictureError, convolve_small, from_blocks, relu, to_blocks, to_input
from worldmodels.training.rare_pixels import RarePixels


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
    found = from_blocks(vae.decode_logits(z)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, decode_plainly(vae, z), rtol=1e-4, atol=1e-5)


def test_decoders_gradients_are_those_of_four_deconvolutions(vae):
    z, weight = torch.randn(3, 8), torch.randn(3, 3, 64, 64)
    gradients = []
    for frames in (from_blocks(vae.decode_logits(z)).permute(0, 3, 1, 2), decode_plainly(vae, z)):
        parameters = [p for name, p in vae.named_parameters() if name.startswith(("decoder", "expand"))]
        gradients.append(torch.autograd.grad((frames * weight).sum(), parameters))
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize(("channels", "size"), [(5, 6), (4, 14)])
def test_small_convolutions_are_convolutions(channels, size):
    layer = torch.nn.Conv2d(channels, 7, 4, stride=2).to(memory_format=torch.channels_last)
    x = torch.randn(3, channels, size, size).to(memory_format=torch.channels_last).requires_grad_()
    ours, plain = convolve_small(x, layer), layer(x)
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(convolve_small(x, layer), plain, rtol=1e-4, atol=1e-5)
    wanted = [torch.autograd.grad(y.square().sum(), (x, layer.weight, layer.bias)) for y in (ours, plain)]
    for found, expected in zip(*wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_a_block_is_two_by_two_pixels():
    frames = torch.arange(2 * 64 * 64 * 3).view(2, 64, 64, 3)
    blocks = to_blocks(frames)
    assert blocks[1, 3, 5].tolist() == [*frames[1, 6, 10:12].flatten().tolist(), *frames[1, 7, 10:12].flatten().tolist()]
    assert torch.equal(from_blocks(blocks), frames)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("quartic_weight", [0.0, 25.0])
@pytest.mark.parametrize("num_frames", [1, ERROR_FRAMES, ERROR_FRAMES + 1])
def test_pictures_error_and_its_gradient(num_frames, quartic_weight, weighted):
    frames = torch.randint(0, 256, (num_frames, 32, 32, 12), dtype=torch.uint8)
    logits = torch.randn(num_frames, 32, 32, 12, requires_grad=True)
    weight = torch.rand(num_frames)
    pixel_weights = torch.randint(1, 9, frames.shape).float() if weighted else None
    ours, squared = PictureError.apply(logits, frames, quartic_weight, pixel_weights)
    difference = torch.sigmoid(logits) - frames / 255
    plain = ((difference**2 + quartic_weight * difference**4) * (pixel_weights if weighted else 1)).sum((1, 2, 3))
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(squared, difference.detach().square().sum((1, 2, 3)))
    assert not squared.requires_grad
    for found, expected in zip(*(torch.autograd.grad((error * weight).sum(), logits) for error in (ours, plain)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("tolerance", "quartic_weight"), [(0.0, 0.0), (0.5, 0.0), (50.0, 0.0), (0.5, 10.0)])
def test_loss_by_hand(vae, tolerance, quartic_weight):
    frames = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    noise = torch.randn(4, 8)
    x = frames.float().permute(0, 3, 1, 2) / 255
    mu, logvar = vae.encode(x)
    z = mu + (logvar / 2).exp() * noise
    picture = torch.sigmoid(decode_plainly(vae, z))
    squared, quartic = (torch.stack([((picture[i] - x[i]) ** power).sum() for i in range(4)]) for power in (2, 4))
    kl = torch.stack([kl_divergence(Normal(mu[i], (logvar[i] / 2).exp()), Normal(0.0, 1.0)).sum() for i in range(4)])
    by_hand = sum(squared[i] + quartic_weight * quartic[i] + max(kl[i], torch.tensor(tolerance * 8)) for i in range(4)) / 4

    loss, parts = vae.loss(frames, noise, tolerance, quartic_weight)

    # V's matrix products may run in bfloat16, with 8 bits of mantissa.
    torch.testing.assert_close(loss, by_hand, rtol=5e-3, atol=5e-2)
    torch.testing.assert_close(parts["recon_loss"], squared.mean(), rtol=5e-3, atol=5e-2)
    torch.testing.assert_close(parts["kl_loss"], kl.mean(), rtol=5e-2, atol=5e-3)


def test_a_rare_pixel_weighs_more_in_the_loss(vae):
    """The weights stand in the frames' own order, not in that of the blocks."""
    usual = torch.full((40, 64, 64, 3), 90, dtype=torch.uint8)
    usual[::2, 10:20] = 110  # what changes by so much all the time is usual
    frames = usual[:2].clone()
    frames[0, 30, 40, 0] = 250
    frames[1, 15, 7] = 60
    weights = RarePixels(usual).weights(frames, 5.0)
    rare = torch.zeros(2, 64, 64, dtype=torch.bool)
    rare[0, 30, 40] = rare[1, 15, 7] = True
    assert torch.equal(weights, torch.where(rare[..., None], 6.0, 1.0).expand(2, 64, 64, 3))

    noise = torch.randn(2, 8)
    with torch.no_grad():
        plain, weighed = (vae.loss(frames, noise, 0.0, 0.0, pixel_weights) for pixel_weights in (None, weights))
    mu, logvar = vae.encode(to_input(frames))
    picture = torch.sigmoid(decode_plainly(vae, mu + (logvar / 2).exp() * noise)).permute(0, 2, 3, 1)
    error = (picture - frames / 255)[rare].square().sum() / 2
    torch.testing.assert_close(weighed[0] - plain[0], 5 * error, rtol=2e-2, atol=2e-2)
    assert weighed[1]["recon_loss"] == plain[1]["recon_loss"]


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


def test_relu_of_every_bfloat16():
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16)
    numbers = every[~every.isnan()]
    with torch.no_grad():
        assert torch.equal(relu(numbers.clone()), torch.relu(numbers))


def test_relu_keeps_its_gradient_and_a_views_base():
    base = torch.tensor([[-1.0, 2.0], [3.0, -4.0]], requires_grad=True)
    relu(base[0]).sum().backward()
    assert base.detach()[0, 0] == -1
    assert torch.equal(base.grad, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
