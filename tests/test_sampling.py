"""The order in which V sees frames and M sees sequences: a pure function of (seed, step) that covers the data."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodels.data import sampling
from worldmodels.data.episodes import Episode, EpisodeStore, write_shard
from worldmodels.data.latents import LatentStore
from worldmodels.data.sampling import FrameSampler, SequenceSampler, held_out_frames, split_episodes

LENGTHS = [50, 200, 130, 7, 90, 300, 128, 20, 64, 33, 140, 60]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])


@given(st.integers(2, 500), st.floats(0.001, 0.9), st.integers(0, 99))
def test_split_is_a_partition_with_both_sides(num, fraction, seed):
    training, held_out = split_episodes(num, fraction, seed)
    assert sorted([*training, *held_out]) == list(range(num))
    assert len(training) >= 1
    assert abs(len(held_out) - max(1, num * fraction)) <= 1
    again = split_episodes(num, fraction, seed)
    assert all(np.array_equal(a, b) for a, b in zip((training, held_out), again, strict=True))


def test_split_depends_on_the_seed_and_needs_two():
    assert not np.array_equal(split_episodes(100, 0.2, 0)[1], split_episodes(100, 0.2, 1)[1])
    with pytest.raises(ValueError, match="two episodes"):
        split_episodes(1, 0.5, 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Episodes whose every frame carries its own number in its first two pixels."""
    folder = tmp_path_factory.mktemp("episodes")
    for shard in range(3):
        episodes = []
        for e in range(4 * shard, 4 * shard + 4):
            frames = np.zeros((LENGTHS[e], 64, 64, 3), np.uint8)
            numbers = np.arange(OFFSETS[e], OFFSETS[e + 1])
            frames[:, 0, 0, 0], frames[:, 0, 0, 1] = numbers // 256, numbers % 256
            steps = np.zeros(LENGTHS[e], np.float32)
            episodes.append(Episode(e, frames, steps[:, None], steps, np.zeros(LENGTHS[e], np.bool_), 0 * steps))
        write_shard(folder / f"shard-{shard:05d}", episodes)
    return EpisodeStore(folder)


def numbers(frames):
    return frames[:, 0, 0, 0].astype(int) * 256 + frames[:, 0, 0, 1]


def allowed(episodes):
    return {n for e in episodes for n in range(OFFSETS[e], OFFSETS[e + 1])}


TRAINING = np.array([0, 1, 2, 4, 5, 6, 8, 9, 11])


@pytest.fixture
def frame_sampler(store, monkeypatch):
    """Makes samplers with several windows an epoch."""
    monkeypatch.setattr(sampling, "CHUNKS_IN_MEMORY", 3)
    return lambda seed=0: FrameSampler(store, TRAINING, 16, seed)


def test_frames_are_a_function_of_seed_and_step(frame_sampler):
    one, other, stranger = frame_sampler(), frame_sampler(), frame_sampler(1)
    steps = list(range(2 * one.batches_per_epoch))
    in_order = {step: numbers(one.batch(step)) for step in steps}
    for step in np.random.default_rng(0).permutation(steps)[:12]:
        np.testing.assert_array_equal(numbers(other.batch(int(step))), in_order[step])
    assert not np.array_equal(numbers(stranger.batch(0)), in_order[0])


def test_an_epoch_shows_every_training_frame_about_once_and_no_other(frame_sampler):
    sampler = frame_sampler()
    orders = []
    for epoch in range(3):
        first = epoch * sampler.batches_per_epoch
        seen = np.concatenate([numbers(sampler.batch(first + i)) for i in range(sampler.batches_per_epoch)])
        assert set(seen) <= allowed(TRAINING)
        # Windows differ in size and an epoch's number of batches does not: a tenth may be seen twice or missed.
        counts = np.unique(seen, return_counts=True)[1]
        assert counts.max() <= 2
        assert len(counts) >= 0.8 * len(allowed(TRAINING))
        orders.append(tuple(seen))
    assert len(set(orders)) == 3
    assert len(set().union(*orders)) > 0.98 * len(allowed(TRAINING))


def test_one_window_shows_each_frame_once(store):
    sampler = FrameSampler(store, TRAINING, 16, 0)
    seen = np.concatenate([numbers(sampler.batch(i)) for i in range(sampler.batches_per_epoch)])
    assert len(set(seen)) == len(seen) > len(allowed(TRAINING)) - 16


def test_a_batch_larger_than_the_data_repeats_it(store):
    batch = numbers(FrameSampler(store, np.array([3]), 16, 0).batch(5))
    assert set(batch) == allowed([3])
    assert len(batch) == 16


def test_held_out_frames_are_held_out(store):
    frames = held_out_frames(store, np.array([3, 7, 10]), 60, 0)
    assert set(numbers(frames)) <= allowed([3, 7, 10])
    np.testing.assert_array_equal(frames, held_out_frames(store, np.array([3, 7, 10]), 60, 0))


