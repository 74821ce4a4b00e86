"""Minari datasets, read and written; the packages come with the extra ``minari``.

Frames are written as they are: Minari's own way, JPEG, would change them. A Minari episode has an observation more than it has
actions; ours have not, and the last frame is written twice.
"""

from __future__ import annotations

import shutil
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldmodels.base import files
from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.base.extras import how_to_install
from worldmodels.base.types import Floats
from worldmodels.data.episodes import FRAME_SHAPE, Episode
from worldmodels.data.recordings.checked import as_frames, as_mask, as_numbers, make_episode

METADATA = "metadata.json"


def need_minari() -> None:
    """Raises `UserError` where the package is not installed."""
    try:
        import h5py  # noqa: F401 (Minari's own message would be of the import of a module of its)
        import minari  # noqa: F401
    except ImportError as error:
        mend = how_to_install("minari")
        raise UserError(f"Minari datasets need a package that is not here ({error}); {mend}") from None


def dataset_folder(source: str) -> Path | None:
    """Returns the folder with a dataset's metadata that ``source`` means: the folder itself, the one around it, or, where there
    is no such path, a dataset's name in Minari's own folder; None if it is no dataset."""
    path = Path(source)
    for folder in (path, path / "data"):
        if (folder / METADATA).is_file():
            return folder
    if path.exists():
        return None
    try:
        from minari.storage import get_dataset_path  # type: ignore[attr-defined, unused-ignore]
    except ImportError:
        return None
    found = Path(get_dataset_path(source)) / "data"
    return found if (found / METADATA).is_file() else None


class MinariEpisodes:
    """A Minari dataset's episodes.

    Raises:
        UserError: Minari is not installed, or the spaces are such that nothing here learns from them.
        BadFileError: the dataset is damaged.
    """

    def __init__(self, folder: Path) -> None:
        need_minari()
        from minari.dataset.minari_storage import MinariStorage

        self.folder = folder
        metadata = files.read_json(folder / METADATA)
        if not isinstance(metadata, dict) or not {"observation_space", "action_space", "data_format"} <= metadata.keys():
            # Without them Minari would make the environment that the dataset names, and a file would say what code runs.
            raise BadFileError(f"{folder / METADATA}: names no observation_space, action_space or data_format")
        try:
            self._storage: Any = MinariStorage.read(folder)
            self.num_episodes = int(self._storage.total_episodes)
        except Exception as error:
            raise BadFileError(f"{folder}: Minari cannot read it ({error or type(error).__name__})") from error
        self._key = _image_key(folder, self._storage.observation_space)
        self.num_choices = _num_choices(folder, self._storage.action_space)
        """How many actions there are to choose among; 0: they are numbers."""

    def read(self, index: int) -> Episode:
        """Reads an episode. Raises `BadFileError`."""
        where = f"{self.folder}, episode {index}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = next(iter(self._storage.get_episodes([index])))
                metadata = next(iter(self._storage.get_episode_metadata([index])))
        except Exception as error:  # damaged files raise whatever they like
            raise BadFileError(f"{where}: Minari cannot read it ({error or type(error).__name__})") from error
        observations = found["observations"] if self._key is None else found["observations"][self._key]
        frames = as_frames(f"{where}: 'observations'", np.asarray(observations))
        actions = self._actions(f"{where}: 'actions'", np.asarray(found["actions"]))
        if len(frames) not in (len(actions), len(actions) + 1):
            raise BadFileError(
                f"{where}: lengths differ: {len(frames):,} observations and {len(actions):,} actions; Minari has one "
                f"observation more than actions"
            )
        infos = found.get("infos") or {}
        damage = infos.get("damage") if isinstance(infos, dict) else None
        if damage is not None:
            # The first info is the reset's.
            damage = as_numbers(f"{where}: 'infos/damage'", np.asarray(damage), 1)[-len(actions) :]
        seed = metadata.get("seed")
        return make_episode(
            where,
            frames[: len(actions)],
            actions,
            as_numbers(f"{where}: 'rewards'", np.asarray(found["rewards"]), 1),
            as_mask(f"{where}: 'terminations'", np.asarray(found["terminations"])),
            damage,
            index if seed is None else int(seed),
        )

    def _actions(self, where: str, actions: NDArray[Any]) -> Floats:
        if not self.num_choices:
            return as_numbers(where, actions.reshape(len(actions), -1), 2)
        chosen = as_numbers(where, actions, 1) - int(self._storage.action_space.start)
        if not (np.isin(chosen, range(self.num_choices))).all():
            step = int((~np.isin(chosen, range(self.num_choices))).argmax())
            raise BadFileError(f"{where}, step {step}: is {actions[step]}; there are {self.num_choices} actions")
        one_hot: Floats = np.eye(self.num_choices, dtype=np.float32)[chosen.astype(int)]
        return one_hot


