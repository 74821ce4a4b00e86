"""The official environment and ours, played side by side: the same actions, and the two compared at every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from benchmarks.car_racing.mixed_driving import MixedDriving
from worldmodels.base.types import Frame
from worldmodels.envs.car_racing.drawing import HEIGHT
from worldmodels.envs.car_racing.env import CarRacingEnv


@dataclass(frozen=True)
class Pair:
    """One moment in both environments."""

    seed: int
    step: int
    official: Frame
    """Rows 0-83 of the official state pixels, uint8 [84, 96, 3]."""
    ours: Frame
    """The same rows of ours."""
    same: bool
    """Whether reward, ends, the car and the tiles have been equal, bit for bit, up to this step."""

    def mean_difference(self) -> float:
        """Returns the mean absolute difference over all values, in levels of 255."""
        return float(np.abs(self.official.astype(np.int16) - self.ours).mean())

    def share_far_off(self, levels: int = 32) -> float:
        """Returns the share of the pixels with a channel that is off by more than ``levels``."""
        return float((np.abs(self.official.astype(np.int16) - self.ours).max(2) > levels).mean())


class _Official(CarRacing):
    """Draws only when it is told to: a drawing takes a hundred times as long as the rest of a step, and changes nothing."""

    drawing = True

    def _render(self, mode: str) -> Any:
        return super()._render(mode) if self.drawing else None


class _Ours(CarRacingEnv):
    """Observes the rows before they are averaged down."""

    def _render(self, mode: str) -> Any:
        return self.state_rows()


def car_state(env: CarRacing) -> tuple[Any, ...]:
    """Returns all that the physics has to get right: the hull, the wheels, the tiles they touch and those visited."""
    assert env.car is not None
    assert env.road is not None
    hull = env.car.hull
    return (
        (*hull.position, hull.angle, *hull.linearVelocity, hull.angularVelocity),
        *((*w.position, w.angle, w.omega, w.phase, w.gas, sorted(tile.idx for tile in w.tiles)) for w in env.car.wheels),
        env.reward,
        env.tile_visited_count,
        [(tile.road_visited, *tile.color) for tile in env.road],
    )


def play_both(seed: int, num_steps: int, draw_every: int = 1) -> Iterator[Pair]:
    """Plays one episode of mixed driving in both, and yields a `Pair` whenever the official one is drawn.

    That is at every ``draw_every``-th step, at the reset, at the end, and wherever the two have stopped being the same.
    """
    official, ours = _Official(), _Ours()
    driving = MixedDriving(seed)
    theirs, _ = official.reset(seed=seed)
    mine, _ = ours.reset(seed=seed)
    same = car_state(official) == car_state(ours)
    yield Pair(seed, 0, theirs[:HEIGHT], mine, same)
    for step in range(1, num_steps + 1):
        action = driving(official)
        official.drawing = step % draw_every == 0 or step == num_steps
        theirs, *outcome, _ = official.step(action)
        mine, *our_outcome, _ = ours.step(action)
        same = same and outcome == our_outcome and car_state(official) == car_state(ours)
        over = bool(outcome[1] or outcome[2])
        if not official.drawing and (over or not same):
            official.drawing = True
            theirs = official._render("state_pixels")
        if official.drawing:
            yield Pair(seed, step, theirs[:HEIGHT], mine, same)
        if over or not same:
            return
