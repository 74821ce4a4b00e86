"""The window: keys, mouse and gamepad in, a session's picture out, in real time."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pygame

from worldmodels.agent.load import load
from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.files import take_name
from worldmodels.config import PlayConfig
from worldmodels.runtime import interrupt, progress
from worldmodels.runtime.threads import threads_for
from worldmodels.viewer.cards import Card, draw_card, end_card, help_card, in_words, start_card
from worldmodels.viewer.controls import Controls
from worldmodels.viewer.display import Display, open_display
from worldmodels.viewer.gamepad import Gamepads
from worldmodels.viewer.keyboard import Keyboard
from worldmodels.viewer.layout import SMALLEST_WINDOW, USUAL_TEXT, caption_of, gap_of, text_of
from worldmodels.viewer.look import BACKGROUND, SMALLEST, width_of, wrapped, write
from worldmodels.viewer.panels import Panels, blit_fitted, to_array
from worldmodels.viewer.recording import Recording
from worldmodels.viewer.session import Session

#: Frames that are left out at most before one is drawn.
MAX_LEFT_OUT = 2
#: What a key does beside beginning, on the card before the first step. The others only begin.
ALSO = ("player", "world", "colder", "hotter", "record", "help", "step")
#: Commands under which help stays where it is. Any other one is an answer to what it covers.
KEEP_HELP = ("help", "full screen", "colder", "hotter", "record", "rewind", "quit")
#: Any of these begins, and the wheel does not.
MOUSE_BUTTONS = (pygame.BUTTON_LEFT, pygame.BUTTON_MIDDLE, pygame.BUTTON_RIGHT)
TOO_SMALL = "make this window larger"


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
        self._display = Display(
            f"worldmodels: {session.spec.name}", size, exactly=bool(settings.size), on_loss=self._end_at_once
        )
        self._recording: Recording | None = None
        self._recorded_size = (0, 0)
        self._ending: list[Recording] = []
        self.recorded: list[Path] = []
        """The recordings that are whole."""
        self.failures: list[str] = []
        """Why others are not."""
        self._keyboard, self._gamepads = Keyboard(session.spec.play.keys), Gamepads()
        self.running, self.begun, self.paused, self.helping = True, False, False, False
        self._left = False  # paused because the window lost the focus
        self._note, self._note_frames = "", 0
        self._commands: dict[str, Callable[[], None]] = {
            "player": session.switch_player,
            "world": session.switch_world,
            "colder": lambda: session.change_temperature(-1),
            "hotter": lambda: session.change_temperature(1),
            "pause": self._toggle_pause,
            "step": self._single_step,
            "again": lambda: self._begin_episode(session.episode.seed),
            "next seed": lambda: self._begin_episode(session.episode.seed + 1),
            "rewind": self._begin_rewinding,
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

    @property
    def surface(self) -> pygame.Surface:
        """What was drawn last."""
        return self._display.surface

    def _toggle_pause(self) -> None:
        # Nothing goes on after the end, and a pause of it would only be found in the next episode.
        self.paused, self._left = not self.paused and not self._session.episode.over, False

    def _lose_focus(self) -> None:
        """Nothing that goes up is told of any more; a person who plays has something else in front of them."""
        self._keyboard.release_all()
        self._controls.release()
        playing = self.begun and not self.paused and not self.helping and not self._session.episode.over
        if playing and self._session.player == "human":
            self.paused = self._left = True

    def _begin_episode(self, seed: int) -> None:
        self._session.restart(seed)
        self.paused = False

    def _begin_rewinding(self) -> None:
        if self._session.world == "real":
            self._say("only the dream can be rewound")

    def _single_step(self) -> None:
        self.paused, self._left = not self._session.episode.over, False
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
            path = take_name(self._folder, (f"{self._session.spec.name}-{number}.mp4" for number in itertools.count(1)))
        except EnvironmentFailure as error:
            self._say_failure(str(error))
            return
        self._recorded_size = self._panels.usual_size
        self._recording = Recording(path, self._recorded_size, self._fps)
        self._note_frames = 0

    def _look_after_recordings(self) -> None:
        """Says what came of those that are over."""
        for recording in [*self._ending, *([self._recording] if self._recording else [])]:
            if not recording.over:
                continue
            if recording is self._recording:
                self._recording = None
            else:
                self._ending.remove(recording)
            if recording.empty:
                self._say("nothing recorded: it ended before its first picture")
            elif recording.failure is None:
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
            self._lose_focus()
        elif event.type == pygame.KEYUP:
            self._keyboard.release(event)
        elif event.type == pygame.KEYDOWN:
            self._do(self._keyboard.press(event), begins=self._keyboard.begins(event))
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEMOTION):
            pressed = event.type == pygame.MOUSEBUTTONDOWN and event.button in MOUSE_BUTTONS
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
            self.helping = self.helping and command in KEEP_HELP
            try:
                self._commands[command]()
            except UserError as error:  # there may be no dream yet
                self._say(str(error))

    def advance(self) -> None:
        """Plays a step, unless paused."""
        if self.begun and not self.helping:
            if self._keyboard.rewinds and self._session.world == "dream":
                self._session.rewind()
            elif not self.paused:
                self._session.step(self.held)
        self._note_frames -= 1
        self._look_after_recordings()

    @property
    def _notes(self) -> tuple[str, ...]:
        """What is said below the score: wordings, the fullest first."""
        if self._note_frames > 0:
            return (self._note,)
        if self._recording is not None:
            return (f"recording {self._recording.words}", "recording")
        if self._left:
            return ("paused: the window lost the focus; p: go on", "paused: no focus; p: go on", "paused: p")
        return ("paused; p: go on", "paused: p") if self.paused else ()

    def show(self) -> None:
        """Draws what there is to see: the pictures, and below them the buttons."""
        picture, surface = self._session.picture(), self._display.surface
        if self._recording is not None:
            # In its own size, whatever the window's is by now, and without what the window says to whoever sits before it.
            self._recording.add(to_array(self._panels.draw(self._recorded_size, picture=picture)))
        width, height = surface.get_size()
        surface.fill(BACKGROUND)
        if width < SMALLEST_WINDOW[0] or height < SMALLEST_WINDOW[1]:
            blit_fitted(surface, picture.screen, surface.get_rect())
            self._controls.hide()
            _ask_for_more(surface)
            self._display.show()
            return
        text = text_of((width, height))
        row, gap = _row_of(text), gap_of(text)
        surface.blit(self._panels.draw((width, height - row), self._notes, picture), (0, 0))
        buttons = pygame.Rect(gap, height - row, width - 2 * gap, caption_of(text))
        self._controls.draw(surface, buttons, text, self.paused, pygame.mouse.get_pos())
        card = self.card
        if card is not None:
            draw_card(surface, self._panels.pictures, card, text)
        self._display.show()

    def run(self) -> None:
        """Plays until the window is closed, at its speed; where drawing can't follow, frames are left out."""
        duration = 1 / self._fps
        due, left_out = time.monotonic(), 0
        while self.running and not self._display.gone:
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
        self._display.close()
        self._finish_recordings()

    def _finish_recordings(self) -> None:
        if self._recording is not None:
            self._toggle_recording()
        for recording in self._ending:
            recording.wait()
        self._look_after_recordings()

    def _end_at_once(self) -> None:
        """The display is gone: what is recorded is kept. The library that has lost it would end the program after this."""
        self._finish_recordings()
        self._session.keep_episode()
        self._session.close()
        for path in [*self.recorded, *self._session.kept]:
            print(f"recorded {path}", flush=True)
        print("worldmodels: the display is gone", file=sys.stderr, flush=True)
        os._exit(EnvironmentFailure.exit_code)


