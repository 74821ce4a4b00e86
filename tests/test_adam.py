"""Adam on dense views: torch's own steps, whatever the parameters' memory layout."""

import pytest
import torch
from torch import nn

from worldmodels.training.optim import DenseAdam


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(20, 2)).to(memory_format=torch.channels_last)


def losses(model):
    generator = torch.Generator().manual_seed(1)
    while True:
        yield model(torch.randn(4, 3, 4, 4, generator=generator)).square().sum()


@pytest.mark.parametrize("max_grad_value", [None, 0.5])
def test_steps_are_torchs(max_grad_value):
    ours, plain = make_model(), make_model()
    dense = DenseAdam(dict(ours.named_parameters()), 0.1)
    adam = torch.optim.Adam(plain.parameters(), foreach=False, fused=False)
    for step, mine, other in zip(range(5), losses(ours), losses(plain), strict=False):
        lr = 0.1 / (step + 1)
        dense.step(mine, lr, max_grad_value)
        adam.zero_grad()
        other.backward()
        if max_grad_value is not None:
            nn.utils.clip_grad_value_(plain.parameters(), max_grad_value)
        adam.param_groups[0]["lr"] = lr
        adam.step()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), parameter)
        assert dense.moments()[f"exp_avg/{name}"].shape == parameter.shape
        torch.testing.assert_close(dense.moments()[f"exp_avg/{name}"], adam.state[parameter]["exp_avg"])


def test_restored_moments_go_on_as_if_never_left():
    model, copy = make_model(), make_model()
    first = DenseAdam(dict(model.named_parameters()), 0.1)
    for _, loss in zip(range(3), losses(model), strict=False):
        first.step(loss, 0.1, None)
    copy.load_state_dict(model.state_dict())
    second = DenseAdam(dict(copy.named_parameters()), 0.1)
    second.restore({name: moment.contiguous().clone() for name, moment in first.moments().items()}, 3)
    first.step(next(losses(model)), 0.1, None)
    second.step(next(losses(copy)), 0.1, None)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, copy.get_parameter(name))
