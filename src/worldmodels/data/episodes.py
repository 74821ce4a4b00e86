"""Recorded episodes on disk: immutable shards of compressed uint8 frames.

    episodes/shard-00000/
      frames.bin    uint8 [T, 64, 64, 3] in chunks of 128 frames: differences in time, Blosc2-zstd
      steps.npz     action float32 [T, A], reward float32 [T], terminated bool [T], damage float32 [T]
      shard.json    seed and length of every episode, size of every chunk, a checksum of both files

T counts the steps of all episodes of the shard, one after the other. Frame t is what was seen before action t. A shard is
written beside and renamed, so it is there whole or not at all.

Why not zarr, which would bring an index of its own: through it the same codec wrote 8,900 and read 22,000 frames/s a core
where Blosc2 alone reaches 20,000 and 40,000; it fills a missing chunk with zeros in silence, and its list of codecs is
open (one of them unpickles).
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from worldmodels.base import files
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.runs.layout import FRAMES, SHARD, STEPS

FRAME_SHAPE = (64, 64, 3)
CHUNK_FRAMES = 128
#: No compressed chunk is larger than the frames in it by more than a little.
MAX_CHUNK_BYTES = 2 * CHUNK_FRAMES * int(np.prod(FRAME_SHAPE))
#: Differences in time, then bits transposed, then zstd 1: 4.2 kB a frame of TakeCover at 45,000 frames/s a core (raw:
#: 12.3 kB). Without the differences it is 5.7 kB at 41,000; without transposing, 4.0 kB at 26,000; with LZ4, 6.5 kB at 80,000.
_CODEC: dict[str, Any] = {
    "codec": blosc2.Codec.ZSTD,
    "clevel": 1,
    "filters": [blosc2.Filter.BITSHUFFLE],
    "typesize": 1,
    "nthreads": 1,
}
# Other threads go on while a chunk is decompressed.
blosc2.set_releasegil(True)
_STEPS = {"action": np.float32, "reward": np.float32, "terminated": np.bool_, "damage": np.float32}
_MEND = "; remove the shard's folder and call 'worldmodels collect' (or 'import', where it was) again: it is made as before"


@dataclass(frozen=True)
class Episode:
    """One episode of T steps: frames uint8 [T, 64, 64, 3], actions float32 [T, A], rewards float32 [T], terminated bool [T],
    damage float32 [T] (what each step cost of the health; zeros where there is none)."""

    seed: int
    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    damage: NDArray[np.float32]


class Recording:
    """An episode while it is being played."""

    def __init__(self) -> None:
        self._steps: list[tuple[NDArray[np.uint8], NDArray[np.float32], float, bool, float]] = []

    def add(
        self, frame: NDArray[np.uint8], action: NDArray[np.float32], reward: float, terminated: bool, damage: float
    ) -> None:
        """Remembers a step: what was seen before it (never changed after), what was done, and what came."""
        self._steps.append((frame, action, reward, terminated, damage))

    def __len__(self) -> int:
        return len(self._steps)

    def episode(self, seed: int) -> Episode:
        """Returns all steps so far as an episode."""
        frames, actions, rewards, terminated, damage = zip(*self._steps, strict=True)
        return Episode(
            seed,
            np.stack(frames),
            np.stack(actions).astype(np.float32),
            np.array(rewards, np.float32),
            np.array(terminated, np.bool_),
            np.array(damage, np.float32),
        )


def _compress(frames: NDArray[np.uint8]) -> bytes:
    """Compresses a chunk: each frame but the first as its difference from the one before, modulo 256."""
    differences = frames.copy()
    differences[1:] -= frames[:-1]
    return bytes(blosc2.compress2(differences, **_CODEC))


def _decompress(data: bytes, frames: NDArray[np.uint8]) -> None:
    """Undoes `_compress` into frames uint8 [T, 64, 64, 3]. Raises ValueError or RuntimeError on damaged data."""
    # The header is asked first: a damaged one must not make the decoder write past the end.
    claimed = blosc2.get_cbuffer_sizes(data)[0]
    if claimed != frames.nbytes:
        raise ValueError(f"{claimed:,} bytes instead of {len(frames)} frames")
    blosc2.decompress2(data, dst=frames, nthreads=1)
    for i in range(1, len(frames)):
        frames[i] += frames[i - 1]


def _steps_fault(steps: dict[str, NDArray[Any]], num_frames: int) -> str | None:
    """Returns what is wrong with a shard's steps, None where they can be learned from: what is read is what may be written."""
    for name, kind in _STEPS.items():
        array, dimensions = steps[name], 2 if name == "action" else 1
        if array.dtype != kind or array.ndim != dimensions or len(array) != num_frames:
            form = " × ".join(map(str, array.shape))
            return f"'{name}' is {form} {array.dtype}; expected {num_frames}{' × A' * (dimensions - 1)} {kind.__name__}"
        if kind == np.float32 and not np.isfinite(array).all():
            return f"'{name}' holds a value that is not finite"
    return None


