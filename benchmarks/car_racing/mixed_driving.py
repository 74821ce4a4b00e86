"""Driving that reaches every part of the world: what the comparisons with the official environment play.

The kind follows from the seed: a new random action every step; random actions held for a while; a driver that keeps to
the road, so that many tiles are visited; half gas straight on, off the road and over the edge of the playfield.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from worldmodels.base.types import Floats

KINDS = ("random", "held", "road", "edge")


class MixedDriving:
    """The driver of one episode; a function of ``seed`` and of the car's state, so both environments get the same actions."""

    def __init__(self, seed: int) -> None:
        self.kind = KINDS[seed % len(KINDS)]
        self._rng = np.random.default_rng(seed)
        self._held = np.zeros(3, np.float32)
        self._left = 0
        self._next = 0
        self._bend = self._rng.uniform(-0.02, 0.02)

    def __call__(self, env: CarRacing) -> Floats:
        """Returns the next action: steering in [-1, 1], gas and brake in [0, 1]; float32 [3]."""
        if self.kind == "road":
            return self._keep_to_the_road(env)
        if self.kind == "edge":
            # Not more gas: the car would spin and never get there.
            return np.array([self._bend, 0.5, 0], np.float32)
        if self._left == 0:
            # One action in three brakes, and some of those block the wheels (from 0.9).
            self._held = self._rng.uniform([-1, 0, -2], [1, 1, 1]).clip([-1, 0, 0], 1).astype(np.float32)
            self._left = 1 if self.kind == "random" else int(self._rng.integers(1, 31))
        self._left -= 1
        return self._held

    def _keep_to_the_road(self, env: CarRacing) -> Floats:
        assert env.car is not None
        x, y = env.car.hull.position
        # The aim is the first tile ahead that is farther away than the car is long.
        while math.hypot(env.track[self._next][2] - x, env.track[self._next][3] - y) < 10:
            self._next = (self._next + 1) % len(env.track)
        heading = math.atan2(env.track[self._next][3] - y, env.track[self._next][2] - x) - math.pi / 2
        turn = (heading - env.car.hull.angle + math.pi) % (2 * math.pi) - math.pi
        velocity = env.car.hull.linearVelocity
        slow = math.hypot(velocity[0], velocity[1]) < 35
        return np.array([np.clip(-1.5 * turn, -1, 1), 0.4 if slow else 0.0, 0.0], np.float32)
