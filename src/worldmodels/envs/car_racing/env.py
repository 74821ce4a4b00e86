"""The environment: Gymnasium's CarRacing with another drawing of the state pixels, and the car's step without numpy."""

from __future__ import annotations

import math
import os
import struct
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle

# pygame greets on standard output when it is imported, which would end up in the output of every program of ours.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

from gymnasium.envs.box2d.car_dynamics import ENGINE_POWER, FRICTION_LIMIT, SIZE, WHEEL_MOMENT_OF_INERTIA, Car
from gymnasium.envs.box2d.car_racing import (
    FPS,
    GRASS_DIM,
    PLAYFIELD,
    STATE_H,
    STATE_W,
    WINDOW_H,
    WINDOW_W,
    CarRacing,
)

from worldmodels.base.errors import UserError
from worldmodels.base.types import Frame
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.car_racing.drawing import FRAME_SIZE, NUM_BODIES, Drawing
from worldmodels.envs.car_racing.track import Road, pack_road
from worldmodels.envs.car_racing.variants import look, zoom_at
from worldmodels.envs.gym_rules import Admission
from worldmodels.envs.original_frames import original_frame

#: As the official `Car.step` computes them: what turns a slip into a force, and the brakes' force in radians per second.
STIFFNESS = 205000 * SIZE * SIZE
#: The window's farthest corner from the car, in its pixels, and the longest diagonal of a polygon, in metres: a patch of grass.
FARTHEST_PIXELS = math.hypot(WINDOW_W / 2, WINDOW_H * 3 / 4)
LARGEST_POLYGON = math.sqrt(2) * GRASS_DIM
#: The official patches of grass: every second square, both ways.
GRASS = [
    [(GRASS_DIM * (i + right), GRASS_DIM * (j + up)) for right, up in ((1, 0), (0, 0), (0, 1), (1, 1))]
    for i in range(-20, 20, 2)
    for j in range(-20, 20, 2)
]
BRAKE_FORCE = 15


#: Writes all numbers of the bodies, as `Drawing.draw` takes them.
PACK_BODIES = struct.Struct(f"{4 * NUM_BODIES}d").pack_into


class QuickCar(Car):
    """The official car, operation by operation, on Python's floats: the official one's numpy scalars take thrice the time.

    It leaves no skid marks: the state pixels do not show them.
    """

    def steer(self, s: float) -> None:
        """Sets the front wheels' aim."""
        self.wheels[0].steer = self.wheels[1].steer = float(s)

    def gas(self, gas: float) -> None:
        """Opens the throttle by at most 0.1, or closes it at once; rear wheels only."""
        gas = min(max(float(gas), 0.0), 1.0)
        for w in self.wheels[2:4]:
            w.gas += min(gas - w.gas, 0.1)

    def brake(self, b: float) -> None:
        """Sets the brakes of all wheels; from 0.9 they block."""
        for w in self.wheels:
            w.brake = float(b)

    def step(self, dt: float) -> None:
        """Applies the wheels' forces to the bodies. The order of every sum and product is the official one: it decides bits."""
        for w in self.wheels:
            w.joint.motorSpeed = max(-3.0, min(50.0 * (w.steer - w.joint.angle), 3.0))
            # Every tile of the road has the friction 1.
            friction_limit = FRICTION_LIMIT * (1.0 if w.tiles else 0.6)
            side, v = w.GetWorldVector((1, 0)), w.linearVelocity
            side_x, side_y, v_x, v_y = side.x, side.y, v.x, v.y
            # Forward is the side turned by 90°, exactly.
            vf = -side_y * v_x + side_x * v_y
            vs = side_x * v_x + side_y * v_y

            omega = w.omega
            omega += dt * ENGINE_POWER * w.gas / WHEEL_MOMENT_OF_INERTIA / (abs(omega) + 5.0)
            self.fuel_spent += dt * ENGINE_POWER * w.gas
            if w.brake >= 0.9:
                omega = 0.0
            elif w.brake > 0:
                omega -= math.copysign(min(BRAKE_FORCE * w.brake, abs(omega)), omega)
            w.phase += omega * dt

            f_force = (omega * w.wheel_rad - vf) * STIFFNESS
            p_force = -vs * STIFFNESS
            force = math.sqrt(f_force * f_force + p_force * p_force)
            if force > friction_limit:
                f_force = f_force / force * friction_limit
                p_force = p_force / force * friction_limit
            w.omega = omega - dt * f_force * w.wheel_rad / WHEEL_MOMENT_OF_INERTIA
            w.ApplyForceToCenter((p_force * side_x - f_force * side_y, p_force * side_y + f_force * side_x), True)