def _row_of(text: int) -> int:
    """Returns the height of the row of buttons, with the space below it."""
    return caption_of(text) + gap_of(text)


def _ask_for_more(surface: pygame.Surface) -> None:
    """Says that a window is too small for all that belongs into it, as far as there is room for that."""
    lines, line = wrapped(TOO_SMALL, SMALLEST, surface.get_width()), round(1.4 * SMALLEST)
    band = pygame.Rect(0, 0, surface.get_width(), len(lines) * line)
    if band.height <= surface.get_height() and max(width_of(words, SMALLEST) for words in lines) <= band.width:
        pygame.draw.rect(surface, BACKGROUND, band)
        for index, words in enumerate(lines):
            write(surface, words, ((band.width - width_of(words, SMALLEST)) // 2, index * line + line // 2), SMALLEST)


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
        agent = load(target, finished=False).varied(settings.variant)
    open_display()
    if progress.loudness != "quiet":
        print(in_words(help_card(agent.task, with_gamepad=False)), flush=True)
        print(f"opening {agent.task.name} …", flush=True)
    # A signal in the midst of compiling (Numba's, of CarRacing) would be lost, or end in a traceback.
    with threads_for(1), interrupt.loading():
        opened = Session(agent, settings, episodes)
    with threads_for(1), contextlib.closing(opened) as session:
        window = Window(session, Path.cwd(), settings)
        try:
            window.run()
        finally:
            try:
                window.close()
            finally:  # who is in a hurry gives up the video, and keeps the episode
                session.keep_episode()
            for path in [*window.recorded, *session.kept]:
                print(f"recorded {path}")
    if window.failures:
        raise EnvironmentFailure("; ".join(window.failures))