def _refuse_unreadable(folder: Path, episodes: Sequence[Episode]) -> None:
    """Raises `UserError` for episodes that could not be read again."""
    for episode in episodes:
        frames = episode.frames
        steps = {"action": episode.actions, "reward": episode.rewards, "terminated": episode.terminated}
        fault = _steps_fault({**steps, "damage": episode.damage}, len(frames))
        if frames.dtype != np.uint8 or frames.shape[1:] != FRAME_SHAPE or not len(frames):
            fault = f"frames are {frames.dtype} {frames.shape}; expected uint8 {(max(1, len(frames)), *FRAME_SHAPE)}"
        elif fault is None and episode.actions.shape[1:] != episodes[0].actions.shape[1:]:
            fault = f"its actions have {episode.actions.shape[1]} components, those before {episodes[0].actions.shape[1]}"
        if fault:
            raise UserError(f"{folder}: not written, the episode with seed {episode.seed} could not be read again: {fault}")


def write_shard(folder: Path, episodes: Sequence[Episode]) -> None:
    """Writes a shard whole or not at all.

    Raises:
        UserError: an episode has other types or sizes than it should, or a number that is not finite.
        EnvironmentFailure: the disk refuses.
    """
    _refuse_unreadable(folder, episodes)
    # On a shared disk another machine's process may have our number.
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir(parents=True)
        frames = np.concatenate([e.frames for e in episodes])
        chunks = [_compress(frames[i : i + CHUNK_FRAMES]) for i in range(0, len(frames), CHUNK_FRAMES)]
        (temporary / FRAMES).write_bytes(b"".join(chunks))
        np.savez(
            temporary / STEPS,
            action=np.concatenate([e.actions for e in episodes]),
            reward=np.concatenate([e.rewards for e in episodes]),
            terminated=np.concatenate([e.terminated for e in episodes]),
            damage=np.concatenate([e.damage for e in episodes]),
        )
        files.write_json(
            temporary / SHARD,
            {
                "episodes": [{"seed": e.seed, "length": len(e.frames)} for e in episodes],
                "chunk_bytes": [len(chunk) for chunk in chunks],
                "frames_sha256": files.sha256_of(temporary / FRAMES),
                "steps_sha256": hashlib.sha256(_npz_content(temporary / STEPS)).hexdigest(),
            },
        )
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if (folder / SHARD).exists():
            return  # a worker that was given up for dead has written it meanwhile
        raise EnvironmentFailure(f"{folder}: cannot be written ({error.strerror or error})") from error


def _check_members(archive: zipfile.ZipFile) -> None:
    """Raises `zipfile.BadZipFile` unless an archive is one of ours: nothing in it can be larger than the file itself."""
    members = archive.infolist()
    if sorted(member.filename for member in members) != sorted(f"{name}.npy" for name in _STEPS):
        raise zipfile.BadZipFile("holds other arrays than a shard's steps")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise zipfile.BadZipFile("is compressed; a shard's steps are not")


def _npz_content(path: Path) -> bytes:
    """Returns what a hash of an .npz file should cover: its members' bytes, not the zip's time stamps."""
    with zipfile.ZipFile(path) as archive:
        _check_members(archive)
        return b"".join(name.encode() + archive.read(name) for name in sorted(archive.namelist()))


def shard_sha256(folder: Path) -> str:
    """Returns the hash of a shard's manifest, which covers its content. Raises `BadFileError` if it is missing."""
    path = folder / SHARD
    if not path.is_file():
        raise BadFileError(f"{path}: missing{_MEND}")
    return files.sha256_of(path)


def shards_sha256(folders: Sequence[Path]) -> str:
    """Returns the hash of several shards together, which covers their names and content. Raises `BadFileError`."""
    return files.fingerprint({folder.name: shard_sha256(folder) for folder in folders})


