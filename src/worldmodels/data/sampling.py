"""In which order V sees frames and M sees sequences: pure functions of (seed, step), so that resuming is exact.

Shapes: B batch, T time, Z latent, A action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.seeding import derive_seed
from worldmodels.data.episodes import EpisodeStore
from worldmodels.data.latents import LatentStore

#: Chunks of 128 frames that are in memory together; a batch is drawn from all of them (8,192 frames, 100 MB).
CHUNKS_IN_MEMORY = 64
#: Streams of an epoch differ in length by up to an episode, and only what all of them have is used. With fewer episodes a
#: stream than this, most of a small data set would be left out; the batch is made narrower instead. Padded episodes are
#: mostly all of one length, and streams of those hardly differ.
EPISODES_PER_STREAM = 16
PADDED_EPISODES_PER_STREAM = 4


#: The numbers of the training and of the held-out episodes, each sorted, int64.
Split = tuple[NDArray[np.int64], NDArray[np.int64]]


def split_episodes(num_episodes: int, held_out_fraction: float, seed: int) -> Split:
    """Returns the numbers of the training and of the held-out episodes (at least one each), sorted.

    Raises:
        ValueError: fewer than two episodes.
    """
    if num_episodes < 2:
        raise ValueError("two episodes are needed: one to train on, one to hold out")
    order = np.random.default_rng(derive_seed(seed, "split")).permutation(num_episodes)
    held_out = min(max(1, round(num_episodes * held_out_fraction)), num_episodes - 1)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


class FrameSampler:
    """Batches of frames for V: chunks in random order, a window of them in memory, frames at random inside.

    Args:
        store: where the frames are.
        episodes: the numbers of the episodes that may be drawn.
        batch_size: B.
        seed: of the run.
    """

    def __init__(self, store: EpisodeStore, episodes: NDArray[np.int64], batch_size: int, seed: int) -> None:
        self._store, self._batch_size, self._seed = store, batch_size, seed
        allowed = np.zeros(store.num_frames, np.bool_)
        for episode in episodes:
            allowed[store.offsets[episode] : store.offsets[episode + 1]] = True
        self._allowed = allowed
        self._chunks = [chunk for chunk in store.chunks() if allowed[chunk[0] : chunk[1]].any()]
        self._window: tuple[int, int] | None = None
        self._frames = np.zeros((0, 64, 64, 3), np.uint8)
        # How many batches an epoch's windows give is the same in every epoch only on average; it is fixed at this.
        self._windows_per_epoch = max(1, len(self._chunks) // CHUNKS_IN_MEMORY)
        frames_per_window = int(allowed.sum()) // self._windows_per_epoch
        self._batches_per_window = max(1, frames_per_window // batch_size)

    @property
    def batches_per_epoch(self) -> int:
        """Batches in which every frame is seen once, give or take the last few of a window."""
        return self._windows_per_epoch * self._batches_per_window

    def _load(self, epoch: int, window: int) -> None:
        """Reads a window's frames and shuffles them."""
        if self._window == (epoch, window):
            return
        order = np.random.default_rng(derive_seed(self._seed, "vae/chunks", epoch)).permutation(len(self._chunks))
        parts = []
        for index in np.array_split(order, self._windows_per_epoch)[window]:
            start, stop = self._chunks[index]
            parts.append(self._store.frames(start, stop)[self._allowed[start:stop]])
        frames = np.concatenate(parts)
        rng = np.random.default_rng(derive_seed(self._seed, "vae/frames", epoch, window))
        self._frames = frames[rng.permutation(len(frames))]
        self._window = (epoch, window)

    def batch(self, step: int) -> NDArray[np.uint8]:
        """Returns the frames uint8 [B, 64, 64, 3] of a gradient step."""
        epoch, in_epoch = divmod(step, self.batches_per_epoch)
        window, in_window = divmod(in_epoch, self._batches_per_window)
        self._load(epoch, window)
        index = np.arange(in_window * self._batch_size, (in_window + 1) * self._batch_size)
        return self._frames[index % len(self._frames)]


def held_out_frames(store: EpisodeStore, episodes: NDArray[np.int64], num_frames: int, seed: int) -> NDArray[np.uint8]:
    """Returns ``num_frames`` frames of the given episodes, spread at random: uint8 [num_frames, 64, 64, 3]."""
    rng = np.random.default_rng(derive_seed(seed, "held-out frames"))
    picks = []
    for _ in range(num_frames):
        episode = int(rng.choice(episodes))
        frame = int(rng.integers(store.offsets[episode], store.offsets[episode + 1]))
        picks.append(store.frames(frame, frame + 1)[0])
    return np.stack(picks)


#: A place in a stream: the number of a recorded step, whether it is read as a mirror shows it, and whether it only pads an
#: episode that has ended.
PLACE = np.dtype([("step", np.int64), ("mirrored", np.bool_), ("padding", np.bool_)])


@dataclass(frozen=True)
class SequenceBatch:
    """A window of B streams, T steps each, with the latent that follows its last step.

    mu, logvar float32 [B, T, Z]; next_mu, next_logvar float32 [B, 1, Z]; ``has_next`` (bool [B, T]) is false where nothing
    follows a step, and what stands there is meaningless;
    action float32 [B, T, A]; restart, done, hit bool [B, T]; reward float32 [B, T]; ``valid`` bool [B, T] is false where an
    episode is padded; ``fresh`` says that the streams begin here.
    """

    mu: NDArray[np.float32]
    logvar: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    restart: NDArray[np.bool_]
    done: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    has_next: NDArray[np.bool_]
    next_mu: NDArray[np.float32]
    next_logvar: NDArray[np.float32]
    valid: NDArray[np.bool_]
    fresh: bool


