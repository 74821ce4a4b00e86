"""The row of buttons below the pictures, and the slider of the temperature: what the mouse reaches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pygame

from worldmodels.viewer.look import ACCENT, BACKGROUND, DIM, EDGE, RAISED, SMALLEST, TEXT, width_of, write
from worldmodels.viewer.session import HIGHEST, LOWEST, Session

#: What a button is called before and after it is pressed, the same in fewer words, and its key.
BUTTONS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "pause": (("pause", "go on"), ("pause", "go on"), "p"),
    "again": (("again",), ("again",), "enter"),
    "player": (("let the agent play", "play yourself"), ("agent", "you"), "m"),
    "world": (("to the dream", "to reality"), ("dream", "reality"), "tab"),
    "help": (("help",), ("help",), "h"),
}
#: What is left out first where there is hardly any room: each has a key.
LEAST_NEEDED = ("again", "world", "player", "pause", "help")
#: The slider's length, in sizes of the type: as long as there is room for.
LONG, SHORT = 7, 4


@dataclass(frozen=True)
class _Row:
    """One way to draw the row; sizes are pixels."""

    words: dict[str, tuple[str, ...]]
    """The buttons, from left to right, and what each may say."""
    hints: bool
    """The keys stand on the buttons."""
    size: int
    """Of the type."""
    slider: int
    """The slider's length; 0: there is none."""
    gap: int

    @property
    def widths(self) -> dict[str, int]:
        """How wide each button is, whatever it says."""
        return {
            name: max(width_of(label, self.size) for label in said)
            + self.hints * (width_of(BUTTONS[name][2], self.size) + self.size // 2)
            + self.size
            for name, said in self.words.items()
        }

    @property
    def width(self) -> int:
        """How wide the whole row is."""
        heat = self.slider + width_of(f"τ {HIGHEST:.2f}", self.size) + 2 * self.size if self.slider else 0
        return sum(self.widths.values()) + self.gap * max(0, len(self.words) - 1) + heat


class Controls:
    """Where the buttons are is decided when they are drawn."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buttons: dict[str, pygame.Rect] = {}
        self._slider = pygame.Rect(0, 0, 0, 0)
        self._slides = False

    def draw(self, surface: pygame.Surface, row: pygame.Rect, text: int, paused: bool, mouse: tuple[int, int]) -> None:
        """Draws the row into ``row`` of a surface, as much of it as fits; ``mouse`` is where the mouse is."""
        self.hide()
        how = next((how for how in self._ways(text) if how.width <= row.width), None)
        if how is None:
            return
        # What a button says changes with what it does; its place does not.
        second = {"pause": paused, "player": self._session.player == "agent", "world": self._session.world == "dream"}
        left, size, widths = row.left, how.size, how.widths
        for name, said in how.words.items():
            button = pygame.Rect(left, row.top, widths[name], row.height)
            self._buttons[name] = button
            pygame.draw.rect(surface, EDGE if button.collidepoint(mouse) else RAISED, button, border_radius=4)
            label = said[second.get(name, False)]
            rest = max(width_of(each, size) for each in said) - width_of(label, size)
            after = write(surface, label, (left + size // 2 + rest // 2, row.centery), size, TEXT).right
            if how.hints:
                write(surface, BUTTONS[name][2], (after + size // 2, row.centery), size, DIM)
            left = button.right + how.gap
        if how.slider:
            self._draw_slider(surface, pygame.Rect(row.right - how.slider - size // 2, row.top, how.slider, row.height), size)

    def hide(self) -> None:
        """Nothing is there to be pressed until it is drawn again."""
        self._buttons, self._slider = {}, pygame.Rect(0, 0, 0, 0)

    def release(self) -> None:
        """The window has lost the mouse, and will not be told that its button goes up."""
        self._slides = False

    def _ways(self, text: int) -> Iterator[_Row]:
        """Yields ways to draw the row, the fullest first: what does not fit is left out in this order."""
        names = [name for name in BUTTONS if name != "world" or self._session.agent.can_dream]
        full, short = {name: BUTTONS[name][0] for name in names}, {name: BUTTONS[name][1] for name in names}
        gap = max(4, text // 2)
        sizes = [max(SMALLEST, round(share * text)) for share in (0.85, 0.8, 0.7)]
        sliders = (LONG, SHORT) if self._session.agent.can_dream else (0,)
        yield from (_Row(full, True, size, sliders[0] * text, gap) for size in sizes[:2])
        yield from (_Row(full, False, size, sliders[0] * text, gap) for size in sizes)
        yield from (_Row(short, False, size, slider * text, gap) for slider in sliders for size in sizes)
        for left_out in range(len(LEAST_NEEDED)):
            rest = {name: said for name, said in short.items() if name not in LEAST_NEEDED[:left_out]}
            yield from (_Row(rest, False, size, 0, gap) for size in (*sizes, SMALLEST))

    def _draw_slider(self, surface: pygame.Surface, rect: pygame.Rect, size: int) -> None:
        self._slider = rect
        words = f"τ {self._session.temperature:.2f}"
        write(surface, words, (rect.left - width_of(words, size) - size, rect.centery), size, TEXT)
        track = pygame.Rect(rect.left, rect.centery - 2, rect.width, 4)
        share = math.log(self._session.temperature / LOWEST) / math.log(HIGHEST / LOWEST)
        share = min(max(share, 0.0), 1.0)
        pygame.draw.rect(surface, EDGE, track, border_radius=2)
        pygame.draw.rect(surface, ACCENT, (track.left, track.top, round(share * track.width), 4), border_radius=2)
        knob = (track.left + round(share * track.width), track.centery)
        pygame.draw.circle(surface, ACCENT, knob, max(4, size // 2))
        pygame.draw.circle(surface, BACKGROUND, knob, max(2, size // 5))

    def handle(self, event: pygame.event.Event) -> str:
        """Answers the mouse: moves the slider, or returns the command of the button that is pressed, or nothing."""
        if event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
            self._slides = self.slider_at(event.pos)
            if not self._slides:
                return next((name for name, button in self._buttons.items() if button.collidepoint(event.pos)), "")
            self._slide(event.pos[0])
        elif event.type == pygame.MOUSEMOTION:
            self._slides = self._slides and bool(event.buttons[0])  # it may have gone up where nobody told the window
            if self._slides:
                self._slide(event.pos[0])
        elif event.type == pygame.MOUSEBUTTONUP and event.button == pygame.BUTTON_LEFT:
            self._slides = False
        return ""

    def slider_at(self, where: tuple[int, int]) -> bool:
        """Whether the slider is there."""
        return bool(self._slider.width) and self._slider.inflate(8, 0).collidepoint(where)

    def _slide(self, x: int) -> None:
        share = (x - self._slider.left) / max(1, self._slider.width)
        self._session.set_temperature(LOWEST * (HIGHEST / LOWEST) ** min(max(share, 0.0), 1.0))
