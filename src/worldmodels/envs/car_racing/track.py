"""The road as a few contiguous arrays, for the drawing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing
from numpy.typing import NDArray

WHITE_BORDER, RED_BORDER = -1, -2


@dataclass(frozen=True)
class Road:
    """P polygons, tiles and borders in the order of their drawing, over T tiles."""

    corners: NDArray[np.float64]
    """[P, 4, 2]: the corners, in the world's units."""
    circles: NDArray[np.float64]
    """[P, 3]: a circle around each polygon, its centre and its radius."""
    tiles: NDArray[np.int64]
    """[P]: a tile's row in ``colors``, or WHITE_BORDER or RED_BORDER."""
    colors: NDArray[np.float64]
    """[T, 3]: the tiles' present colours, 0 to 255; the environment's contact listener writes here."""


def pack_road(env: CarRacing) -> Road:
    """Copies the road of ``env`` and moves its tiles' colours into one array.

    A tile that is touched changes colour: the contact listener assigns ``tile.color[:]``. Here every ``tile.color``
    becomes a view of ``colors``, so the listener itself keeps the array right and no step has to look for changes.
    """
    assert env.road is not None
    colors = np.array([tile.color for tile in env.road], np.float64)
    for tile, color in zip(env.road, colors, strict=True):
        tile.color = color
    polygons: list[tuple[list[tuple[float, float]], object]] = []
    tiles: list[int] = []
    num_tiles = 0
    for corners, color in env.road_poly:
        if isinstance(color, np.ndarray):
            polygons.append((corners, colors[num_tiles]))
            tiles.append(num_tiles)
            num_tiles += 1
        else:
            polygons.append((corners, color))
            tiles.append(WHITE_BORDER if color == (255, 255, 255) else RED_BORDER)
    # The official drawing (`render`, `full_frame`) reads the colours from here.
    env.road_poly = polygons
    packed = np.array([corners for corners, _ in polygons], np.float64)
    centres = packed.mean(1)
    radii = np.linalg.norm(packed - centres[:, None], axis=2).max(1)
    return Road(packed, np.column_stack([centres, radii]), np.array(tiles, np.int64), colors)