#: For M: 60 shorter episodes, all their steps countable in float16, of which 48 are for training.
SHORT = np.random.default_rng(3).integers(3, 50, 60)
SEVEN = 11  # the number of an episode of 7 steps
SHORT[SEVEN] = 7
STARTS = np.concatenate([[0], np.cumsum(SHORT)])
PLAYED = np.flatnonzero(np.arange(60) % 5)


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    """Latents whose first component is the step's number, its second the episode's."""
    folder = tmp_path_factory.mktemp("latents")
    total = STARTS[-1]
    episode = np.repeat(np.arange(60), SHORT)
    mu = np.stack([np.arange(total), episode], 1).astype(np.float16)
    terminated = np.zeros(total, np.bool_)
    terminated[STARTS[1:] - 1] = np.arange(60) % 3 != 0  # the others were truncated
    np.save(folder / "mu.npy", mu)
    np.save(folder / "logvar.npy", -mu)
    np.save(folder / "action.npy", np.arange(total, dtype=np.float32)[:, None] / 4)
    np.save(folder / "reward.npy", np.arange(total, dtype=np.float32) / 2)
    np.save(folder / "terminated.npy", terminated)
    np.save(folder / "damage.npy", np.where(np.arange(total) % 7 == 0, 21, 0).astype(np.float32))
    np.save(folder / "lengths.npy", SHORT)
    return LatentStore(folder)


def windows(sampler, epoch):
    first = epoch * sampler.windows_per_epoch
    return [sampler.batch(first + i) for i in range(sampler.windows_per_epoch)]


def make(latents, seed=0):
    return SequenceSampler(latents, PLAYED, 3, 17, seed)


def test_sequences_are_a_function_of_seed_and_step(latents):
    one, other, stranger = make(latents), make(latents), make(latents, 1)
    steps = list(range(2 * one.windows_per_epoch))
    in_order = {step: one.batch(step).mu for step in steps}
    for step in np.random.default_rng(0).permutation(steps):
        np.testing.assert_array_equal(other.batch(int(step)).mu, in_order[step])
    assert not np.array_equal(stranger.batch(0).mu, in_order[0])


def test_streams_begin_at_an_episodes_start_and_go_on_from_window_to_window(latents):
    sampler = make(latents)
    assert sampler.windows_per_epoch > 3
    assert sampler.batch_size == 3
    for epoch in range(2):
        batches = windows(sampler, epoch)
        assert [b.fresh for b in batches] == [True] + [False] * (len(batches) - 1)
        assert batches[0].restart[:, 0].all()
        step = np.concatenate([b.mu[..., 0] for b in batches], 1).astype(int)
        restart = np.concatenate([b.restart for b in batches], 1)
        np.testing.assert_array_equal(restart, np.isin(step, STARTS[:-1]))
        for stream, begins in zip(step, restart, strict=True):
            for (before, after), new in zip(pairwise(stream), begins[1:], strict=True):
                assert new or after == before + 1
                assert not new or before + 1 in STARTS  # an episode is left at its end only


def test_a_window_tells_what_follows(latents):
    for batch in windows(make(latents), 0):
        step = batch.mu[..., 0].astype(int)
        np.testing.assert_array_equal(batch.has_next, ~np.isin(step + 1, STARTS))
        goes_on = batch.has_next[:, -1]
        np.testing.assert_array_equal(batch.next_mu[goes_on, 0, 0], step[goes_on, -1] + 1)
        np.testing.assert_array_equal(batch.next_logvar, -batch.next_mu)
        # Within a window, what follows is the next column.
        inside = batch.has_next[:, :-1]
        np.testing.assert_array_equal(batch.mu[:, 1:, 0][inside], step[:, :-1][inside] + 1)
        np.testing.assert_array_equal(batch.done, latents.terminated[step])
        np.testing.assert_array_equal(batch.hit, step % 7 == 0)
        np.testing.assert_array_equal(batch.action[..., 0], step / 4)
        np.testing.assert_array_equal(batch.reward, step / 2)
        np.testing.assert_array_equal(batch.logvar, -batch.mu)


def test_sequences_never_hold_a_held_out_episode(latents):
    sampler = make(latents)
    for epoch in range(4):
        seen = np.concatenate([np.concatenate(b.mu[..., 1]) for b in windows(sampler, epoch)])
        assert set(seen.astype(int)) <= set(PLAYED)


def test_no_step_comes_twice_in_an_epoch(latents):
    sampler = make(latents)
    for epoch in range(4):
        seen = np.concatenate([np.concatenate(b.mu[..., 0]) for b in windows(sampler, epoch)])
        assert len(set(seen)) == len(seen)


