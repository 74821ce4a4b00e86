"""CarRacing's state pixels, rows 0-83, drawn in one call.

The official environment draws every polygon on a surface of 1000×800 pixels, with its corners cut to whole pixels, and
averages areas of 10.4×8.3 pixels. Here each of the 96×84 pixels is a block of 4×4 samples, and a sample holds an index
into a palette. Polygons overwrite the samples in the official order; then each block is averaged.

All compiled functions live in this one file: Numba's cache does not notice when a function in another file changes.
"""

from __future__ import annotations

import numba
import numpy as np
from gymnasium.envs.box2d import car_dynamics as car
from gymnasium.envs.box2d.car_racing import GRASS_DIM, PLAYFIELD, STATE_W, WINDOW_H, WINDOW_W
from numpy.typing import NDArray

from worldmodels.base.types import Frame
from worldmodels.envs.car_racing.track import RED_BORDER, WHITE_BORDER, Road
from worldmodels.runtime.compiled import compiled

Points = NDArray[np.float64]

WIDTH = STATE_W
#: The indicators begin 5/40 of the window above its lower edge: exactly at row 84 of 96.
HEIGHT = 84
#: V's frame. One of its cells is 21/16 of a pixel high and 3/2 wide, so a cell is a sum of 63 parts, and rounds at 31.
FRAME_SIZE = 64
CELL_HEIGHT, PIXEL_HEIGHT = 21, 16
CELL_PARTS = CELL_HEIGHT * 3

SAMPLE_ROWS, SAMPLE_COLUMNS = 4, 4
NUM_ROWS, NUM_COLUMNS = HEIGHT * SAMPLE_ROWS, WIDTH * SAMPLE_COLUMNS
#: Samples per pixel of the official surface.
U_SCALE = NUM_COLUMNS / WINDOW_W
V_SCALE = NUM_ROWS / (WINDOW_H * 7 / 8)

#: Beyond every coordinate (no infinity: the arithmetic is compiled as if there were none).
FAR = 1e30

BLACK, FIELD, GRASS, ROAD, WHITE, RED, HULL, RIM = 0, 1, 2, 3, 6, 7, 8, 9
NUM_COLOURS = 10
#: ROAD is a visited tile; ROAD, ROAD + 1 and ROAD + 2 are the three shades of tiles that are not. The colours of field, grass
#: and road are the environment's own.
FIXED = {BLACK: (0, 0, 0), WHITE: (255, 255, 255), RED: (255, 0, 0), HULL: (204, 0, 0), RIM: car.WHEEL_WHITE}
#: How much lighter each shade is than the one before, in levels of 255.
SHADE = 2.55
#: pygame's smoothscale works in fixed point and cuts twice: every flat colour comes out 2 levels darker.
FLAT_LOSS = 2
#: A block of several colours loses half a level less on average: its first sum is no whole number.
MIXED_LOSS = 1
#: For arithmetic on three packed channels at once: a one in each, half a cell, all bits of a byte, the bit above it, 14 bits.
ONES = 1 | 1 << 20 | 1 << 40
HALF_CELL = CELL_PARTS // 2 * ONES
BYTES, BORROW, QUOTIENTS = 0xFF * ONES, 0x100 * ONES, 0x3FFF * ONES

#: How far SDL's filled and anti-aliased polygons reach beyond their ideal edges, in pixels of the surface: sideways at
#: edges nearer to the vertical, up and down at the others. The polygons of `pygame.draw` (the car's) differ.
ROAD_REACH = (0.6, 0.5)
CAR_REACH = (-0.15, 0.43)

#: Rows of [x, y, angle, phase]: the four wheels, then the hull.
NUM_BODIES = 5
_WHEEL_X, _WHEEL_Y = car.WHEEL_W * car.SIZE, car.WHEEL_R * car.SIZE
_HULL_POLYGONS = (car.HULL_POLY4, car.HULL_POLY3, car.HULL_POLY2, car.HULL_POLY1)
_HULL_SIZES = np.array([len(polygon) for polygon in _HULL_POLYGONS])
_HULL = np.concatenate([np.array(polygon, np.float64) for polygon in _HULL_POLYGONS]) * car.SIZE


