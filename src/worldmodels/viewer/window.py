"""The window: keys in, a session's picture out, in real time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pygame
import torch

from worldmodels.config import PlayConfig
from worldmodels.errors import EnvironmentFailure, UserError
from worldmodels.viewer.panels import BACKGROUND, TEXT, Panels, to_array
from worldmodels.viewer.parts import find_parts
from worldmodels.viewer.session import Session
from worldmodels.viewer.video import Encoder

WITHOUT_DISPLAY = "'worldmodels video' needs no display"
#: Frames that are left out at most before one is drawn.
MAX_LEFT_OUT = 2
HELP = (
    ("arrows", "play"),
    ("m", "you or the agent"),
    ("tab", "reality or the dream"),
    ("[  ]", "a colder or a hotter dream"),
    (".", "pause, and go on"),
    ("e", "one step"),
    ("backspace", "rewind the dream"),
    ("enter", "begin again"),
    ("n", "another seed"),
    ("r", "record, and stop recording"),
    ("h", "this help"),
    ("q, esc", "quit"),
)


def check_display() -> None:
    """Raises `EnvironmentFailure` where there is no display: SDL would open a window that nobody sees."""
    named = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in named):
        raise EnvironmentFailure(f"no window can be opened (DISPLAY is not set); {WITHOUT_DISPLAY}")


class Window:
    """One session in a window.

    Args:
        session: what is played.
        folder: where recordings go.

    Raises:
        EnvironmentFailure: there is no display.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self._folder = session, folder
        self._panels = Panels(session)
        try:
            pygame.display.init()
            self._display = pygame.display.set_mode(self._panels.size)
        except pygame.error as error:
            raise EnvironmentFailure(f"no window can be opened ({error}); {WITHOUT_DISPLAY}") from error
        pygame.display.set_caption(f"worldmodels: {session.spec.name}")
        self._recording: Encoder | None = None
        self._keys: set[str] = set()
        self.running, self.paused, self.helping = True, False, False
        self._note, self._note_frames = "h: help", 3 * session.spec.render_fps
        self._actions: dict[str, Callable[[], None]] = {
            "m": session.switch_player,
            "tab": session.switch_world,
            "[": lambda: session.change_temperature(-1),
            "]": lambda: session.change_temperature(1),
            ".": self._toggle_pause,
            "e": self._single_step,
            "return": session.restart,
            "n": lambda: session.restart(session.episode.seed + 1),
            "r": self._toggle_recording,
            "h": self._toggle_help,
            "q": self._quit,
            "escape": self._quit,
        }

    def _toggle_pause(self) -> None:
        self.paused = not self.paused

    def _single_step(self) -> None:
        self.paused = True
        self._session.step(frozenset(self._keys))

    def _toggle_help(self) -> None:
        self.helping = not self.helping

    def _quit(self) -> None:
        self.running = False

    def _say(self, note: str) -> None:
        self._note, self._note_frames = note, 3 * self._session.spec.render_fps

    def _toggle_recording(self) -> None:
        if self._recording is not None:
            self._recording.__exit__(None, None, None)
            self._recording = None
            self._say("recorded")
            return
        taken = (self._folder / f"{self._session.spec.name}-{number}.mp4" for number in range(1, 10_000))
        path = next(path for path in taken if not path.exists())
        self._recording = Encoder(path, self._panels.size, self._session.spec.render_fps)
        self._say(f"recording {path.name}")

    def handle(self, event: pygame.event.Event) -> None:
        """Answers a key or the window's closing."""
        if event.type == pygame.QUIT:
            self._quit()
        elif event.type == pygame.KEYUP:
            self._keys.discard(pygame.key.name(event.key))
        elif event.type == pygame.KEYDOWN:
            name = pygame.key.name(event.key)
            self._keys.add(name)
            if name in self._actions:
                try:
                    self._actions[name]()
                except UserError as error:  # there may be no dream yet
                    self._say(str(error))

    def advance(self) -> None:
        """Plays a step, unless paused."""
        if "backspace" in self._keys:
            self._session.rewind()
        elif not self.paused and not self.helping:
            self._session.step(frozenset(self._keys))
        self._note_frames -= 1

    def show(self) -> None:
        """Draws what there is to see."""
        note = "recording" if self._recording else "paused" if self.paused else ""
        surface = self._panels.draw(self._note if self._note_frames > 0 else note)
        if self._recording is not None:
            self._recording.write(to_array(surface))
        if self.helping:
            self._draw_help(surface)
        self._display.blit(surface, (0, 0))
        pygame.display.flip()

    def _draw_help(self, surface: pygame.Surface) -> None:
        font = pygame.font.Font(None, 22)
        box = pygame.Surface((380, 24 * len(HELP) + 16))
        box.fill(BACKGROUND)
        pygame.draw.rect(box, TEXT, box.get_rect(), 1)
        for row, (key, what) in enumerate(HELP):
            box.blit(font.render(key, True, TEXT), (14, 10 + 24 * row))
            box.blit(font.render(what, True, TEXT), (130, 10 + 24 * row))
        surface.blit(box, ((surface.get_width() - box.get_width()) // 2, (surface.get_height() - box.get_height()) // 2))

    def run(self) -> None:
        """Plays until the window is closed, at the task's own speed; where drawing can't follow, frames are left out."""
        duration = 1 / self._session.spec.render_fps
        due, left_out = time.monotonic(), 0
        while self.running:
            for event in pygame.event.get():
                self.handle(event)
            self.advance()
            due += duration
            late = time.monotonic() - due
            if late < 0 or left_out == MAX_LEFT_OUT or self._recording is not None:
                self.show()
                left_out = 0
            else:
                left_out += 1
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -1:  # after a pause of the whole machine nothing is made up for
                due = time.monotonic()

    def close(self) -> None:
        """Ends a recording and closes the window."""
        if self._recording is not None:
            self._toggle_recording()
        pygame.display.quit()


def play(settings: PlayConfig, target: str) -> None:
    """Opens a window on ``target``: a task's shipped agent, a model's or a run's folder.

    Raises:
        UserError: there is nothing to show.
        EnvironmentFailure: there is no display.
    """
    # One frame at a time gains nothing from threads and loses by waiting for them.
    torch.set_num_threads(1)
    check_display()
    session = Session(find_parts(target), settings)
    try:
        window = Window(session, Path.cwd())
        try:
            window.run()
        finally:
            window.close()
    finally:
        session.close()
