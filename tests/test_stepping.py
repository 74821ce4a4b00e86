"""The compiled loops of M's step on a CPU against torch's operations, which a GPU takes."""

import numba
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldmodels.models import loops_cpu, stepper, stepper_cpu
from worldmodels.models.mixture_nll import LOG_STD_RANGE


def numbers(dtype, *shape, scale=4.0):
    return (scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_slots", "size"), [(1, 3), (7, 256), (33, 512)])
def test_advance(dtype, num_slots, size):
    gates, cell = numbers(dtype, num_slots, 4 * size), numbers(torch.float32, num_slots, size, scale=1.0)
    gates[0, :4] = torch.tensor([-200.0, 200.0, -1e30, 1e30])
    for found, expected in zip(stepper_cpu.advance(gates, cell), stepper.advance(gates, cell), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_heads", [0, 1, 2])
@pytest.mark.parametrize("temperature", [0.1, 1.15])
def test_draw(dtype, num_heads, temperature):
    num_slots, latent, mixtures = 50, 33, 5
    outputs = numbers(dtype, num_slots, num_heads + 3 * mixtures * latent, scale=2.0)
    uniform = torch.rand(num_slots, latent, generator=torch.Generator().manual_seed(1))
    normal = numbers(torch.float32, num_slots, latent, scale=1.0)
    asked = (outputs, num_heads, uniform, normal, temperature, LOG_STD_RANGE)
    found, expected = stepper_cpu.draw(*asked), stepper.draw(*asked)
    near = torch.isclose(found, expected, rtol=1e-4, atol=1e-5)
    # A uniform number that falls onto the border of two mixtures may choose either.
    assert near.float().mean() > 0.999


def test_what_is_no_number_stays_none():
    cell = torch.zeros(2, 8)
    gates = torch.zeros(2, 32)
    gates[1] = torch.nan
    hidden, new_cell = stepper_cpu.advance(gates, cell)
    assert not hidden[0].isnan().any()
    assert hidden[1].isnan().all()
    assert new_cell[1].isnan().all()


def test_exp_is_right_to_the_last_bits():
    x = np.linspace(-87, 87, 100_001, dtype=np.float32)
    exponential = numba.vectorize(["float32(float32)"])(loops_cpu.exp.py_func)
    np.testing.assert_allclose(exponential(x), np.exp(x.astype(np.float64)), rtol=4e-7)


@given(st.lists(st.floats(width=32), min_size=6, max_size=60), st.sampled_from([torch.float32, torch.bfloat16]))
def test_join_rounds_as_torch_does(values, dtype):
    part = torch.tensor(values, dtype=torch.float32)[: len(values) // 3 * 3].view(-1, 3)
    last = part.flip(1)[:, 1:]  # not contiguous
    rows = [torch.full((len(part), 6), 7.0, dtype=dtype) for _ in range(2)]
    stepper_cpu.join([part, last], rows[0])
    stepper.join([part, last], rows[1])
    assert torch.equal(rows[0].isnan(), rows[1].isnan())
    assert torch.equal(rows[0].nan_to_num(), rows[1].nan_to_num())
    assert (rows[0][:, 5] == 7).all()


@pytest.mark.parametrize("shapes", [[(4, 3), (3, 2)], [(4, 3), (4, 3)], [(4, 3), (4, 1)]])
def test_join_refuses_parts_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match="do not make 4 rows of 5 numbers"):
        stepper_cpu.join([torch.zeros(shape) for shape in shapes], torch.zeros(4, 6))
