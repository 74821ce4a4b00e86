"""The random policy of the data: an action drawn from U(-1, 1) and held for a while (the original's, in Doom)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from worldmodels.base.types import Floats, Frame
from worldmodels.config import RandomPolicyConfig


class RandomPolicy(Protocol):
    """A random policy for one episode: called once a step with the frame, uint8 [64, 64, 3]; returns an action, float32 [A]."""

    def __call__(self, obs: Frame) -> Floats: ...


def same_action(actions: Floats) -> Floats:
    """The environment takes what C says as it is."""
    return actions


def held_random_policy(
    rng: np.random.Generator,
    config: RandomPolicyConfig,
    action_size: int,
    squash: Callable[[Floats], Floats] = same_action,
) -> RandomPolicy:
    """Returns one episode's policy: an action from U(-1, 1)^A, held for a number of steps from U{1, …, ``max_hold_steps``}.

    With ``hold`` "remainder" it is held until the step's number is a multiple of that number, which comes sooner: the rule of
    the original's ``extract.py`` (``frame % repeat == 0``).

    With ``bias_scale`` b > 0 every second episode (by chance) scales its draws by a factor from U(``min_action_scale``, 1),
    adds a constant from U(-b, b) and clips: an unbiased walk hardly ever stands at a wall or stands still for long, and C
    would learn to live in the part of the dream that M never saw.

    Args:
        rng: the episode's own generator.
        config: how the actions are drawn.
        action_size: A.
        squash: maps [-1, 1]^A to the environment's actions.
    """
    biased = config.bias_scale > 0 and rng.random() < 0.5
    bias = config.bias_scale * rng.uniform(-1, 1, action_size) if biased else np.zeros(action_size)
    scale = rng.uniform(config.min_action_scale, 1) if biased and config.min_action_scale < 1 else 1.0
    action = np.zeros(action_size, np.float32)
    step, begun, hold = 0, -1, 1

    def act(obs: Frame) -> Floats:
        nonlocal action, step, begun, hold
        if step % hold == 0 if config.hold == "remainder" else step - begun == hold:
            action = squash(np.clip(scale * rng.uniform(-1, 1, action_size) + bias, -1, 1).astype(np.float32))
            begun, hold = step, int(rng.integers(1, config.max_hold_steps + 1))
        step += 1
        return action

    return act
