"""Episodes as .npz files, one a file.

    obs, action                                  as Ha & Schmidhuber's code writes them: what was seen before each action. With
                                                 them may lie reward, terminated and damage, as ``worldmodels play`` writes them
    observations, actions, rewards, terminals    as ctallec/world-models writes them: what was seen after each action

Both say nothing of where the other one's data would begin: in the second form the first observation is the first frame, and the
first action, whose frame was never kept, is left out.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import BadFileError, EnvironmentFailure
from worldmodels.base.files import take_name, written_beside
from worldmodels.data.episodes import Episode
from worldmodels.data.recordings.arrays import read_npz
from worldmodels.data.recordings.checked import as_frames, as_mask, as_numbers, check_lengths, make_episode

ORIGINAL, OTHER = ("obs", "action"), ("observations", "actions", "rewards", "terminals")
#: What may lie beside the original's two.
OPTIONAL = ("reward", "terminated", "damage", "seed")


def read_episode(path: Path, number: int) -> Episode:
    """Reads an episode; ``number`` is its seed where the file names none.

    Where the original's form has no ``terminated``, its last step is the end, as in the original's training.

    Raises:
        BadFileError: the file is damaged, holds other arrays, or they do not fit.
    """
    arrays = read_npz(path)
    if set(OTHER) <= arrays.keys():
        return _after_the_action(path, arrays, number)
    unknown = sorted(set(arrays) - {*ORIGINAL, *OPTIONAL})
    if unknown or not set(ORIGINAL) <= arrays.keys():
        raise BadFileError(
            f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; expected {' and '.join(ORIGINAL)} (and "
            f"{', '.join(OPTIONAL)}), or {', '.join(OTHER)}"
        )
    frames = as_frames(f"{path}: 'obs'", arrays["obs"])
    actions = as_numbers(f"{path}: 'action'", arrays["action"], 2)
    optional = {name: as_numbers(f"{path}: '{name}'", arrays[name], 1) for name in ("reward", "damage") if name in arrays}
    if "terminated" in arrays:
        terminated = as_mask(f"{path}: 'terminated'", arrays["terminated"])
    else:
        terminated = np.arange(1, len(frames) + 1) == len(frames)
    return make_episode(
        str(path), frames, actions, optional.get("reward"), terminated, optional.get("damage"), _seed(path, arrays, number)
    )


def _seed(path: Path, arrays: dict[str, NDArray[Any]], number: int) -> int:
    seed = arrays.get("seed")
    if seed is None:
        return number
    if seed.shape != () or seed.dtype.kind not in "iu" or not 0 <= int(seed) < 2**63:
        found = f"{seed.dtype} {seed.shape}" if seed.shape or seed.dtype.kind not in "iu" else str(seed)
        raise BadFileError(f"{path}: 'seed' is {found}; expected a whole number, 0 to 2**63 - 1")
    return int(seed)


def _after_the_action(path: Path, arrays: dict[str, NDArray[Any]], number: int) -> Episode:
    """Each observation belongs to the action after it: observation t is what was seen before action t + 1."""
    frames = as_frames(f"{path}: 'observations'", arrays["observations"])
    actions = as_numbers(f"{path}: 'actions'", arrays["actions"], 2)
    rewards = as_numbers(f"{path}: 'rewards'", arrays["rewards"], 1)
    terminals = as_mask(f"{path}: 'terminals'", arrays["terminals"])
    if terminals[-1:].any() and len(actions) > len(frames):
        actions = actions[: len(frames)]  # drawn beforehand, and never taken: the episode was over
    check_lengths(
        str(path),
        {"observations": len(frames), "actions": len(actions), "rewards": len(rewards), "terminals": len(terminals)},
    )
    return make_episode(str(path), frames[:-1], actions[1:], rewards[1:], terminals[1:], None, number)


def write_episode(folder: Path, episode: Episode) -> Path:
    """Writes an episode into a folder, as ``episode-00000.npz`` or the first number after it that is free; returns the file.

    Raises:
        EnvironmentFailure: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFailure(f"{folder}: cannot be written ({error.strerror or error})") from error
    names = (f"episode-{number:05d}.npz" for number in itertools.count())
    while True:
        # Hidden, so that a process killed amid the writing leaves no empty episode.
        taken = take_name(folder, (f".{name}.taken" for name in names if not (folder / name).exists()))
        path = folder / taken.name.removeprefix(".").removesuffix(".taken")
        if not path.exists():
            break
        taken.unlink()
    try:
        with written_beside(path) as temporary:
            np.savez_compressed(
                temporary,
                obs=episode.frames,
                action=episode.actions,
                reward=episode.rewards,
                terminated=episode.terminated,
                damage=episode.damage,
                seed=np.int64(episode.seed),
            )
    finally:
        taken.unlink(missing_ok=True)
    return path
