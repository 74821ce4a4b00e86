"""The contract that the real world and the dream share, and the real environments' side of it.

A world is a Gymnasium vector environment with three habits:

- ``metadata["autoreset_mode"]`` is ``AutoresetMode.DISABLED``: an episode that ends stays ended until
  ``reset(seed=[...], options={"reset_mask": mask})`` names its slot;
- a slot that has ended is not stepped, and its outputs mean nothing;
- ``shrink(keep)`` drops slots for good, so that finished episodes cost nothing.

N is the number of slots, A the number of action components.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.base.errors import UserError
from worldmodels.base.types import Mask, Seeds


def tensor_of(actions: NDArray[Any]) -> Tensor:
    """Returns actions of any type and layout as M takes them, float32 of the same shape."""
    return torch.from_numpy(np.array(actions, np.float32, order="C"))


def checked_seed(seed: Any) -> int:
    """Returns an episode's seed. Raises `UserError` for what is no whole number, or below 0."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"a seed is {seed!r}; it must be a whole number, at least 0")
    return int(seed)


class World(VectorEnv[Any, Any, Any]):
    """A vector environment whose slots are reset one by one and can be dropped."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED}

    def _set_spaces(self, obs: gym.Space[Any], action: gym.Space[Any], num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = obs
        self.single_action_space = action
        self.observation_space = batch_space(obs, num_envs)
        self.action_space = batch_space(action, num_envs)

    def reset_request(self, seed: Seeds, options: dict[str, Any] | None) -> tuple[Mask, list[int | None]]:
        """Reads a reset's arguments: which slots begin, and a seed for each. ``options`` stays whole.

        Where no seed is given, one is drawn for a slot that begins, and None is left for one that does not: drawing takes
        longer than all else that a reset does.

        Raises:
            UserError: a seed that is no whole number, or below 0.
            ValueError: a mask or a list of seeds whose length is not N.
            TypeError: a mask that is not an array of booleans.
        """
        mask = np.ones(self.num_envs, np.bool_)
        if options is not None and "reset_mask" in options:
            mask = options["reset_mask"]
            if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
                raise TypeError("options['reset_mask'] must be a NumPy array of booleans")
            if mask.shape != (self.num_envs,):
                raise ValueError(f"options['reset_mask'] has shape {mask.shape}; it must be ({self.num_envs},)")
        if seed is None:
            seed = [None] * self.num_envs
        elif isinstance(seed, int | np.integer):
            seed = [checked_seed(seed) + i for i in range(self.num_envs)]
        elif isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
            raise UserError(
                f"a seed is {seed!r}; it must be a whole number, at least 0, or one for each of {self.num_envs} slots"
            )
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} slots")
        seeds: list[int | None] = list(seed)
        for slot in np.flatnonzero(mask):
            own = seeds[slot]
            seeds[slot] = int(self.np_random.integers(2**31)) if own is None else checked_seed(own)
        return mask, seeds

    @abstractmethod
    def shrink(self, keep: Mask) -> None:
        """Keeps only the slots where ``keep`` (bool [N]) is true; ``num_envs`` becomes their number."""
