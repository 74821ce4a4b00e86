"""The window: keys in, a session's picture out, in real time."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pygame

from worldmodels.agent.load import load
from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.config import PlayConfig
from worldmodels.runtime.threads import threads_for
from worldmodels.viewer.panels import BACKGROUND, TEXT, Panels, to_array
from worldmodels.viewer.recording import Recording, free_name
from worldmodels.viewer.session import Session

WITHOUT_DISPLAY = "'worldmodels video TARGET --out FILE.mp4' makes a video without one"
#: Where a display of Linux is named, and SDL's driver for it.
DRIVERS = {"DISPLAY": "x11", "WAYLAND_DISPLAY": "wayland"}
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
    try:
        pygame.display.init()
    except pygame.error as error:
        return str(error)
    return ""


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
        open_display()
        try:
            self._display = pygame.display.set_mode(self._panels.size)
        except pygame.error as error:
            raise EnvironmentFailure(f"no window can be opened ({error}); {WITHOUT_DISPLAY}") from error
        pygame.display.set_caption(f"worldmodels: {session.spec.name}")
        self._recording: Recording | None = None
        self._ending: list[Recording] = []
        self.recorded: list[Path] = []
        """The recordings that are whole."""
        self.failures: list[str] = []
        """Why others are not."""
        self._keys: set[str] = set()
        self.running, self.paused, self.helping = True, False, False
        self._note, self._note_frames = "h: help", 3 * session.spec.play.render_fps
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
        self._note, self._note_frames = note, 3 * self._session.spec.play.render_fps

    def _toggle_recording(self) -> None:
        if self._recording is not None:
            self._recording.end()
            self._ending.append(self._recording)
            self._recording = None
            return
        try:
            path = free_name(self._folder, self._session.spec.name)
        except EnvironmentFailure as error:
            self._say_failure(str(error))
            return
        self._recording = Recording(path, self._panels.size, self._session.spec.play.render_fps)

    def _look_after_recordings(self) -> None:
        """Says what came of those that are over."""
        for recording in [*self._ending, *([self._recording] if self._recording else [])]:
            if not recording.over:
                continue
            if recording is self._recording:
                self._recording = None
            else:
                self._ending.remove(recording)
            if recording.failure is None:
                self.recorded.append(recording.path)
                self._say(f"recorded {recording.words}")
            else:
                self._say_failure(str(recording.failure))

    def _say_failure(self, why: str) -> None:
        self.failures.append(why)
        self._say(f"not recorded: {why}".replace(f"{self._folder}{os.sep}", ""))

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
        self._look_after_recordings()

    def show(self) -> None:
        """Draws what there is to see."""
        note = f"recording {self._recording.words}" if self._recording else "paused" if self.paused else ""
        surface = self._panels.draw(self._note if self._note_frames > 0 else note)
        if self._recording is not None:
            self._recording.add(to_array(surface))
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
        duration = 1 / self._session.spec.play.render_fps
        due, left_out = time.monotonic(), 0
        while self.running:
            for event in pygame.event.get():
                self.handle(event)
            self.advance()
            due += duration
            late = time.monotonic() - due
            if late < 0 or left_out == MAX_LEFT_OUT:
                self.show()
                left_out = 0
            else:
                left_out += 1
                if self._recording is not None:
                    self._recording.skip()
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -1:  # after a pause of the whole machine nothing is made up for
                due = time.monotonic()

    def close(self) -> None:
        """Closes the window and waits until its recordings are whole."""
        pygame.display.quit()
        if self._recording is not None:
            self._toggle_recording()
        for recording in self._ending:
            recording.wait()
        self._look_after_recordings()


def play(settings: PlayConfig, target: str, episodes: Path | None = None) -> None:
    """Opens a window on ``target``: a task's shipped agent, a model's or a run's folder; prints the recordings' paths.

    Args:
        settings: which world is opened, and who plays.
        target: see `load`.
        episodes: the folder that each episode played in reality is written into; None: none is.

    Raises:
        UserError: there is nothing to show.
        EnvironmentFailure: there is no display, or a recording failed.
    """
    with threads_for(1):
        agent = load(target, finished=False)
    open_display()
    with threads_for(1), contextlib.closing(Session(agent, settings, episodes)) as session:
        window = Window(session, Path.cwd())
        try:
            window.run()
        finally:
            window.close()
            session.keep_episode()
            for path in [*window.recorded, *session.kept]:
                print(f"recorded {path}")
    if window.failures:
        raise EnvironmentFailure("; ".join(window.failures))
