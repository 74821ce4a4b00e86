"""Several real environments side by side, whose failures are mended by playing an episode again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.types import Floats, Frame, Mask, Seeds
from worldmodels.worlds.world import World

#: An environment that fails this many times in a row in one episode is not bad luck.
MAX_FAILURES = 3


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

    def _for_slots(self, work: Callable[[int], None], mask: Mask) -> None:
        """Calls ``work(slot)`` for every slot of a mask, shared out over the threads."""
        slots = mask.nonzero()[0].tolist()  # once a step: `np.flatnonzero` and NumPy's integers take microseconds more
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

        self._for_slots(work, mask)
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

        self._for_slots(work, ~self._over)
        self._over = self._over | terminated | truncated
        return self._obs.copy(), rewards, terminated, truncated, {"damage": damage}

    def _play_on(self, slot: int, action: Floats | None) -> tuple[Frame, float, bool, bool, float]:
        """Resets a slot (no action) or steps it. Where its environment fails, the episode is played again up to here.

        Raises:
            EnvironmentFailure: it keeps failing.
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
                if failures == MAX_FAILURES:
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
