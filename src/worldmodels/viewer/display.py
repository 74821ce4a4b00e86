"""The display: found, or said why not; a window on it that can be resized, and fills the screen on request."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pygame

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.viewer import xlib
from worldmodels.viewer.layout import SMALLEST_WINDOW

WITHOUT_DISPLAY = "'worldmodels video TARGET --out FILE.mp4' makes a video without one"
#: Where a display of Linux is named, and SDL's driver for it.
DRIVERS = {"DISPLAY": "x11", "WAYLAND_DISPLAY": "wayland"}
#: How much of the screen a window takes at most where nobody asks for a size.
MOST_OF_SCREEN = 0.92


def open_display() -> None:
    """Finds a display for the window.

    SDL by itself would go on to drivers whose windows nobody sees: those are only taken where ``SDL_VIDEODRIVER`` asks for one.

    Raises:
        EnvironmentFailure: there is none.
    """
    if os.environ.get("SDL_VIDEODRIVER") or sys.platform != "linux":
        if why := _display_fails():
            raise EnvironmentFailure(f"no window can be opened ({why}); {WITHOUT_DISPLAY}")
        return
    named = [name for name in DRIVERS if os.environ.get(name)]
    for name in named:
        os.environ["SDL_VIDEODRIVER"] = DRIVERS[name]
        try:
            if not _display_fails():
                return
        finally:
            del os.environ["SDL_VIDEODRIVER"]
    why = "no display answers at " + " or ".join(f"{name}={os.environ[name]}" for name in named)
    raise EnvironmentFailure(f"no window can be opened ({why if named else 'DISPLAY is not set'}); {WITHOUT_DISPLAY}")


def _display_fails() -> str:
    """Opens SDL's display; returns what went wrong, or nothing."""
    pygame.display.quit()  # one that is open already may be of another driver
    try:
        pygame.display.init()
    except pygame.error as error:
        return str(error)
    return ""


class Display:
    """A window of the system's: one and the same until it is closed.

    Args:
        title: what stands above it.
        size: (width, height) in pixels.
        exactly: also where the screen is smaller.
        on_loss: called when the whole display is gone; the program ends when it returns.

    Raises:
        EnvironmentFailure: there is no display.
    """

    def __init__(self, title: str, size: tuple[int, int], exactly: bool, on_loss: Callable[[], None]) -> None:
        open_display()
        self.gone = False
        """The window has been destroyed from outside."""
        if pygame.display.get_driver() == "x11":
            xlib.tell(self._note_gone, on_loss)
        self._full = False
        try:
            self._window = pygame.Window(title, size if exactly else _on_screen(size), resizable=True)
            self._window.minimum_size = SMALLEST_WINDOW
        except pygame.error as error:
            raise EnvironmentFailure(f"no window can be opened ({error}); {WITHOUT_DISPLAY}") from error

    @property
    def surface(self) -> pygame.Surface:
        """What is drawn on, of the size that the window has now."""
        return self._window.get_surface()

    def _note_gone(self) -> None:
        self.gone = True

    def show(self) -> None:
        """Shows what has been drawn."""
        self._window.flip()

    def switch_full_screen(self) -> None:
        """Fills the screen, or goes back to the window's place and size before."""
        self._full = not self._full
        if self._full:
            self._window.set_fullscreen(desktop=True)
        else:
            self._window.set_windowed()

    def close(self) -> None:
        """Closes the window."""
        self._window.destroy()
        pygame.display.quit()


def _on_screen(size: tuple[int, int]) -> tuple[int, int]:
    """Returns a size, or as much less in the same shape as the screen has room for."""
    screen = pygame.display.get_desktop_sizes()[0]
    scale = min(1.0, *(MOST_OF_SCREEN * there / wanted for there, wanted in zip(screen, size, strict=True)))
    return round(size[0] * scale), round(size[1] * scale)
