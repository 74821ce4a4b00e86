"""Open-loop prediction after a warm-up: M reads the beginning of recorded episodes, then its own predictions and the recorded
actions.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.data.latents import LatentStore
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.world_model import WorldModel

#: Steps that M is told before it is left alone, and how long it is left alone.
WARM_UP_STEPS, HORIZON = 50, 100
#: Held-out episodes that the error is averaged over.
OPEN_LOOP_EPISODES = 256


def long_enough(store: LatentStore, episodes: NDArray[np.int64], warm_up: int, horizon: int) -> list[int]:
    """Returns those of ``episodes`` that last longer than warm-up and horizon together."""
    return [int(e) for e in episodes if store.lengths[e] > warm_up + horizon]


@torch.no_grad()
def open_loop(
    world_model: WorldModel, store: LatentStore, episodes: list[int], warm_up: int, horizon: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Lets M predict ``horizon`` steps after it was told the first ``warm_up``.

    Its predictions are its likeliest: the mean of the likeliest mixture, no noise.

    Returns:
        Predicted and real latents, float32 [E, horizon, Z] each, and the last latents that M was told, [E, Z].
    """
    total = warm_up + horizon
    index = np.stack([store.offsets[e] + np.arange(total + 1) for e in episodes])
    z = torch.from_numpy(store.mu[index].astype(np.float32))  # [E, T + 1, Z]
    action = torch.from_numpy(store.action[index])
    stepper, state = MDNStepper(world_model.rnn, torch.float32), world_model.rnn.initial_state(len(episodes))
    restart, zeros = torch.ones(len(episodes)), torch.zeros(len(episodes), z.shape[2])
    predicted = []
    current = z[:, 0]
    for step in range(total):
        state = stepper.step(current, action[:, step], restart, state)
        restart = torch.zeros(len(episodes))
        if step < warm_up:
            current = z[:, step + 1]
        else:
            current = stepper.sample(state.hidden, torch.full_like(zeros, 0.5), zeros, 0.01).z
            predicted.append(current)
    return torch.stack(predicted, 1), z[:, warm_up + 1 :], z[:, warm_up]


def open_loop_error(world_model: WorldModel, store: LatentStore, episodes: NDArray[np.int64]) -> dict[str, list[float]]:
    """Returns M's error against the horizon, 1 to `HORIZON` steps after it was last told what came.

    The error is the root mean square over latents and episodes; beside it that of standing still, and that of the frame of
    another episode, which nothing should be worse than. Empty where fewer than two held-out episodes are long enough.
    """
    long = long_enough(store, episodes, WARM_UP_STEPS, HORIZON)[:OPEN_LOOP_EPISODES]
    if len(long) < 2:
        return {"m": [], "standing_still": [], "another_episode": []}
    predicted, real, last = open_loop(world_model, store, long, WARM_UP_STEPS, HORIZON)
    guesses = {"m": predicted, "standing_still": last[:, None].expand_as(real), "another_episode": real.roll(1, 0)}
    return {name: (guess - real).square().mean((0, 2)).sqrt().tolist() for name, guess in guesses.items()}
