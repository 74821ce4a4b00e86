"""Where a player of Doom has been: the cells of the room, and which of them an episode has come to."""

from __future__ import annotations

import numpy as np
import vizdoom
from numpy.typing import NDArray

#: Map units of a cell's side. The player is 32 wide.
CELL = 64


class Room:
    """The cells of a room whose centres lie within its walls, and those of them in which the player has stood.

    Args:
        sideways: the player can only step sideways, along the second axis: the cells are those of the column where it begins.
    """

    def __init__(self, sideways: bool = False) -> None:
        self._sideways = sideways
        self._origin = np.zeros(2, np.int64)
        self._inside: NDArray[np.bool_] | None = None
        self._seen: set[tuple[int, int]] = set()

    def begin(self, game: vizdoom.DoomGame) -> None:
        """Starts an episode where the player stands."""
        if self._inside is None:  # the map is the same in every episode
            lines = [(line.x1, line.y1, line.x2, line.y2) for sector in game.get_state().sectors for line in sector.lines]
            walls = np.array(lines)
            self._origin = np.floor(walls.reshape(-1, 2).min(0) / CELL).astype(np.int64)
            self._inside = cells_inside(walls - np.tile(self._origin * CELL, 2))
            if self._sideways:
                elsewhere = np.arange(len(self._inside)) != self._cell(game)[0]
                self._inside[elsewhere] = False
        self._seen = set()
        self.note(game)

    def note(self, game: vizdoom.DoomGame) -> None:
        """Notes where the player stands now."""
        self._seen.add(self._cell(game))

    def _cell(self, game: vizdoom.DoomGame) -> tuple[int, int]:
        """Returns the cell that the player stands in."""
        x = game.get_game_variable(vizdoom.GameVariable.POSITION_X)
        y = game.get_game_variable(vizdoom.GameVariable.POSITION_Y)
        return int(x // CELL) - int(self._origin[0]), int(y // CELL) - int(self._origin[1])

    def share(self) -> float:
        """Returns the share of the cells that the player has stood in, from 0 to 1."""
        assert self._inside is not None
        seen = np.zeros_like(self._inside)
        for x, y in self._seen:
            seen[x, y] = True
        return float((seen & self._inside).sum() / self._inside.sum())


def cells_inside(lines: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Returns which cells' centres lie within walls, bool [columns, rows], by the rule of even and odd.

    Args:
        lines: x and y of both ends of every wall, [L, 4], from 0 on.
    """
    x1, y1, x2, y2 = lines.T
    centres = np.arange(CELL / 2, lines.max() + CELL, CELL)
    x, y = centres[:, None, None], centres[None, :, None]
    crossed = (y1 > y) != (y2 > y)  # by a ray from the centre to the right
    with np.errstate(divide="ignore", invalid="ignore"):
        right = x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
    inside: NDArray[np.bool_] = (crossed & right).sum(-1) % 2 == 1
    return inside