def test_few_episodes_are_shown_whole_too(latents):
    """Two episodes for each of the streams that are asked for: still, most of the data comes in some epoch."""
    few = PLAYED[:16]
    sampler = SequenceSampler(latents, few, 8, 10, 0)
    ever = set()
    for epoch in range(16):
        for batch in windows(sampler, epoch):
            ever |= set(batch.mu[..., 0].flat)
    assert len(ever) > 0.9 * SHORT[few].sum()


def test_tiny_data_repeats_itself(latents):
    sampler = SequenceSampler(latents, np.array([SEVEN]), 8, 20, 0)
    assert sampler.batch_size == 1
    batch = sampler.batch(0)
    np.testing.assert_array_equal(batch.mu[0, :, 0] - STARTS[SEVEN], np.resize(np.arange(7), 20))
    assert batch.restart[0].tolist() == [i % 7 == 0 for i in range(20)]


FIRST_MIRRORED = 25


@pytest.fixture(scope="module")
def mirrored_latents(latents, tmp_path_factory):
    """The same, whose later episodes were also encoded in a mirror: there, step n's first component is -1 - n."""
    folder = tmp_path_factory.mktemp("mirrored")
    for name in ("mu", "logvar", "action", "reward", "terminated", "damage", "lengths"):
        np.save(folder / f"{name}.npy", getattr(latents, name))
    shown = latents.mu[STARTS[FIRST_MIRRORED] :] * np.array([-1, 1], np.float16) - np.array([1, 0], np.float16)
    np.save(folder / "mirrored_mu.npy", shown)
    np.save(folder / "mirrored_logvar.npy", -shown)
    return LatentStore(folder)


@pytest.mark.parametrize("padded", [False, True])
def test_half_of_the_mirrored_episodes_are_read_in_the_mirror(mirrored_latents, padded):
    """A whole episode is, with what follows and with its actions; which ones is drawn anew in every epoch."""
    sampler = SequenceSampler(mirrored_latents, PLAYED, 3, 8, 0, padded, mirrored_action=(-1.0,))
    assert mirrored_latents.first_mirrored == FIRST_MIRRORED
    seen = {}
    for epoch in range(6):
        for batch in windows(sampler, epoch):
            shown = batch.mu[..., 0] < 0
            step, episode = np.where(shown, -1 - batch.mu[..., 0], batch.mu[..., 0]), batch.mu[..., 1].astype(int)
            np.testing.assert_array_equal(batch.action[..., 0], np.where(shown, -1, 1) * step / 4)
            np.testing.assert_array_equal(batch.logvar, -batch.mu)
            after = np.where(shown, -1, 1) + batch.mu[..., 0]
            goes_on = batch.has_next[:, -1]
            np.testing.assert_array_equal(batch.next_mu[goes_on, 0, 0], after[goes_on, -1])
            np.testing.assert_array_equal(batch.next_logvar, -batch.next_mu)
            np.testing.assert_array_equal(batch.reward, step / 2)
            for number in np.unique(episode):
                seen.setdefault((epoch, number), set()).update(shown[episode == number])
    assert all(len(kinds) == 1 for kinds in seen.values())
    assert not any(kinds.pop() for (_, number), kinds in seen.items() if number < FIRST_MIRRORED)
    later = [kinds.pop() for (_, number), kinds in seen.items() if number >= FIRST_MIRRORED]
    assert 0.35 < np.mean(later) < 0.65


def test_without_an_action_for_the_mirror_nothing_is_read_in_it(mirrored_latents, latents):
    for plain, other in zip(windows(make(latents), 0), windows(make(mirrored_latents), 0), strict=True):
        np.testing.assert_array_equal(plain.mu, other.mu)


def test_padded_windows_hold_one_episode_each(latents):
    """For an M without a restart input: no window straddles two episodes, and padding is marked."""
    sampler = SequenceSampler(latents, PLAYED, 3, 7, 0, padded=True)
    lasts = []
    for batch in windows(sampler, 0):
        assert batch.valid[:, 0].all()
        # Padding ends a window, and an episode begins at a window's start or nowhere.
        assert (np.diff(batch.valid.astype(int), axis=1) <= 0).all()
        assert not batch.restart[:, 1:].any() or not batch.valid[:, 1:][batch.restart[:, 1:]].any()
        assert not batch.has_next[~batch.valid].any()
        for row in range(3):
            steps = batch.mu[row, :, 0][batch.valid[row]]
            assert (np.diff(steps) == 1).all()
            assert len(set(batch.mu[row, :, 1])) == 1
            lasts += [step for step, goes_on in zip(steps, batch.has_next[row][batch.valid[row]], strict=True) if not goes_on]
    # Most episodes are there to their last step, and none is there twice.
    assert len(lasts) == len(set(lasts)) > 0.7 * len(PLAYED)
    assert set(lasts) <= set(STARTS[1:] - 1)
