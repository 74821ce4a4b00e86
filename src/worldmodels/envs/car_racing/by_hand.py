"""The car by keys: a key is all or nothing, and the car spins at full lock or full gas. So both are eased."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.base.types import Floats

#: The wheel's lock at a speed in metres per second is this divided by it, and at most `FULL_LOCK`.
LOCK_TIMES_SPEED, FULL_LOCK = 8.0, 0.6
#: What is taken for the speed where it is not known: in the dream.
USUAL_SPEED = 35.0
#: Full gas, and the share of it that is left off at the wheel's lock.
FULL_GAS, LEFT_OFF_AT_LOCK = 0.5, 0.6
#: How far a step moves the wheel away from the middle, and back to it; how far it opens gas and brake. Both close at once.
TURN, RETURN, PRESS = 0.05, 0.3, np.array([0.1, 0.2])


def speed_of(env: gym.Env[Any, Any] | None) -> float:
    """Returns the car's speed in metres per second."""
    car = None if env is None else getattr(env.unwrapped, "car", None)
    return USUAL_SPEED if car is None else math.hypot(*car.hull.linearVelocity)


def eased(before: Floats, wanted: Floats, env: gym.Env[Any, Any] | None) -> Floats:
    """Returns a person's action: the faster the car, the less the wheel turns; the more it is turned, the less gas there is.

    Args:
        before: the action of the step before, float32 [3].
        wanted: what keys or a gamepad say, float32 [3] in the environment's ranges.
        env: the game; None in the dream.
    """
    lock = min(FULL_LOCK, LOCK_TIMES_SPEED / max(speed_of(env), 1e-6))
    wheel, aim = float(before[0]), float(wanted[0]) * lock
    away = wheel * aim >= 0 and abs(aim) > abs(wheel)
    wheel += float(np.clip(aim - wheel, -TURN, TURN) if away else np.clip(aim - wheel, -RETURN, RETURN))
    gas = float(wanted[1]) * FULL_GAS * (1 - LEFT_OFF_AT_LOCK * min(1.0, abs(wheel) / lock))
    pedals = np.minimum([gas, wanted[2]], before[1:] + PRESS)
    return np.array([wheel, *pedals], np.float32)
