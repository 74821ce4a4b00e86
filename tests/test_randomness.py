"""An episode's noise depends on its seed alone: not on when it begins, nor on what plays beside it."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldmodels.worlds.noise import BLOCK_STEPS, EpisodeNoise

SIZE = 3


def alone(seed, num_steps):
    """An episode's numbers when nothing else plays: uniform and normal, [T, SIZE] each."""
    noise = EpisodeNoise(1, SIZE)
    noise.begin(np.ones(1, np.bool_), [seed])
    rows = [noise.next() for _ in range(num_steps)]
    return torch.stack([torch.cat([u, n]) for u, n in rows])


@given(st.integers(1, 5), st.lists(st.integers(0, 2), min_size=70, max_size=70), st.data())
def test_other_slots_and_times_change_nothing(num_slots, events, data):
    """Slots begin, share seeds and are dropped at random; every one of them draws what it would draw alone."""
    noise = EpisodeNoise(num_slots, SIZE)
    seeds = [data.draw(st.integers(0, 3)) for _ in range(num_slots)]
    noise.begin(np.ones(num_slots, np.bool_), seeds)
    ages = [0] * num_slots
    references = {seed: alone(seed, len(events)) for seed in range(4)}
    for event in events:
        uniform, normal = noise.next()
        for slot, (seed, age) in enumerate(zip(seeds, ages, strict=True)):
            assert torch.equal(torch.stack([uniform[slot], normal[slot]]), references[seed][age])
        ages = [age + 1 for age in ages]
        slot = data.draw(st.integers(0, len(seeds) - 1))
        if event == 1:
            seeds[slot], ages[slot] = data.draw(st.integers(0, 3)), 0
            noise.begin(np.arange(len(seeds)) == slot, [s if i == slot else None for i, s in enumerate(seeds)])
        elif event == 2 and len(seeds) > 1 and data.draw(st.integers(0, 9)) == 0:
            keep = np.arange(len(seeds)) != slot
            seeds, ages = ([x for x, kept in zip(old, keep, strict=True) if kept] for old in (seeds, ages))
            noise.shrink(keep)


@pytest.mark.parametrize("start", [0, 1, BLOCK_STEPS - 1, BLOCK_STEPS, BLOCK_STEPS + 5])
def test_an_episode_that_begins_anywhere_in_a_block(start):
    noise = EpisodeNoise(2, SIZE)
    noise.begin(np.ones(2, np.bool_), [1, 1])
    for _ in range(start):
        noise.next()
    noise.begin(np.array([False, True]), [None, 2])
    for row in alone(2, 3 * BLOCK_STEPS):
        uniform, normal = noise.next()
        assert torch.equal(torch.stack([uniform[1], normal[1]]), row)


def test_the_first_to_begin_need_not_be_all():
    noise = EpisodeNoise(3, SIZE)
    noise.begin(np.array([False, True, False]), [None, 2, None])
    for row in alone(2, 5):
        uniform, normal = noise.next()
        assert torch.equal(torch.stack([uniform[1], normal[1]]), row)


def test_numbers_are_uniform_and_normal():
    draws = torch.cat([alone(seed, 1000) for seed in range(20)])
    uniform, normal = draws[:, 0].flatten(), draws[:, 1].flatten()
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.02
    assert abs(normal.var() - 1) < 0.03
    assert abs(torch.corrcoef(torch.stack([uniform, normal]))[0, 1]) < 0.02


def test_seeds_differ():
    assert not torch.equal(alone(0, 5), alone(1, 5))


def test_a_beginning_costs_no_more_for_the_slots_beside_it():
    """Counted in memory: the numbers of 2,000 slots are 12 MB, and are not copied because one of them begins anew."""
    num_slots, size = 2000, 25
    noise = EpisodeNoise(num_slots, size)
    noise.begin(np.ones(num_slots, np.bool_), list(range(num_slots)))
    noise.next()
    seeds = [None] * num_slots
    tracemalloc.start()
    try:
        for seed in range(5000, 5003):
            mask = np.arange(num_slots) == seed - 5000
            seeds[seed - 5000] = seed
            noise.begin(mask, seeds)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * num_slots * BLOCK_STEPS * size * 4 / 10


def test_rows_that_nobody_draws_from_are_used_again_and_dropped():
    """However many episodes have begun, there are no more streams than slots; fewer once slots share them."""
    noise = EpisodeNoise(8, SIZE)
    for first in range(0, 400, 8):
        noise.begin(np.ones(8, np.bool_), list(range(first, first + 8)))
        noise.next()
    for seed in range(400, 800):
        noise.begin(np.arange(8) == seed % 8, [seed] * 8)
        noise.next()
    assert len(noise._generators) == noise._numbers.shape[1] == 8
    noise.begin(np.ones(8, np.bool_), [1] * 8)
    assert len(noise._generators) == 1