@numba.njit(fastmath=True)
def _fill(samples: Frame, scratch: Points, count: int, color: int, view: Points, reach_x: float, reach_y: float) -> None:
    """Fills the convex polygon of the first ``count`` points in ``scratch[0]``, in the world, with a palette index.

    ``view`` is [a, b, c, d, e, f]: x_surface = a x + b y + c, y_surface = d x + e y + f. ``scratch`` is overwritten.
    """
    points = scratch[0]
    low_u, high_u, low_v, high_v = FAR, -FAR, FAR, -FAR
    for i in range(count):
        x, y = points[i, 0], points[i, 1]
        # The official drawing cuts the corners' coordinates to whole pixels, towards zero; its picture is upside down.
        u = (int(view[0] * x + view[1] * y + view[2]) + 0.5) * U_SCALE - 0.5
        v = (WINDOW_H - 0.5 - int(view[3] * x + view[4] * y + view[5])) * V_SCALE - 0.5
        points[i, 0], points[i, 1] = u, v
        low_u, high_u = min(low_u, u), max(high_u, u)
        low_v, high_v = min(low_v, v), max(high_v, v)
    margin_u = max(reach_x, 0.5) * U_SCALE
    low_u, high_u = max(low_u - margin_u, -0.5), min(high_u + margin_u, NUM_COLUMNS - 0.5)
    first = max(int(np.ceil(low_v - reach_y * V_SCALE)), 0)
    last = min(int(np.floor(high_v + reach_y * V_SCALE)), NUM_ROWS - 1)
    if first > last or low_u > high_u:
        return
    area = 0.0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        area += points[i, 0] * points[j, 1] - points[j, 0] * points[i, 1]
    # Each edge becomes a bound on the columns of a row: u >= slope * v + offset on the left, u <= … on the right.
    left, right = scratch[1], scratch[2]
    lefts, rights = 0, 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        du, dv = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
        if dv == 0:
            continue
        slope = du / dv
        steep = abs(du) * V_SCALE <= abs(dv) * U_SCALE
        out = reach_x * U_SCALE if steep else reach_y * V_SCALE * abs(slope)
        offset = points[i, 0] - slope * points[i, 1]
        if (dv < 0) == (area >= 0):
            left[lefts, 0], left[lefts, 1] = slope, offset - out
            lefts += 1
        else:
            right[rights, 0], right[rights, 1] = slope, offset + out
            rights += 1
    # A quadrilateral has at most two of each unless it is bent by the cut: those stay in registers.
    for i in range(lefts, 2):
        left[i, 0], left[i, 1] = 0.0, -FAR
    for i in range(rights, 2):
        right[i, 0], right[i, 1] = 0.0, FAR
    left_slope1, left_offset1, left_slope2, left_offset2 = left[0, 0], left[0, 1], left[1, 0], left[1, 1]
    right_slope1, right_offset1, right_slope2, right_offset2 = right[0, 0], right[0, 1], right[1, 0], right[1, 1]
    for row in range(first, last + 1):
        low = max(low_u, max(left_slope1 * row + left_offset1, left_slope2 * row + left_offset2))
        high = min(high_u, min(right_slope1 * row + right_offset1, right_slope2 * row + right_offset2))
        for i in range(2, lefts):
            low = max(low, left[i, 0] * row + left[i, 1])
        for i in range(2, rights):
            high = min(high, right[i, 0] * row + right[i, 1])
        # Both are above -1, where cutting towards zero and rounding down part ways only harmlessly.
        start, stop = int(low + 0.9999999), int(high + 1)
        # A slice, because it is compiled to `memset`; a loop stores byte after byte.
        if start < stop:
            samples[row, start:stop] = color