class CarRacingEnv(CarRacing):
    """Gymnasium's CarRacing-v3, seen as the paper sees it, and drawn some fifty times as fast.

    Track, physics, contacts, rewards and terminations are Gymnasium's own code, but for `QuickCar`. Seeds, actions, rewards
    and the car's state are equal to the official environment's, bit for bit; the pixels are alike.

    ### Action Space
    ``Box([-1, 0, 0], [1, 1, 1], (3,), float32)``: steering (-1 is full left), gas, brake. What lies outside is clipped (the
    official car goes no further either); what is not finite or has another shape is refused (`gymnasium.error.InvalidAction`).
    With ``continuous=False`` ``Discrete(5)``, the official one: nothing, left, right, gas, brake.

    ### Observation Space
    ``Box(0, 255, (64, 64, 3), uint8)``: rows 0-83 of the 96×96 state pixels (the rows below them hold the indicators),
    averaged over areas down to 64×64. With ``full_frame`` ``Box(0, 255, (96, 96, 3), uint8)``: the official state pixels.

    ### Rewards
    -0.1 a step, +1000/N for each of the track's N tiles when a wheel first touches it; -100 in the step that leaves the
    playfield.

    ### Starting State
    The car stands in the middle of the road at the track's first tile, or at a random one with ``start_anywhere``. The
    seed decides the track: the same seed, the same track as the official environment.

    ### Episode End
    Terminated when all tiles have been visited, when the lap is complete (``lap_complete_percent``) or when the car leaves the
    playfield. ``gymnasium.make`` truncates after 1000 steps.

    ### Arguments
    - ``full_frame``: observe the official 96×96 state pixels, indicators included, drawn by the official code at its speed.
    - ``render_mode``: ``None``; ``"rgb_array"``, the official picture of 600×400; ``"state_pixels"``, the official 96×96.
    - ``lap_complete_percent``: the share of the tiles that must have been visited when the car reaches the first one again.
    - ``start_anywhere``: start at a random tile of the same track, which then counts as the first.
    - ``continuous``: False for the five official actions in place of steering, gas and brake.
    - ``verbose``: print what the making of a track comes to.
    - ``original_frames``: rows 0-83 with the original's contrast, resizing and wrapping arithmetic, which its weights need.
    - ``domain_randomize``: Gymnasium's own: every episode has random colours of road, field and grass.
    - ``variant``: another look (`variants.LOOKS`): ``"colour"``, ``"colour3"``, ``"bars"``, ``"blob"`` or ``"noise"``; empty:
      the plain one. The track of a seed stays.

    ### Version History
    - v3: Gymnasium's CarRacing-v3; only the drawing is ours, and the car's forces are computed faster.
    """

    metadata = {"render_modes": ["rgb_array", "state_pixels"], "render_fps": FPS}

    def __init__(
        self,
        full_frame: bool = False,
        render_mode: str | None = None,
        lap_complete_percent: float = 0.95,
        start_anywhere: bool = False,
        continuous: bool = True,
        domain_randomize: bool = False,
        verbose: bool = False,
        original_frames: bool = False,
        variant: str = "",
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise UserError(f"CarRacing has no render mode '{render_mode}'; use 'rgb_array' or 'state_pixels'")
        if domain_randomize and variant:
            raise UserError(f"CarRacing's {variant} is a variant by itself; leave domain_randomize out")
        if not 0 < lap_complete_percent <= 1:
            raise UserError(f"lap_complete_percent is {lap_complete_percent}; it must lie above 0 and at most at 1")
        self._look = look(variant)
        super().__init__(render_mode, verbose, lap_complete_percent, domain_randomize, continuous)
        # The official constructor has stored its own arguments for pickling; ours are others.
        arguments = (full_frame, render_mode, lap_complete_percent, start_anywhere, continuous, domain_randomize, verbose)
        EzPickle.__init__(self, *arguments, original_frames, variant)
        self.full_frame = full_frame
        self.checks_actions = continuous
        self._admit = Admission(self.action_space) if continuous else None
        self.original_frames = original_frames
        self.start_anywhere = start_anywhere
        shape = (STATE_H, STATE_W, 3) if full_frame else (FRAME_SIZE, FRAME_SIZE, 3)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self._drawing = Drawing()
        self._packed: Road | None = None
        self._bodies = np.zeros((NUM_BODIES, 4))

    def _create_track(self) -> bool:
        """Makes the official track; False when the random checkpoints gave none, as the official method says it."""
        if not super()._create_track():  # type: ignore[no-untyped-call]
            return False
        if self.start_anywhere:
            # The car is put at `track[0]`, and the lap is checked at the tile with index 0: both move to the new start.
            start = int(self.np_random.integers(len(self.track)))
            self.track = self.track[start:] + self.track[:start]
            assert self.road is not None
            for tile in self.road:
                tile.idx = (tile.idx - start) % len(self.track)
        self._packed = pack_road(self)
        self._drawing.colour(self.road_color, self.bg_color, self.grass_color)
        return True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode on a new track."""
        self._look.begin(self, seed)
        observation, info = super().reset(seed=seed, options=options)
        # The official reset makes the official car, and only methods differ. Where `render` shows skid marks it stays.
        if self.render_mode is None:
            self.car.__class__ = QuickCar
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drives a fiftieth of a second. Raises `InvalidAction` for an action that is not finite or has another shape."""
        # The official reset steps without an action.
        if action is not None and self._admit is not None:
            action = self._admit(action)
        self._look.step()
        return super().step(action)  # type: ignore[no-any-return]

    def visited(self) -> float:
        """Returns the share of the track's tiles that the car has touched in this episode, for measuring alone."""
        return float(self.tile_visited_count / len(self.track))

    def render(self) -> Any:
        """Returns the official picture of ``render_mode``."""
        # Observations, which are smaller here, are drawn under this name too.
        return self._official("state_pixels") if self.render_mode == "state_pixels" else super().render()  # type: ignore[no-untyped-call]

    def _draw(self, small: bool) -> Frame:
        assert self.car is not None
        assert self._packed is not None
        w1, w2, w3, w4 = self.car.wheels
        hull = self.car.hull
        p1, p2, p3, p4, center = w1.position, w2.position, w3.position, w4.position, hull.position
        # All at once: this is Python's whole share of the drawing.
        PACK_BODIES(
            self._bodies.data,
            0,
            *(p1.x, p1.y, w1.angle, w1.phase),
            *(p2.x, p2.y, w2.angle, w2.phase),
            *(p3.x, p3.y, w3.angle, w3.phase),
            *(p4.x, p4.y, w4.angle, w4.phase),
            *(center.x, center.y, hull.angle, 0.0),
        )
        return self._drawing.draw(self._packed, self._bodies, zoom_at(self.t), small)

    def state_rows(self) -> Frame:
        """Draws rows 0-83 of the state pixels, uint8 [84, 96, 3]: what the default observation is averaged from."""
        return self._look.paint(self._draw(small=False), self)

    def _official(self, mode: str) -> Any:
        picture = super()._render(mode)
        return picture if picture is None else self._look.paint(picture, self)

    def _render(self, mode: str) -> Any:
        if mode != "state_pixels" or self.full_frame:
            return self._official(mode)
        if self.original_frames:
            return original_frame(self.state_rows(), FRAME_SIZE)
        # The plain picture is averaged as it is drawn.
        return area_resize(self.state_rows(), FRAME_SIZE) if self._look.paints else self._draw(small=True)

    def _render_road(self, zoom: float, translation: Any, angle: float) -> None:
        """Draws the official road and grass, but what lies out of sight: the same picture in a third of the time."""
        assert self.car is not None
        x, y = self.car.hull.position
        reach = FARTHEST_PIXELS / zoom + LARGEST_POLYGON
        view = (zoom, translation, angle)
        field = [(PLAYFIELD, PLAYFIELD), (PLAYFIELD, -PLAYFIELD), (-PLAYFIELD, -PLAYFIELD), (-PLAYFIELD, PLAYFIELD)]
        self._draw_colored_polygon(self.surf, field, self.bg_color, *view, clip=False)  # type: ignore[no-untyped-call]
        polygons = [(patch, self.grass_color) for patch in GRASS] + self.road_poly
        for points, color in polygons:
            if abs(points[0][0] - x) < reach and abs(points[0][1] - y) < reach:
                self._draw_colored_polygon(self.surf, points, [int(c) for c in color], *view)  # type: ignore[no-untyped-call]
