"""All frames of a run as V sees them, on disk as plain arrays that are read through memory maps.

latents/
  mu.npy, logvar.npy    float16 [T, Z]
  action.npy            float32 [T, A]
  reward.npy            float32 [T]
  terminated.npy        bool [T]
  damage.npy            float32 [T]
  lengths.npy           int64 [E], steps of every episode; they follow one another
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.errors import BadFileError

ARRAYS = {
    "mu": np.float16,
    "logvar": np.float16,
    "action": np.float32,
    "reward": np.float32,
    "terminated": np.bool_,
    "damage": np.float32,
    "lengths": np.int64,
}
#: Arrays that are not vectors.
DIMENSIONS = {"mu": 2, "logvar": 2, "action": 2}


class LatentStore:
    """The arrays of a folder, as memory maps, with ``offsets`` int64 [E + 1], the first step of every episode.

    Raises:
        BadFileError: an array is missing, damaged, of another type, or the lengths do not add up.
    """

    def __init__(self, folder: Path) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        for name, kind in ARRAYS.items():
            path = folder / f"{name}.npy"
            try:
                arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise BadFileError(f"{path}: {error}") from error
            if not isinstance(arrays[name], np.memmap):
                raise BadFileError(f"{path}: an archive, not an array")
            if arrays[name].dtype != kind or arrays[name].ndim != DIMENSIONS.get(name, 1):
                raise BadFileError(
                    f"{path}: {arrays[name].dtype} of {arrays[name].ndim} dimensions; "
                    f"expected {np.dtype(kind)} of {DIMENSIONS.get(name, 1)}"
                )
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

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self.lengths)
