"""The contract that the real world and the dream share, and the real environments' side of it.

A world is a Gymnasium vector environment with three habits:

- ``metadata["autoreset_mode"]`` is ``AutoresetMode.DISABLED``: an episode that ends stays ended until
  ``reset(seed=[...], options={"reset_mask": mask})`` names its slot;
- a slot that has ended is not stepped, and its outputs mean nothing;
- ``shrink(keep)`` drops slots for good, so that finished episodes cost nothing.

N is the number of slots, A the number of action components.
"""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from worldmodels.envs.spec import Floats, Frame
from worldmodels.errors import EnvironmentFailure

#: An environment that fails this many times in a row in one episode is not bad luck.
MAX_FAILURES = 3

Mask = NDArray[np.bool_]
Seeds = int | list[int | None] | None


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
        """Reads a reset's arguments: which slots, and a seed for each (None: no seed given). ``options`` stays whole.

        Raises:
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
        elif isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} slots")
        return mask, list(seed)

    @abstractmethod
    def shrink(self, keep: Mask) -> None:
        """Keeps only the slots where ``keep`` (bool [N]) is true; ``num_envs`` becomes their number."""


class PixelEnvs(World):
    """Several real environments side by side, stepped by a few threads.

    Threads help where a step waits for another process, as ViZDoom's does, whose interface releases the interpreter's lock.

    An environment that fails in the middle of an episode (`EnvironmentFailure`: its process was killed, or hangs) is reset with
    the episode's seed and given the episode's actions again: to whoever plays, nothing has happened.

    Observations are uint8 [N, 64, 64, 3]; rewards float64 [N]; terminated and truncated bool [N]; the info's ``damage``,
    float64 [N], is what the environments' own say, 0 where they say nothing.
    """

    def __init__(self, envs: Sequence[gym.Env[Frame, Floats]], num_threads: int = 1) -> None:
        self.envs = list(envs)
        self._idle: list[gym.Env[Frame, Floats]] = []
        obs_space = self.envs[0].observation_space
        self._set_spaces(obs_space, self.envs[0].action_space, len(self.envs))
        assert obs_space.shape is not None
        self._obs = np.zeros((self.num_envs, *obs_space.shape), np.uint8)
        self._over = np.ones(self.num_envs, np.bool_)
        self._seeds: list[int | None] = [None] * self.num_envs
        self._actions: list[list[Floats]] = [[] for _ in range(self.num_envs)]
        #: Failures that a new beginning has mended.
        self.num_failures = 0
        self._threads = min(num_threads, self.num_envs)
        self._pool: ThreadPoolExecutor | None = None
        self._pool_process = 0

    def _for_slots(self, work: Any, slots: NDArray[np.intp]) -> None:
        """Calls ``work(slot)`` for every slot, shared out over the threads."""
        if self._threads == 1 or len(slots) == 1:
            for slot in slots:
                work(slot)
            return
        if self._pool is None or self._pool_process != os.getpid():
            # A forked copy of us has the pool, and none of its threads.
            self._pool, self._pool_process = ThreadPoolExecutor(self._threads), os.getpid()

        def share(first: int) -> None:
            for slot in slots[first :: self._threads]:
                work(slot)

        for future in [self._pool.submit(share, first) for first in range(self._threads)]:
            future.result()

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        mask, seeds = self.reset_request(seed, options)

        def work(slot: int) -> None:
            self._seeds[slot], self._actions[slot] = seeds[slot], []
            self._obs[slot] = self._play_on(slot, None)[0]

        self._for_slots(work, np.flatnonzero(mask))
        self._over = self._over & ~mask
        return self._obs.copy(), {}

    def step(self, actions: Floats) -> tuple[Frame, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, np.bool_)
        truncated = np.zeros(self.num_envs, np.bool_)
        damage = np.zeros(self.num_envs)

        def work(slot: int) -> None:
            played = self._play_on(slot, actions[slot])
            self._obs[slot], rewards[slot], terminated[slot], truncated[slot], damage[slot] = played

        self._for_slots(work, np.flatnonzero(~self._over))
        self._over = self._over | terminated | truncated
        return self._obs.copy(), rewards, terminated, truncated, {"damage": damage}

    def _play_on(self, slot: int, action: Floats | None) -> tuple[Frame, float, bool, bool, float]:
        """Resets a slot (no action) or steps it. Where its environment fails, the episode is played again up to here.

        Raises:
            EnvironmentFailure: it keeps failing, or the episode had no seed to begin again with.
        """
        env, failures = self.envs[slot], 0
        while True:
            try:
                if action is None or failures:
                    result = (env.reset(seed=self._seeds[slot])[0], 0.0, False, False, 0.0)
                    for earlier in self._actions[slot]:
                        env.step(earlier)
                if action is not None:
                    obs, reward, terminated, truncated, info = env.step(action)
                    self._actions[slot].append(action.copy())
                    result = (obs, float(reward), terminated, truncated, float(info.get("damage", 0.0)))
                return result
            except EnvironmentFailure as error:
                failures += 1
                if failures == MAX_FAILURES or (self._seeds[slot] is None and action is not None):
                    raise
                self.num_failures += 1
                print(
                    f"{error}; its episode (seed {self._seeds[slot]}) is played again from the start, "
                    f"failure {self.num_failures} here",
                    file=sys.stderr,
                    flush=True,
                )

    def shrink(self, keep: Mask) -> None:
        self._idle += [env for env, kept in zip(self.envs, keep, strict=True) if not kept]
        self.envs = [env for env, kept in zip(self.envs, keep, strict=True) if kept]
        self._obs, self._over = self._obs[keep], self._over[keep]
        kept = np.flatnonzero(keep)
        self._seeds, self._actions = [self._seeds[i] for i in kept], [self._actions[i] for i in kept]
        self._set_spaces(self.single_observation_space, self.single_action_space, len(self.envs))

    def release(self) -> None:
        """Ends the threads and leaves the environments open, for whoever gave them."""
        if self._pool is not None and self._pool_process == os.getpid():
            self._pool.shutdown()

    def close_extras(self, **kwargs: Any) -> None:
        self.release()
        for env in self.envs + self._idle:
            env.close()