@numba.njit(fastmath=True)
def _draw_field(samples: Frame, scratch: Points, view: Points) -> None:
    """The playfield, black beyond it, and its squares of grass."""
    points = scratch[0]
    # The corners of what is seen, in the world: the view's rotation and zoom are undone.
    det = view[0] * view[4] - view[1] * view[3]
    low_x, high_x, low_y, high_y = FAR, -FAR, FAR, -FAR
    for corner in range(4):
        sx = -2.0 - view[2] + (WINDOW_W + 4 if corner & 1 else 0)
        sy = WINDOW_H / 8 - 2.0 - view[5] + (WINDOW_H * 7 / 8 + 4 if corner & 2 else 0)
        x, y = (view[4] * sx - view[1] * sy) / det, (view[0] * sy - view[3] * sx) / det
        low_x, high_x = min(low_x, x), max(high_x, x)
        low_y, high_y = min(low_y, y), max(high_y, y)
    if max(-low_x, high_x, -low_y, high_y) < PLAYFIELD:
        samples[:] = FIELD
    else:
        samples[:] = BLACK
        for i in range(4):
            points[i, 0] = PLAYFIELD if i < 2 else -PLAYFIELD
            points[i, 1] = PLAYFIELD if i == 0 or i == 3 else -PLAYFIELD
        _fill(samples, scratch, 4, FIELD, view, ROAD_REACH[0], ROAD_REACH[1])
    # Every second square of a grid of 40×40, so 20×20 of them; square i covers [2i - 20, 2i - 19] grid units.
    first_x, last_x = max(int((low_x / GRASS_DIM + 19) / 2), 0), min(int((high_x / GRASS_DIM + 20) / 2), 19)
    first_y, last_y = max(int((low_y / GRASS_DIM + 19) / 2), 0), min(int((high_y / GRASS_DIM + 20) / 2), 19)
    for i in range(first_x, last_x + 1):
        for j in range(first_y, last_y + 1):
            x, y = GRASS_DIM * (2 * i - 20), GRASS_DIM * (2 * j - 20)
            points[0, 0], points[0, 1] = x + GRASS_DIM, y
            points[1, 0], points[1, 1] = x, y
            points[2, 0], points[2, 1] = x, y + GRASS_DIM
            points[3, 0], points[3, 1] = x + GRASS_DIM, y + GRASS_DIM
            _fill(samples, scratch, 4, GRASS, view, ROAD_REACH[0], ROAD_REACH[1])


@numba.njit(fastmath=True)
def _draw_road(
    samples: Frame,
    scratch: Points,
    view: Points,
    corners: Points,
    circles: Points,
    tiles: NDArray[np.int64],
    colors: Points,
    touched_below: float,
) -> None:
    """The tiles and the borders, in the official order; a tile with less red than ``touched_below`` has been touched."""
    points = scratch[0]
    zoom = np.sqrt(view[0] * view[0] + view[3] * view[3])
    for polygon in range(tiles.shape[0]):
        x, y = circles[polygon, 0], circles[polygon, 1]
        around = circles[polygon, 2] * zoom + 2
        sx, sy = view[0] * x + view[1] * y + view[2], view[3] * x + view[4] * y + view[5]
        if sx < -around or sx > WINDOW_W + around or sy < WINDOW_H / 8 - around or sy > WINDOW_H + around:
            continue
        tile = tiles[polygon]
        if tile == WHITE_BORDER:
            color = WHITE
        elif tile == RED_BORDER:
            color = RED
        else:
            # A tile that was touched has the road's own colour; the others were made lighter by their index.
            color = ROAD if colors[tile, 0] < touched_below else ROAD + tile % 3
        for i in range(4):
            points[i, 0], points[i, 1] = corners[polygon, i, 0], corners[polygon, i, 1]
        _fill(samples, scratch, 4, color, view, ROAD_REACH[0], ROAD_REACH[1])


@numba.njit(fastmath=True)
def _place(points: Points, count: int, x: float, y: float, angle: float) -> None:
    """Moves ``points[:count]`` from a body's own coordinates into the world."""
    cos, sin = np.cos(angle), np.sin(angle)
    for i in range(count):
        px, py = points[i, 0], points[i, 1]
        points[i, 0], points[i, 1] = cos * px - sin * py + x, sin * px + cos * py + y


