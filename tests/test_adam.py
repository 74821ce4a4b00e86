"""Adam on dense views: torch's own steps, whatever the parameters' memory layout."""

import pytest
import torch
from torch import nn

from worldmodels.training import optim as adam_module
from worldmodels.training.optim import DenseAdam


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(20, 2)).to(memory_format=torch.channels_last)


def batches():
    generator = torch.Generator().manual_seed(1)
    while True:
        yield torch.randn(4, 3, 4, 4, generator=generator)


def loss(batch, model):
    return model(batch).square().sum()


def in_slices(batch, num_slices):
    return [lambda model, part=part: (loss(part, model), {}) for part in batch.chunk(num_slices)]


@pytest.mark.parametrize("num_slices", [1, 3])
@pytest.mark.parametrize("piece", [adam_module.PIECE, 7])
@pytest.mark.parametrize("max_grad_value", [None, 0.5])
def test_steps_are_torchs(max_grad_value, piece, num_slices, monkeypatch):
    monkeypatch.setattr(adam_module, "PIECE", piece)
    ours, plain = make_model(), make_model()
    dense = DenseAdam(ours, 0.1)
    adam = torch.optim.Adam(plain.parameters(), foreach=False, fused=False)
    for step, batch in zip(range(5), batches(), strict=False):
        lr = 0.1 / (step + 1)
        whole, _ = dense.step(in_slices(batch, num_slices), lr, max_grad_value)
        adam.zero_grad()
        other = loss(batch, plain)
        other.backward()
        torch.testing.assert_close(whole, other.detach())
        if max_grad_value is not None:
            nn.utils.clip_grad_value_(plain.parameters(), max_grad_value)
        adam.param_groups[0]["lr"] = lr
        adam.step()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), parameter)
        assert dense.moments()[f"exp_avg/{name}"].shape == parameter.shape
        torch.testing.assert_close(dense.moments()[f"exp_avg/{name}"], adam.state[parameter]["exp_avg"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_restored_moments_go_on_as_if_never_left(dtype):
    """``copy`` is another model when its Adam is made, as where training goes on: the copies for the slices must be renewed."""
    model, copy = make_model(), make_model()
    first = DenseAdam(model, 0.1, dtype)
    for _, batch in zip(range(3), batches(), strict=False):
        first.step(in_slices(batch.to(dtype), 2), 0.1, None)
    second = DenseAdam(copy, 0.1, dtype)
    copy.load_state_dict(model.state_dict())
    second.restore({name: moment.contiguous().clone() for name, moment in first.moments().items()}, 3)
    for adam in (first, second):
        adam.step(in_slices(next(batches()).to(dtype), 2), 0.1, None)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, copy.get_parameter(name))
