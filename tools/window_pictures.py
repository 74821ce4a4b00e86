"""Takes pictures of the window for `results/viewer`: python -m tools.window_pictures. No display is needed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before pygame looks for a display.
os.environ["SDL_VIDEODRIVER"] = "dummy"

import pygame

from worldmodels.agent.load import load
from worldmodels.config import PlayConfig
from worldmodels.viewer.session import Session
from worldmodels.viewer.window import Window

FOLDER = Path("results/viewer")


@contextlib.contextmanager
def window(task: str, **settings: object) -> Iterator[Window]:
    """Opens a window on a shipped agent."""
    config = PlayConfig(**settings)  # type: ignore[arg-type]
    with contextlib.closing(Session(load(task), config)) as session:
        opened = Window(session, Path.cwd(), config)
        try:
            yield opened
        finally:
            opened.close()


def press(opened: Window, key: int, steps: int = 0) -> None:
    """Presses a key for so many steps."""
    scancode = {pygame.K_LEFT: pygame.KSCAN_LEFT, pygame.K_RIGHT: pygame.KSCAN_RIGHT}.get(key, 0)
    opened.handle(pygame.event.Event(pygame.KEYDOWN, key=key, scancode=scancode))
    for _ in range(steps):
        opened.advance()
    opened.handle(pygame.event.Event(pygame.KEYUP, key=key, scancode=scancode))


def keep(opened: Window, name: str) -> None:
    """Writes what the window shows."""
    opened.show()
    pygame.image.save(opened.surface, FOLDER / f"{name}.png")


def start() -> None:
    """The card before the first step."""
    with window("take-cover", seed=3) as opened:
        keep(opened, "start")


def take_cover() -> None:
    """The agent in reality, and the help over it."""
    with window("take-cover", player="agent", seed=3) as opened:
        press(opened, pygame.K_SPACE, 200)
        keep(opened, "take-cover")
        press(opened, pygame.K_h)
        keep(opened, "help")


def end() -> None:
    """The card after the last step."""
    with window("take-cover", seed=3) as opened:
        press(opened, pygame.K_RIGHT, 1_000)
        keep(opened, "end")


def dream() -> None:
    """The agent in the dream."""
    with window("take-cover", world="dream", player="agent", seed=3) as opened:
        press(opened, pygame.K_SPACE, 100)
        keep(opened, "dream")


def car_racing() -> None:
    """A person in a bend."""
    with window("car-racing", seed=1) as opened:
        press(opened, pygame.K_UP, 90)
        opened.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_UP, scancode=pygame.KSCAN_UP))
        press(opened, pygame.K_LEFT, 4)
        keep(opened, "car-racing")


def small() -> None:
    """A small window."""
    with window("car-racing", player="agent", seed=1, size="480x360") as opened:
        press(opened, pygame.K_SPACE, 100)
        keep(opened, "small")
        press(opened, pygame.K_h)
        keep(opened, "small-help")


PICTURES: tuple[Callable[[], None], ...] = (start, take_cover, end, dream, car_racing, small)


def main() -> None:
    """Takes all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for take in PICTURES:
        take()


if __name__ == "__main__":
    main()