@numba.njit(fastmath=True)
def _draw_car(samples: Frame, scratch: Points, view: Points, bodies: Points) -> None:
    """The wheels, each with the light mark that shows its turning, and the hull above them."""
    points = scratch[0]
    for wheel in range(4):
        x, y, angle, phase = bodies[wheel, 0], bodies[wheel, 1], bodies[wheel, 2], bodies[wheel, 3]
        for i in range(4):
            points[i, 0] = -_WHEEL_X if i == 0 or i == 3 else _WHEEL_X
            points[i, 1] = _WHEEL_Y if i < 2 else -_WHEEL_Y
        _place(points, 4, x, y, angle)
        _fill(samples, scratch, 4, BLACK, view, CAR_REACH[0], CAR_REACH[1])
        sin1, sin2, cos1, cos2 = np.sin(phase), np.sin(phase + 1.2), np.cos(phase), np.cos(phase + 1.2)
        if sin1 > 0 and sin2 > 0:
            continue
        if sin1 > 0:
            cos1 = np.sign(cos1)
        if sin2 > 0:
            cos2 = np.sign(cos2)
        for i in range(4):
            points[i, 0] = -_WHEEL_X if i == 0 or i == 3 else _WHEEL_X
            points[i, 1] = _WHEEL_Y * (cos1 if i < 2 else cos2)
        _place(points, 4, x, y, angle)
        _fill(samples, scratch, 4, RIM, view, CAR_REACH[0], CAR_REACH[1])
    first = 0
    for count in _HULL_SIZES:
        for i in range(count):
            points[i, 0], points[i, 1] = _HULL[first + i, 0], _HULL[first + i, 1]
        first += count
        _place(points, count, bodies[4, 0], bodies[4, 1], bodies[4, 2])
        _fill(samples, scratch, count, HULL, view, CAR_REACH[0], CAR_REACH[1])


@numba.njit(fastmath=True)
def _mix(blocks: NDArray[np.uint32], top: int, x: int, pairs: NDArray[np.int64]) -> int:
    """Averages one pixel's block; the three channels are packed (`pack`), here and in the result."""
    total = 0
    for row in range(SAMPLE_ROWS):
        # Two samples to a byte, because an index takes four bits: half the look-ups.
        both = blocks[top + row, x] | blocks[top + row, x] >> 4
        total += pairs[both & 0xFF] + pairs[both >> 16 & 0xFF]
    # All channels at once: a bit above each byte is borrowed by the subtraction where the mean is below the loss.
    mean = ((total >> 4) & BYTES | BORROW) - MIXED_LOSS * ONES
    return mean & ((mean >> 8 & ONES) * 0xFF)


