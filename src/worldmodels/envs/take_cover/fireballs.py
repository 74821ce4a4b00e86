"""What the game itself knows of TakeCover's fireballs, as yes/no questions: for measuring alone (`worldmodels probe`).

The player steps along y beside one wall of the room and looks along +x; the view reaches as far to either side as ahead.
Lengths are Doom's map units, times are tics.

Shapes: K fireballs, S sectors, L lanes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.types import Mask

#: Where the view's sectors begin and end: a fireball's way to the left over its way ahead. The view ends at -1 and 1.
SECTOR_EDGES = np.array([-1.0, -0.7, -0.45, -0.25, -0.1, 0.1, 0.25, 0.45, 0.7, 1.0])
#: How far ahead.
DISTANCES = ((20, 150), (150, 300), (300, 450), (450, 800))
#: In how many tics a fireball reaches the player's line.
ARRIVALS = ((0, 10), (10, 20), (20, 35), (35, 50))
#: Where it crosses that line: lanes to the right and left of where the player is.
LANE_EDGES = np.arange(-88.0, 89.0, 16.0)
#: A fireball that comes nearer by less than this a tic does not come.
SLOWEST = 0.5
#: "Will standing still be hit" looks so far ahead; a fireball hits that is as near as this in x and in y.
HIT_TICS, HIT_RADIUS = 20, 22.0
#: The player's motion: a push adds to the speed, friction keeps a share of it, walls stop it.
PUSH, FRICTION, WALLS = 0.75, 0.90625, (16.0, 656.0)


@dataclass
class Fireballs:
    """The player and the fireballs of one episode, followed from tic to tic."""

    y: float = 0.0
    velocity: float = 0.0
    """The player's place along its line, growing to the left, and its speed."""
    flying: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    """float64 [K, 4]: how far ahead of the player and to its left each fireball is, and its speed along both."""
    seen: Mask = field(default_factory=lambda: np.zeros(0, np.bool_))
    """bool [K]: which of them have been in the view, now or before."""
    _known: set[int] = field(default_factory=set)

    def update(self, objects: Iterable[Any]) -> None:
        """Takes the game's objects of the next tic (`vizdoom.GameState.objects`)."""
        found = list(objects)
        player = next((thing for thing in found if thing.name == "DoomPlayer"), None)
        if player is None:
            return
        self.y, self.velocity = player.position_y, player.velocity_y
        # One that stands still is bursting.
        balls = [ball for ball in found if ball.name == "DoomImpBall" and abs(ball.velocity_x) + abs(ball.velocity_y) >= 1]
        rows = [
            (ball.position_x - player.position_x, ball.position_y - player.position_y, ball.velocity_x, ball.velocity_y)
            for ball in balls
        ]
        self.flying = np.array(rows, np.float64).reshape(-1, 4)
        self._known |= {ball.id for ball, here in zip(balls, in_view(self.flying), strict=True) if here}
        self.seen = np.array([ball.id in self._known for ball in balls], np.bool_)

    def answers(self, last_push: float) -> dict[str, Mask]:
        """Returns the answer to every question, by the name of its row; the answers of a row go from right to left.

        "Hit" asks whether a player who stands still will be.

        Args:
            last_push: the player's last push, which still acts in the next tic: 1 to the left, -1 to the right, else 0.
        """
        here = self.flying[in_view(self.flying)]
        known = self.flying[self.seen]
        rows = {f"in view at {low}–{high}": in_sectors(here, low, high) for low, high in DISTANCES}
        rows |= {f"arriving in {low}–{high} tics": in_lanes(known, low, high) for low, high in ARRIVALS}
        hit = hit_when_standing(self.y, self.velocity, last_push, self.flying)
        return {**rows, f"hit within {HIT_TICS} tics": np.array([hit])}


def coming(flying: NDArray[np.float64]) -> Mask:
    """Returns which fireballs come nearer, bool [K]."""
    return flying[:, 2] < -SLOWEST


def in_view(flying: NDArray[np.float64]) -> Mask:
    """Returns which fireballs are in the view, bool [K]: in front of the player, and no further aside than ahead."""
    return (flying[:, 0] > 0) & (np.abs(flying[:, 1]) <= flying[:, 0])


def in_sectors(flying: NDArray[np.float64], low: float, high: float) -> Mask:
    """Returns in which sectors of the view a coming fireball is that is ``low`` up to ``high`` ahead, bool [S]."""
    ahead, aside = flying[coming(flying) & (flying[:, 0] >= low) & (flying[:, 0] < high), :2].T
    return np.histogram(aside / ahead, SECTOR_EDGES)[0] > 0


def in_lanes(flying: NDArray[np.float64], low: float, high: float) -> Mask:
    """Returns in which lanes a fireball crosses the player's line in ``low`` up to ``high`` tics, bool [L]."""
    ahead, aside, speed, drift = flying[coming(flying)].T
    tics = ahead / -speed
    soon = (tics >= low) & (tics < high)
    return np.histogram((aside + drift * tics)[soon], LANE_EDGES)[0] > 0


def hit_when_standing(y: float, velocity: float, last_push: float, flying: NDArray[np.float64]) -> bool:
    """Returns whether a player who pushes no more is hit within `HIT_TICS`; fireballs fly straight on."""
    place, push = y, last_push
    for tic in range(1, HIT_TICS + 1):
        speed = velocity + PUSH * push
        place, velocity, push = place + speed, speed * FRICTION, 0.0
        if not WALLS[0] <= place <= WALLS[1]:
            place, velocity = float(np.clip(place, *WALLS)), 0.0
        ahead, left = flying[:, 0] + tic * flying[:, 2], flying[:, 1] + tic * flying[:, 3]
        if (np.maximum(np.abs(ahead), np.abs(left - (place - y))) <= HIT_RADIUS).any():
            return True
    return False