class Shard:
    """One shard, opened for reading. Its checksums are compared before anything of it is given out.

    Raises:
        BadFileError: on anything but a whole shard of the expected types and sizes; the path and the fault are named.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            manifest = files.read_json(folder / SHARD)
        except BadFileError as error:
            raise BadFileError(f"{error}{_MEND}") from None
        try:
            self.seeds = [int(e["seed"]) for e in manifest["episodes"]]
            self.lengths = [int(e["length"]) for e in manifest["episodes"]]
            chunk_bytes = [int(size) for size in manifest["chunk_bytes"]]
            if not all(0 < size < MAX_CHUNK_BYTES for size in chunk_bytes):
                raise ValueError(chunk_bytes)
            self._chunk_ends = np.cumsum([0, *chunk_bytes])
            self._frames_sha256, self._steps_sha256 = manifest["frames_sha256"], manifest["steps_sha256"]
        except (KeyError, TypeError, ValueError):
            raise BadFileError(f"{folder}/shard.json: not a shard's manifest{_MEND}") from None
        self.num_frames = sum(self.lengths)
        self._file = folder / FRAMES
        if min(self.lengths, default=0) < 1 or len(self._chunk_ends) - 1 != -(-self.num_frames // CHUNK_FRAMES):
            raise BadFileError(f"{folder}/shard.json: {len(self._chunk_ends) - 1} chunks for {self.num_frames} frames{_MEND}")
        size = self._file.stat().st_size if self._file.exists() else 0
        if size != self._chunk_ends[-1]:
            raise BadFileError(f"{self._file}: {size:,} bytes, the manifest says {self._chunk_ends[-1]:,}{_MEND}")
        self._verified = False

    def _read_chunk(self, index: int, frames: NDArray[np.uint8]) -> None:
        """Reads one chunk into frames, uint8 [as many as are in it, 64, 64, 3]."""
        with self._file.open("rb") as file:
            file.seek(int(self._chunk_ends[index]))
            data = file.read(int(self._chunk_ends[index + 1] - self._chunk_ends[index]))
        try:
            _decompress(data, frames)
        except (RuntimeError, ValueError, TypeError) as error:
            raise BadFileError(f"{self._file}: chunk {index} cannot be read ({error})") from error

    def frames(self, start: int, stop: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Reads frames uint8 [stop - start, 64, 64, 3], into ``out`` if given. A damaged chunk raises `BadFileError`."""
        self._verify_once()
        frames = np.empty((stop - start, *FRAME_SHAPE), np.uint8) if out is None else out
        for index in range(start // CHUNK_FRAMES, (stop - 1) // CHUNK_FRAMES + 1):
            first, end = index * CHUNK_FRAMES, min((index + 1) * CHUNK_FRAMES, self.num_frames)
            if start <= first and end <= stop:
                self._read_chunk(index, frames[first - start : end - start])
            else:
                chunk = np.empty((end - first, *FRAME_SHAPE), np.uint8)
                self._read_chunk(index, chunk)
                wanted = slice(max(start, first), min(stop, end))
                frames[wanted.start - start : wanted.stop - start] = chunk[wanted.start - first : wanted.stop - first]
        return frames

    def steps(self) -> dict[str, NDArray[Any]]:
        """Reads action float32 [T, A], reward float32 [T], terminated bool [T] and damage float32 [T]."""
        self._verify_once()
        path = self.folder / STEPS
        try:
            with np.load(path, allow_pickle=False) as archive:
                steps = {name: archive[name] for name in _STEPS}
        except Exception as error:
            raise BadFileError(f"{path}: {error}") from error
        if fault := _steps_fault(steps, self.num_frames):
            raise BadFileError(f"{path}: {fault}")
        return steps

    def _verify_once(self) -> None:
        if not self._verified:
            self.verify()
            self._verified = True

    def verify(self) -> None:
        """Reads everything and compares checksums. Raises `BadFileError`."""
        steps = self.folder / STEPS
        for path, wanted in ((self._file, self._frames_sha256), (steps, self._steps_sha256)):
            try:
                found = files.sha256_of(path) if path == self._file else hashlib.sha256(_npz_content(path)).hexdigest()
            except Exception as error:  # a damaged zip has many ways to say so
                raise BadFileError(f"{path}: {error}{_MEND}") from error
            if found != wanted:
                raise BadFileError(f"{path}: its content does not match its checksum{_MEND}")


class EpisodeStore:
    """All shards of a folder, in order; episodes and frames are numbered through.

    Attributes:
        lengths: int64 [E], steps of every episode.
        offsets: int64 [E + 1], first frame of every episode.
    """

    def __init__(self, folder: Path) -> None:
        self.shards = [Shard(p) for p in sorted(folder.glob("shard-*"))]
        if not self.shards:
            raise BadFileError(f"{folder}: no episodes")
        self.lengths = np.array([n for s in self.shards for n in s.lengths], np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.shard_offsets = np.concatenate([[0], np.cumsum([s.num_frames for s in self.shards])])

    @property
    def num_frames(self) -> int:
        """Frames of all episodes."""
        return int(self.offsets[-1])

    def frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Reads frames uint8 [stop - start, 64, 64, 3] by their number through all shards; several threads may."""
        frames = np.empty((stop - start, *FRAME_SHAPE), np.uint8)
        shard, done = int(np.searchsorted(self.shard_offsets, start, side="right")) - 1, 0
        while done < len(frames):
            base, end = int(self.shard_offsets[shard]), int(self.shard_offsets[shard + 1])
            size = min(stop, end) - start - done
            self.shards[shard].frames(start + done - base, start + done + size - base, frames[done : done + size])
            shard, done = shard + 1, done + size
        return frames

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yields (first, past the last) frame number of every chunk on disk, in order."""
        for shard, base in zip(self.shards, self.shard_offsets, strict=False):
            for start in range(0, shard.num_frames, CHUNK_FRAMES):
                yield int(base) + start, int(base) + min(start + CHUNK_FRAMES, shard.num_frames)