def _image_key(folder: Path, space: Any) -> str | None:
    """Returns which part of the observations is the picture; None: they are nothing else. Raises `UserError`."""
    if isinstance(space, spaces.Dict):
        keys = [key for key, part in space.spaces.items() if _is_image(part)]
        if len(keys) == 1:
            return str(keys[0])
        raise UserError(f"{folder}: its observations have {len(keys)} pictures ({', '.join(keys) or space}); V sees one")
    if not _is_image(space):
        raise UserError(f"{folder}: its observations are {space}; V sees pictures, uint8 [rows, columns, 3]")
    return None


def _is_image(space: Any) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def _num_choices(folder: Path, space: Any) -> int:
    """Returns how many actions there are to choose among; 0 where they are numbers. Raises `UserError`."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        raise UserError(f"{folder}: its actions are {space}; Box, Discrete and MultiBinary can be learned from")
    return 0


def write_dataset(out: Path, episodes: Iterator[Episode], action_size: int, description: str) -> None:
    """Writes a dataset that Minari reads, whole or not at all: the folder ``out``, whose name is the dataset's.

    Raises:
        UserError: Minari is not installed, the name would not do for Minari, or something is there already.
        EnvironmentFailure: the disk refuses.
    """
    need_minari()
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.dataset.minari_storage import MinariStorage

    try:
        parse_dataset_id(out.name)
    except (ValueError, TypeError):  # the latter by a name without a version
        raise UserError(
            f"{out}: Minari's names end in a version, such as {out.name or 'name'}-v0; name such a folder"
        ) from None
    if out.exists():
        raise UserError(f"{out}: is there already; name another folder")
    # Minari counts a dataset's bytes in a way that a relative path breaks.
    temporary = out.absolute().with_name(f".{out.name}.{uuid.uuid4().hex}.tmp")
    try:
        (temporary / "data").mkdir(parents=True)
        storage: Any = MinariStorage.new(
            temporary / "data",
            observation_space=spaces.Box(0, 255, FRAME_SHAPE, np.uint8),
            action_space=spaces.Box(-np.inf, np.inf, (action_size,), np.float32),
            jpeg_encoding=False,
        )
        storage.update_metadata(
            {
                "dataset_id": out.name,
                "minari_version": minari.__version__,
                "description": description,
            }
        )
        for episode in episodes:
            cut = np.zeros(len(episode.frames), np.bool_)
            cut[-1] = not episode.terminated[-1]
            buffer: Any = EpisodeBuffer(
                seed=episode.seed,
                observations=np.concatenate([episode.frames, episode.frames[-1:]]),  # type: ignore[arg-type, unused-ignore]
                actions=episode.actions,  # type: ignore[arg-type, unused-ignore]
                rewards=episode.rewards,  # type: ignore[arg-type, unused-ignore]
                terminations=episode.terminated,  # type: ignore[arg-type, unused-ignore]
                truncations=cut,  # type: ignore[arg-type, unused-ignore]
                infos={"damage": np.concatenate([np.zeros(1, np.float32), episode.damage])},
            )
            storage.update_episodes([buffer])
        temporary.rename(out)
    except OSError as error:
        raise EnvironmentFailure(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
