"""CarRacing that looks otherwise: other colours, bars, a blob, noise. Track, physics and rewards stay as they are.

They are the variants on which agents of the plain game have been scored (Tang, Nguyen and Ha 2020, "Neuroevolution of
Self-Interpretable Agents"), on today's CarRacing. A look changes colours before a track is made, or paints over the finished
picture; so the official environment and the fast one have it in common.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d.car_racing import SCALE, STATE_H, STATE_W, WINDOW_H, WINDOW_W, ZOOM, CarRacing
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import Floats, Frame
from worldmodels.envs.car_racing.drawing import FLAT_LOSS

#: How far a colour is moved at most, in levels of 255.
COLOUR_NOISE = 0.2 * 255
#: How wide each of the two bars is, in the window's pixels, of 1000.
BAR_WIDTH = 75
#: The blob in the hull's own coordinates: its left and its lower edge, and its size. In the picture it stands still.
BLOB_LEFT, BLOB_BOTTOM, BLOB_SIZE = 21.0, 7.6, 8.0
BLACK, BLOB_RED = (0, 0, 0), (204, 0, 0)
#: The indicators begin here, in the window's pixels from above: they stay as they are.
INDICATORS = WINDOW_H * 7 / 8


def zoom_at(seconds: float) -> float:
    """Returns the official zoom, in the window's pixels per metre: it grows in the first second of an episode."""
    return 0.1 * SCALE * max(1 - seconds, 0) + ZOOM * SCALE * min(seconds, 1)


class Look:
    """How an episode looks. This one changes nothing.

    What it draws at random derives from the episode's seed and the look's name: the track of a seed is the plain one's.
    """

    name = ""
    paints = False
    """Whether it paints over pictures; colours are set once."""

    def __init__(self) -> None:
        self._rng: np.random.Generator | None = None

    def begin(self, env: CarRacing, seed: int | None) -> None:
        """Sets the colours of an episode, before its track is made. Without a seed the draws go on."""
        if self._rng is None or seed is not None:
            self._rng = np.random.default_rng(None if seed is None else derive_seed(seed, f"car-racing/{self.name}"))

    def step(self) -> None:
        """Draws what one picture shows; called once for each observation."""

    def paint(self, picture: Frame, env: CarRacing) -> Frame:
        """Paints over a picture and returns it.

        Args:
            picture: uint8 [84 or 96, 96, 3], the state pixels or their rows above the indicators; or [400, 600, 3].
        """
        return picture


class Colours(Look):
    """The road's colour and the field's are moved by U(-0.2, 0.2) of full brightness; the lighter squares of grass stay.

    Args:
        num_draws: 1: one number for the three channels of a colour; 3: one for each.
    """

    def __init__(self, name: str, num_draws: int) -> None:
        super().__init__()
        self.name, self._num_draws = name, num_draws

    def begin(self, env: CarRacing, seed: int | None) -> None:
        super().begin(env, seed)
        assert self._rng is not None
        env._init_colors()  # type: ignore[no-untyped-call]
        road, field = self._rng.uniform(-COLOUR_NOISE, COLOUR_NOISE, (2, self._num_draws))
        env.road_color = np.clip(np.rint(env.road_color + road), 0, 255)
        env.bg_color = np.clip(np.rint(env.bg_color + field), 0, 255)


class Bars(Look):
    """A black bar on the left of the picture and one on the right, from above down to the indicators."""

    name, paints = "bars", True

    def paint(self, picture: Frame, env: CarRacing) -> Frame:
        for left in (0, WINDOW_W - BAR_WIDTH):
            paint_rectangle(picture, left, left + BAR_WIDTH, 0, INDICATORS, BLACK)
        return picture


class Blob(Look):
    """A red square in front of the car, on its right: it moves with the car, so in the picture it stands still."""

    name, paints = "blob", True

    def paint(self, picture: Frame, env: CarRacing) -> Frame:
        zoom = zoom_at(env.t)
        left, bottom = WINDOW_W / 2 + zoom * BLOB_LEFT, WINDOW_H * 3 / 4 - zoom * BLOB_BOTTOM
        return paint_rectangle(picture, left, left + zoom * BLOB_SIZE, bottom - zoom * BLOB_SIZE, bottom, BLOB_RED)


