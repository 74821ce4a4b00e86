"""V's files: in a model's folder the same function in a third of the numbers; files with the two layers are read too."""

import pytest
import torch

from worldmodels.base.errors import UserError
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.models.vae import VAE
from worldmodels.models.vae_file import OPENING, load_vae, save_vae


@pytest.fixture
def vae():
    torch.manual_seed(3)
    made = VAE(8).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # biases too: they begin small
            parameter.add_(0.02 * torch.randn_like(parameter))
    return made


def test_the_function_is_the_same(vae, tmp_path):
    save_vae(tmp_path / "v.safetensors", vae)
    torch.manual_seed(4)
    read = VAE(8).eval()
    load_vae(tmp_path / "v.safetensors", read)
    z, frames = torch.randn(5, 8), torch.rand(5, 3, 64, 64)
    torch.testing.assert_close(read.decode_logits(z), vae.decode_logits(z), rtol=1e-4, atol=1e-5)
    for found, wanted in zip(read.encode(frames), vae.encode(frames), strict=True):
        assert torch.equal(found, wanted)


def test_it_is_smaller_and_keeps_its_type(vae, tmp_path):
    save_vae(tmp_path / "v.safetensors", vae.half())
    tensors = load_tensors(tmp_path / "v.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert tensors[OPENING].shape == (9, 128, 5, 5)
    whole = sum(parameter.numel() for parameter in vae.parameters())
    assert sum(tensor.numel() for tensor in tensors.values()) < whole / 3


def test_what_was_read_is_written_again_as_it_was(vae, tmp_path):
    save_vae(tmp_path / "a.safetensors", vae)
    load_vae(tmp_path / "a.safetensors", vae)
    save_vae(tmp_path / "b.safetensors", vae)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_files_with_the_two_layers_are_read(vae, tmp_path):
    save_tensors(tmp_path / "v.safetensors", dict(vae.named_parameters()))
    read = VAE(8)
    load_vae(tmp_path / "v.safetensors", read)
    assert all(torch.equal(found, wanted) for found, wanted in zip(read.parameters(), vae.parameters(), strict=True))


def test_another_tasks_file_is_refused_by_name_and_shape(vae, tmp_path):
    save_vae(tmp_path / "v.safetensors", vae)
    with pytest.raises(UserError, match=r"v\.safetensors: 'opening' has shape \(9, 128, 5, 5\).* has \(17, 128, 5, 5\)"):
        load_vae(tmp_path / "v.safetensors", VAE(16))
