"""All frames of a run as V sees them, on disk as plain arrays that are read through memory maps.

latents/
  mu.npy, logvar.npy    float16 [T, Z]
  action.npy            float32 [T, A]
  reward.npy            float32 [T]
  terminated.npy        bool [T]
  damage.npy            float32 [T]
  lengths.npy           int64 [E], steps of every episode; they follow one another
  mirrored_mu.npy, mirrored_logvar.npy    optional: the last episodes as a mirror shows them, float16 [T', Z]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import BadFileError

ARRAYS = {
    "mu": np.float16,
    "logvar": np.float16,
    "action": np.float32,
    "reward": np.float32,
    "terminated": np.bool_,
    "damage": np.float32,
    "lengths": np.int64,
}
#: Arrays that need not be there.
MIRRORED = {"mirrored_mu": np.float16, "mirrored_logvar": np.float16}
#: Arrays that are not vectors.
DIMENSIONS = {"mu": 2, "logvar": 2, "action": 2, "mirrored_mu": 2, "mirrored_logvar": 2}


def _read(path: Path, kind: Any, dimensions: int) -> NDArray[Any]:
    """Opens an array as a memory map. Raises `BadFileError` if it is not one, or of another kind."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadFileError(f"{path}: {error}") from error
    if not isinstance(array, np.memmap):
        raise BadFileError(f"{path}: an archive, not an array")
    if array.dtype != kind or array.ndim != dimensions:
        raise BadFileError(f"{path}: {array.dtype} of {array.ndim} dimensions; expected {np.dtype(kind)} of {dimensions}")
    return array


class LatentStore:
    """The arrays of a folder, as memory maps, with ``offsets`` int64 [E + 1], the first step of every episode.

    ``first_mirrored`` is the first episode that the ``mirrored`` (mu, logvar) show, too; E where there are none.

    Raises:
        BadFileError: an array is missing, damaged, of another type, or the lengths do not add up.
    """

    def __init__(self, folder: Path) -> None:
        arrays = {name: _read(folder / f"{name}.npy", kind, DIMENSIONS.get(name, 1)) for name, kind in ARRAYS.items()}
        self.mu, self.logvar = arrays["mu"], arrays["logvar"]
        self.action, self.reward, self.damage = arrays["action"], arrays["reward"], arrays["damage"]
        self.terminated = arrays["terminated"]
        self.lengths = np.array(arrays["lengths"])
        if len(self.lengths) == 0 or self.lengths.min() < 1:
            raise BadFileError(f"{folder}/lengths.npy: every episode must have at least one step")
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        for name in ("mu", "logvar", "action", "reward", "terminated", "damage"):
            if len(arrays[name]) != self.offsets[-1]:
                raise BadFileError(f"{folder}/{name}.npy: {len(arrays[name])} steps; the episodes have {self.offsets[-1]}")
        self.first_mirrored, self.mirrored = self.num_episodes, (self.mu[:0], self.logvar[:0])
        if (folder / "mirrored_mu.npy").exists():
            mu, logvar = (_read(folder / f"{name}.npy", kind, 2) for name, kind in MIRRORED.items())
            first = len(self.mu) - len(mu)
            if mu.shape != logvar.shape or mu.shape[1] != self.mu.shape[1] or first not in self.offsets:
                raise BadFileError(f"{folder}/mirrored_mu.npy: {mu.shape} beside {logvar.shape}; not the last episodes'")
            self.first_mirrored, self.mirrored = int(np.searchsorted(self.offsets, first)), (mu, logvar)

    def latents(self, steps: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns mu and logvar of some steps, float32 [..., Z], as a mirror shows them where ``mirrored``.

        Args:
            steps: int64 [...]; those in the mirror must be of episodes from ``first_mirrored`` on.
            mirrored: bool [...].
        """
        found = self.mu[steps].astype(np.float32), self.logvar[steps].astype(np.float32)
        if mirrored.any():
            first = self.offsets[self.first_mirrored]
            for array, source in zip(found, self.mirrored, strict=True):
                array[mirrored] = source[steps[mirrored] - first]
        return found

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self.lengths)