@numba.njit(fastmath=True)
def _average(blocks: NDArray[np.uint32], palette: NDArray[np.int64], out: Frame) -> None:
    """Averages the samples down to ``out``, uint8 [84, 96 * 3] (the official pixels) or [64, 64 * 3] (those averaged on).

    ``blocks`` holds the 4 samples of a block's row in one word. ``palette`` is int64 [2, 256], packed: the sum of two samples'
    colours by their indices, one in the low four bits and one in the high; and what a block of one colour comes out as.
    """
    pairs, flat = palette[0], palette[1]
    small = out.shape[0] == FRAME_SIZE
    pixels = np.empty(WIDTH, np.int64)
    colour = np.empty(WIDTH, np.uint8)
    uneven = np.empty(WIDTH, np.uint32)
    mixed = np.empty(WIDTH, np.int64)
    line = np.empty(FRAME_SIZE, np.int64)
    total = np.full(FRAME_SIZE, HALF_CELL)
    cell = 0
    for y in range(HEIGHT):
        top = y * SAMPLE_ROWS
        # Zero where all samples of a block are one colour: the words of its rows are equal, and equal to themselves rotated.
        for x in range(WIDTH):
            word = blocks[top, x]
            differs = word ^ (word >> 8 | word << 24)
            for row in range(1, SAMPLE_ROWS):
                differs |= word ^ blocks[top + row, x]
            uneven[x] = differs
            colour[x] = word & 0xFF
        # A loop of its own: between the words' arithmetic the look-ups would not be done several at once.
        for x in range(WIDTH):
            pixels[x] = flat[colour[x]]
        # A list of the blocks first: at an edge no processor foresees which block is uneven, and a wrong guess costs more.
        count = 0
        for x in range(WIDTH):
            mixed[count] = x
            count += uneven[x] != 0
        for i in range(count):
            pixels[mixed[i]] = _mix(blocks, top, mixed[i], pairs)
        if not small:
            for x in range(WIDTH):
                for channel in range(3):
                    out[y, 3 * x + channel] = (pixels[x] >> (20 * channel)) & 0xFF
            continue
        # Three pixels make two cells of the small frame; all counts are whole: thirds of a pixel, sixteenths of a row.
        for group in range(WIDTH // 3):
            left, middle, right = pixels[3 * group], pixels[3 * group + 1], pixels[3 * group + 2]
            line[2 * group] = 2 * left + middle
            line[2 * group + 1] = middle + 2 * right
        # A row of pixels belongs to one row of cells, or to two.
        end = CELL_HEIGHT * (cell + 1) - PIXEL_HEIGHT * y
        here = min(PIXEL_HEIGHT, end)
        for i in range(FRAME_SIZE):
            total[i] += here * line[i]
        if end <= PIXEL_HEIGHT:
            for i in range(FRAME_SIZE):
                # All channels divided by 63 at once, as 1/64 + 1/64² + ...: exact for every sum up to 16,065 + 31.
                sums = total[i]
                mean = (sums + ONES + (sums + (sums >> 6 & QUOTIENTS) >> 6 & QUOTIENTS)) >> 6
                for channel in range(3):
                    out[cell, 3 * i + channel] = (mean >> (20 * channel)) & 0xFF
                total[i] = HALF_CELL + (PIXEL_HEIGHT - here) * line[i]
            cell += 1


@compiled(fastmath=True)
def _draw(
    blocks: NDArray[np.uint32],
    corners: Points,
    circles: Points,
    tiles: NDArray[np.int64],
    colors: Points,
    touched_below: float,
    palette: NDArray[np.int64],
    bodies: Points,
    zoom: float,
    out: Frame,
) -> None:
    # Each array that is passed takes as long as making two here.
    samples, scratch, view = blocks.view(np.uint8), np.empty((3, 8, 2)), np.empty(6)
    # As the official `_render`: the hull stands upright, in the middle of the width and at a quarter of the height.
    cos, sin = np.cos(bodies[4, 2]) * zoom, np.sin(bodies[4, 2]) * zoom
    x, y = bodies[4, 0], bodies[4, 1]
    view[0], view[1], view[2] = cos, sin, WINDOW_W / 2 - cos * x - sin * y
    view[3], view[4], view[5] = -sin, cos, WINDOW_H / 4 + sin * x - cos * y
    _draw_field(samples, scratch, view)
    _draw_road(samples, scratch, view, corners, circles, tiles, colors, touched_below)
    _draw_car(samples, scratch, view, bodies)
    _average(blocks, palette, out)


def pack(colours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns each colour of int64 [N, 3] in one word, 20 bits a channel: one addition sums all three."""
    return colours[:, 0] | colours[:, 1] << 20 | colours[:, 2] << 40


class Drawing:
    """Draws one environment's state pixels; holds the samples, so that a step allocates only the picture."""

    def __init__(self) -> None:
        self._blocks = np.zeros((NUM_ROWS, WIDTH), np.uint32)
        self._palette = np.zeros((2, 256), np.int64)
        self._touched_below = 0.0

    def colour(self, road: Points, field: Points, grass: Points) -> None:
        """Takes the environment's colours, 0 to 255 [3] each; the official drawing cuts them to whole levels."""
        colours = np.zeros((NUM_COLOURS, 3), np.int64)
        for index, fixed in FIXED.items():
            colours[index] = fixed
        colours[FIELD], colours[GRASS] = field, grass
        for shade in range(3):
            colours[ROAD + shade] = road + shade * SHADE
        packed = pack(colours)
        for high in range(NUM_COLOURS):
            first = high << 4
            self._palette[0, first : first + NUM_COLOURS] = packed[high] + packed
        self._palette[1, :NUM_COLOURS] = pack(np.maximum(colours - FLAT_LOSS, 0))
        self._touched_below = float(road[0]) + SHADE / 2

    def draw(self, road: Road, bodies: Points, zoom: float, small: bool) -> Frame:
        """Returns rows 0-83 of the state pixels: uint8 [84, 96, 3], or averaged over areas down to [64, 64, 3].

        Args:
            road: the track.
            bodies: float64 [5, 4], rows of x, y, angle, phase: the four wheels, then the hull (whose phase means nothing).
            zoom: pixels of the 1000×800 surface per unit of the world.
            small: whether to average down; the same as `area_resize` of the large picture.
        """
        rows, columns = (FRAME_SIZE, FRAME_SIZE) if small else (HEIGHT, WIDTH)
        out = np.empty((rows, columns * 3), np.uint8)
        _draw(
            self._blocks,
            road.corners,
            road.circles,
            road.tiles,
            road.colors,
            self._touched_below,
            self._palette,
            bodies,
            zoom,
            out,
        )
        return out.reshape(rows, columns, 3)