class SequenceSampler:
    """Windows of long streams for M: each stream is whole episodes one after the other, read from its beginning.

    As in the original, M remembers an episode from its start: the LSTM's state is carried from window to window, and streams
    are only ever cut between episodes.

    An episode that was also encoded as a mirror shows it is read that way every second time, by chance: with the action that a
    mirror shows.

    A model without a restart input cannot be told where an episode begins inside a window: for it, every episode is
    ``padded`` to whole windows, by its last step.

    Args:
        store: the latents.
        episodes: the numbers of the episodes to use.
        batch_size: B at most; fewer if there are too few episodes.
        sequence_length: T.
        seed: of the run.
        padded: whether each episode is padded to whole windows.
        mirrored_action: what a mirror makes of each action component, float [A] (`Task.mirrored_action`); empty: nothing
            is read as a mirror shows it.
    """

    def __init__(
        self,
        store: LatentStore,
        episodes: NDArray[np.int64],
        batch_size: int,
        sequence_length: int,
        seed: int,
        padded: bool = False,
        mirrored_action: Sequence[float] = (),
    ) -> None:
        self._store, self._episodes, self._seed = store, episodes, seed
        unit = sequence_length if padded else 1
        #: Steps of every episode in a stream, padding included.
        self._padded_lengths = -(-store.lengths // unit) * unit
        self._length = sequence_length
        self._first_mirrored = store.first_mirrored if mirrored_action else store.num_episodes
        self._mirrored_action = np.array(mirrored_action, np.float32)
        per_stream = PADDED_EPISODES_PER_STREAM if padded else EPISODES_PER_STREAM
        self.batch_size = max(1, min(batch_size, len(episodes) // per_stream))
        self._num_steps = len(store.mu)
        self._first = np.zeros(self._num_steps, np.bool_)
        self._first[store.offsets[:-1]] = True
        self._last = np.zeros(self._num_steps, np.bool_)
        self._last[store.offsets[1:] - 1] = True
        self._epoch = -1
        self._streams: list[NDArray[np.void]] = []
        # Streams of an epoch differ in length by an episode at most; every epoch gives this many windows.
        steps = int(self._padded_lengths[episodes].sum())
        longest = int(self._padded_lengths[episodes].max())
        self.windows_per_epoch = max(1, (steps // self.batch_size - longest) // sequence_length)

    def _lay_out(self, epoch: int) -> None:
        """Deals the episodes of an epoch to the streams: each goes to the stream that is shortest so far."""
        if self._epoch == epoch:
            return
        rng = np.random.default_rng(derive_seed(self._seed, "rnn/episodes", epoch))
        dealt: list[list[NDArray[np.void]]] = [[] for _ in range(self.batch_size)]
        totals = np.zeros(self.batch_size, np.int64)
        for episode in rng.permutation(self._episodes):
            stream = int(totals.argmin())
            mirrored = bool(episode >= self._first_mirrored and rng.random() < 0.5)
            dealt[stream].append(self._places(int(episode), mirrored))
            totals[stream] += len(dealt[stream][-1])
        needed = self.windows_per_epoch * self._length
        # A stream that is too short for its last window (tiny data sets only) begins again.
        self._streams = [np.resize(np.concatenate(parts), max(needed, 1))[:needed] for parts in dealt]
        self._epoch = epoch

    def _places(self, episode: int, mirrored: bool) -> NDArray[np.void]:
        """Returns an episode as it lies in a stream, `PLACE` [its padded length]: padding repeats its last step."""
        length, end = int(self._padded_lengths[episode]), self._store.offsets[episode + 1]
        places = np.zeros(length, PLACE)
        steps = self._store.offsets[episode] + np.arange(length)
        places["step"], places["padding"] = np.minimum(steps, end - 1), steps >= end
        places["mirrored"] = mirrored
        return places

    def batch(self, step: int) -> SequenceBatch:
        """Returns the window of a gradient step."""
        epoch, window = divmod(step, self.windows_per_epoch)
        self._lay_out(epoch)
        start = window * self._length
        places = np.stack([stream[start : start + self._length] for stream in self._streams])  # [B, T]
        index, mirrored, valid = places["step"], places["mirrored"], ~places["padding"]
        store = self._store
        last = self._last[index]
        mu, logvar = store.latents(index, mirrored)
        following = np.minimum(index[:, -1:] + 1, self._num_steps - 1)
        next_mu, next_logvar = store.latents(following, mirrored[:, -1:])
        action = store.action[index]
        if mirrored.any():
            action[mirrored] *= self._mirrored_action
        return SequenceBatch(
            mu=mu,
            logvar=logvar,
            action=action,
            reward=store.reward[index],
            restart=self._first[index],
            done=store.terminated[index],
            hit=store.damage[index] > 0,
            has_next=~last & valid,
            next_mu=next_mu,
            next_logvar=next_logvar,
            valid=valid,
            fresh=window == 0,
        )
