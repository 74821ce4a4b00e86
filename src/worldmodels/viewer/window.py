"""The window: keys, mouse and gamepad in, a session's picture out, in real time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pygame

from worldmodels.agent.load import load
from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.config import PlayConfig
from worldmodels.runtime import progress
from worldmodels.runtime.threads import threads_for
from worldmodels.viewer.cards import Card, draw_card, end_card, help_card, in_words, start_card
from worldmodels.viewer.controls import Controls
from worldmodels.viewer.display import Display, open_display
from worldmodels.viewer.gamepad import Gamepads
from worldmodels.viewer.keyboard import Keyboard
from worldmodels.viewer.layout import USUAL_TEXT, caption_of, gap_of, text_of
from worldmodels.viewer.look import BACKGROUND
from worldmodels.viewer.panels import Panels, scaled, to_array
from worldmodels.viewer.recording import Recording, free_name
from worldmodels.viewer.session import Session

#: Frames that are left out at most before one is drawn.
MAX_LEFT_OUT = 2
#: What a key does beside beginning, on the card before the first step. The others only begin.
ALSO = ("player", "world", "colder", "hotter", "record", "help", "step")


class Window:
    """One session in a window. It waits, with a card, until somebody is there.

    Args:
        session: what is played.
        folder: where recordings go.
        settings: the window's size and speed.

    Raises:
        EnvironmentFailure: there is no display.
    """

    def __init__(self, session: Session, folder: Path, settings: PlayConfig | None = None) -> None:
        settings = settings or PlayConfig()
        self._session, self._folder = session, folder
        self._fps = settings.fps or session.spec.play.render_fps
        self._panels, self._controls = Panels(session), Controls(session)
        wide, high = self._panels.usual_size
        size = settings.pixels or (wide, high + _row_of(USUAL_TEXT))
        self._display = Display(f"worldmodels: {session.spec.name}", size, exactly=bool(settings.size))
        self._recording: Recording | None = None
        self._recorded_size = (0, 0)
        self._ending: list[Recording] = []
        self.recorded: list[Path] = []
        """The recordings that are whole."""
        self.failures: list[str] = []
        """Why others are not."""
        self._keyboard, self._gamepads = Keyboard(session.spec.play.keys), Gamepads()
        self.running, self.begun, self.paused, self.helping = True, False, False, False
        self._note, self._note_frames = "", 0
        self._commands: dict[str, Callable[[], None]] = {
            "player": session.switch_player,
            "world": session.switch_world,
            "colder": lambda: session.change_temperature(-1),
            "hotter": lambda: session.change_temperature(1),
            "pause": self._toggle_pause,
            "step": self._single_step,
            "again": session.restart,
            "next seed": lambda: session.restart(session.episode.seed + 1),
            "record": self._toggle_recording,
            "help": self._toggle_help,
            "full screen": self._display.switch_full_screen,
            "quit": self._quit,
        }

    @property
    def card(self) -> Card | None:
        """What is told over the pictures."""
        if self.helping:
            return help_card(self._session.spec, self._gamepads.present)
        if not self.begun:
            return start_card(self._session)
        return end_card(self._session) if self._session.episode.over else None

    @property
    def held(self) -> dict[str, float]:
        """How far the task's keys are down, by the keyboard or a gamepad."""
        return {**self._gamepads.held, **self._keyboard.held}

    def _toggle_pause(self) -> None:
        self.paused = not self.paused

    def _single_step(self) -> None:
        self.paused = True
        self._session.step(self.held)

    def _toggle_help(self) -> None:
        self.helping = not self.helping

    def _quit(self) -> None:
        self.running = False

    def _say(self, note: str) -> None:
        self._note, self._note_frames = note, 3 * self._fps

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
        self._recorded_size = self._panels.usual_size
        self._recording = Recording(path, self._recorded_size, self._fps)

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
        """Answers a key, the mouse, a gamepad or the window's closing."""
        if event.type == pygame.QUIT:
            self._quit()
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._keyboard.release_all()
        elif event.type == pygame.KEYUP:
            self._keyboard.release(event)
        elif event.type == pygame.KEYDOWN:
            self._do(self._keyboard.press(event), begins=True)
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEMOTION):
            pressed = event.type == pygame.MOUSEBUTTONDOWN and event.button == 1
            on_slider = pressed and self._controls.slider_at(event.pos)
            self._do(self._controls.handle(event), begins=pressed and not on_slider)
        else:
            command = self._gamepads.handle(event)
            # A is space to a game that goes on, and else what begins.
            command = ("again" if self._session.episode.over else "") if command == "a" else command
            self._do(command, begins=event.type in (pygame.CONTROLLERBUTTONDOWN, pygame.JOYBUTTONDOWN))

    def _do(self, command: str, begins: bool) -> None:
        """Does what is asked for; on the first card anything begins."""
        if not self.begun and begins and command not in ("quit", "full screen"):
            self.begun = True
            command = command if command in ALSO else ""
        if command:
            try:
                self._commands[command]()
            except UserError as error:  # there may be no dream yet
                self._say(str(error))

    def advance(self) -> None:
        """Plays a step, unless paused."""
        if self._keyboard.rewinds:
            self._session.rewind()
        elif self.begun and not self.paused and not self.helping:
            self._session.step(self.held)
        self._note_frames -= 1
        self._look_after_recordings()

    def show(self) -> None:
        """Draws what there is to see: the pictures, and below them the buttons."""
        note = f"recording {self._recording.words}" if self._recording else "paused" if self.paused else ""
        surface = self._display.surface
        width, height = surface.get_size()
        text = text_of((width, height))
        row = _row_of(text)
        pictures = self._panels.draw((width, max(1, height - row)), self._note if self._note_frames > 0 else note)
        if self._recording is not None:
            self._recording.add(to_array(self._recorded(pictures)))
        surface.fill(BACKGROUND)
        surface.blit(pictures, (0, 0))
        gap = gap_of(text)
        buttons = pygame.Rect(gap, height - row, width - 2 * gap, caption_of(text))
        self._controls.draw(surface, buttons, text, self.paused, pygame.mouse.get_pos())
        card = self.card
        if card is not None:
            draw_card(surface, self._panels.pictures, card, text)
        pygame.display.flip()

    def _recorded(self, pictures: pygame.Surface) -> pygame.Surface:
        """Returns the pictures in the recording's size, whatever the window's is by now."""
        if pictures.get_size() == self._recorded_size:
            return pictures
        surface = pygame.Surface(self._recorded_size)
        surface.fill(BACKGROUND)
        fitted = scaled(pictures, self._recorded_size)
        surface.blit(fitted, fitted.get_rect(center=surface.get_rect().center))
        return surface

    def run(self) -> None:
        """Plays until the window is closed, at its speed; where drawing can't follow, frames are left out."""
        duration = 1 / self._fps
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


def _row_of(text: int) -> int:
    """Returns the height of the row of buttons, with the space below it."""
    return caption_of(text) + gap_of(text)


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
        window = Window(session, Path.cwd(), settings)
        if progress.loudness != "quiet":
            print(in_words(help_card(agent.task, with_gamepad=False)), flush=True)
        try:
            window.run()
        finally:
            window.close()
            session.keep_episode()
            for path in [*window.recorded, *session.kept]:
                print(f"recorded {path}")
    if window.failures:
        raise EnvironmentFailure("; ".join(window.failures))