class Noise(Look):
    """Field and grass are noise: each channel of each of their state pixels is drawn anew in every step, from 0 to 255."""

    name, paints = "noise", True

    def __init__(self) -> None:
        super().__init__()
        self._noise = np.zeros((STATE_H * 7 // 8, STATE_W, 3), np.uint8)

    def step(self) -> None:
        assert self._rng is not None
        self._noise = self._rng.integers(0, 256, self._noise.shape, np.uint8)

    def paint(self, picture: Frame, env: CarRacing) -> Frame:
        rows = picture.shape[0] if picture.shape[0] == len(self._noise) else picture.shape[0] * 7 // 8
        # As published: what is as green as the field or the grass.
        green = picture[:rows, :, 1]
        here = np.zeros(green.shape, np.bool_)
        for colour in (env.bg_color, env.grass_color):
            here |= green - np.uint8(colour[1] - FLAT_LOSS) <= FLAT_LOSS  # unsigned: what is darker wraps round
        noise = self._noise
        if green.shape != noise.shape[:2]:
            y, x = np.arange(rows) * len(noise) // rows, np.arange(green.shape[1]) * STATE_W // green.shape[1]
            noise = noise[y[:, None], x]
        np.copyto(picture[:rows], noise, where=here[..., None])
        return picture


def paint_rectangle(
    picture: Frame, left: float, right: float, top: float, bottom: float, colour: tuple[int, int, int]
) -> Frame:
    """Paints a rectangle, whose edges are the window's pixels, over a picture; a pixel that it covers in part is mixed."""
    rows, columns = picture.shape[:2]
    at_y, high = _covered(top, bottom, STATE_H if columns == STATE_W else rows, WINDOW_H)
    at_x, wide = _covered(left, right, columns, WINDOW_W)
    part = picture[at_y, at_x]
    share = (high[: len(part), None] * wide)[..., None]
    part[:] = np.rint(part * (1 - share) + share * np.array(colour))
    return picture


@functools.lru_cache(1024)
def _covered(low: float, high: float, count: int, length: float) -> tuple[slice, NDArray[np.float64]]:
    """Returns which of ``count`` cells of an axis lie between ``low`` and ``high``, and how much of each, 0 to 1: float64."""
    edges = np.arange(count + 1) * (length / count)
    share = np.clip((np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)) * (count / length), 0, 1)
    found = np.flatnonzero(share)
    here = slice(found[0], found[-1] + 1) if found.size else slice(0, 0)
    return here, share[here]


LOOKS: dict[str, Callable[[], Look]] = {
    "colour": functools.partial(Colours, "colour", 1),
    "colour3": functools.partial(Colours, "colour3", 3),
    "bars": Bars,
    "blob": Blob,
    "noise": Noise,
}


def look(variant: str) -> Look:
    """Returns the look of a variant; of none, the plain one. Raises `UserError` with the nearest match."""
    if variant and variant not in LOOKS:
        raise UserError(f"CarRacing has no variant '{variant}'{nearest(variant, LOOKS)}")
    return LOOKS[variant]() if variant else Look()


class VariedCarRacing(gym.Wrapper[Frame, Floats, Any, Any], RecordConstructorArgs):
    """Gymnasium's own CarRacing with another look: ``worldmodels/CarRacing-Colour-v0`` and the like.

    Observations are its 96×96 state pixels, uint8 [96, 96, 3]; actions, rewards, tracks and ends are its own.

    Args:
        env: Gymnasium's CarRacing-v3.
        variant: a key of `LOOKS`.

    Raises:
        UserError: there is no such variant, the environment draws colours of its own (``domain_randomize``), or it shows itself
            in a window, where nothing can be painted over.
    """

    def __init__(self, env: gym.Env[Any, Any], variant: str) -> None:
        RecordConstructorArgs.__init__(self, variant=variant)
        super().__init__(env)
        if env.render_mode == "human":
            raise UserError(f"CarRacing's {variant} has no render mode 'human'; use 'rgb_array'")
        self._look = look(variant)
        if self._car_racing.domain_randomize:
            raise UserError(f"CarRacing's {variant} is a variant by itself; leave domain_randomize out")

    @property
    def _car_racing(self) -> CarRacing:
        found = self.env.unwrapped
        assert isinstance(found, CarRacing)
        return found

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        """Starts an episode: the seed decides the track, as without the wrapper, and how it looks."""
        self._look.begin(self._car_racing, seed)
        picture, info = self.env.reset(seed=seed, options=options)
        self._look.step()
        return self._look.paint(picture, self._car_racing), info

    def step(self, action: Floats) -> tuple[Frame, Any, bool, bool, dict[str, Any]]:
        """Drives a fiftieth of a second."""
        picture, *outcome, info = self.env.step(action)
        self._look.step()
        return self._look.paint(picture, self._car_racing), *outcome, info  # type: ignore[return-value]

    def render(self) -> Any:
        """Returns the picture of ``render_mode``, painted over as the observation is."""
        picture = self.env.render()
        return self._look.paint(picture, self._car_racing) if isinstance(picture, np.ndarray) else picture
