"""The row of buttons below the pictures, and the slider of the temperature: what the mouse reaches."""

from __future__ import annotations

import math

import pygame

from worldmodels.viewer.look import ACCENT, BACKGROUND, DIM, EDGE, RAISED, TEXT, width_of, write
from worldmodels.viewer.session import HIGHEST, LOWEST, Session


class Controls:
    """Where the buttons are is decided when they are drawn."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buttons: dict[str, pygame.Rect] = {}
        self._slider = pygame.Rect(0, 0, 0, 0)
        self._slides = False

    def draw(self, surface: pygame.Surface, row: pygame.Rect, text: int, paused: bool, mouse: tuple[int, int]) -> None:
        """Draws the row into ``row`` of a surface; ``mouse`` is where the mouse is."""
        session, gap = self._session, max(4, text // 2)
        # What a button says changes with what it does; its place does not.
        labels = {
            "pause": (("pause", "go on"), paused, "p"),
            "again": (("again",), False, "enter"),
            "player": (("let the agent play", "play yourself"), session.player == "agent", "m"),
            "world": (("to the dream", "to reality"), session.world == "dream", "tab"),
            "help": (("help",), False, "h"),
        }
        if not session.agent.can_dream:
            del labels["world"]
        slider = 7 * text if session.agent.can_dream else 0
        heat = f"τ {session.temperature:.2f}"
        # What does not fit is left out in this order: the keys' names, then a part of the type.
        for hints, size in ((share > 0.8, round(share * text)) for share in (0.85, 0.8, 0.7, 0.6)):
            widths = {
                name: max(width_of(label, size) for label in said) + hints * (width_of(key, size) + size // 2) + size
                for name, (said, _, key) in labels.items()
            }
            needed = sum(widths.values()) + gap * len(widths) + (slider + width_of("τ 0.00", size) + size if slider else 0)
            if needed <= row.width:
                break
        left = row.left
        self._buttons = {}
        for name, (said, which, key) in labels.items():
            button = pygame.Rect(left, row.top, widths[name], row.height)
            self._buttons[name] = button
            pygame.draw.rect(surface, EDGE if button.collidepoint(mouse) else RAISED, button, border_radius=4)
            rest = max(width_of(label, size) for label in said) - width_of(said[which], size)
            after = write(surface, said[which], (left + size // 2 + rest // 2, row.centery), size, TEXT).right
            if hints:
                write(surface, key, (after + size // 2, row.centery), size, DIM)
            left = button.right + gap
        if slider:
            self._draw_slider(surface, pygame.Rect(row.right - slider, row.top, slider, row.height), heat, size)

    def _draw_slider(self, surface: pygame.Surface, rect: pygame.Rect, words: str, size: int) -> None:
        self._slider = rect
        write(surface, words, (rect.left - width_of(words, size) - size // 2, rect.centery), size, TEXT)
        track = pygame.Rect(rect.left, rect.centery - 2, rect.width, 4)
        share = math.log(self._session.temperature / LOWEST) / math.log(HIGHEST / LOWEST)
        share = min(max(share, 0.0), 1.0)
        pygame.draw.rect(surface, EDGE, track, border_radius=2)
        pygame.draw.rect(surface, ACCENT, (track.left, track.top, round(share * track.width), 4), border_radius=2)
        knob = (track.left + round(share * track.width), track.centery)
        pygame.draw.circle(surface, ACCENT, knob, max(4, size // 2))
        pygame.draw.circle(surface, BACKGROUND, knob, max(2, size // 5))

    def handle(self, event: pygame.event.Event) -> str:
        """Answers the mouse: moves the slider; returns the command of the button that is pressed, or nothing."""
        if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            self._slides = self.slider_at(event.pos)
            if self._slides:
                self._slide(event.pos[0])
            return next((name for name, button in self._buttons.items() if button.collidepoint(event.pos)), "")
        if event.type == pygame.MOUSEBUTTONUP:
            self._slides = False
        elif event.type == pygame.MOUSEMOTION and self._slides:
            self._slide(event.pos[0])
        return ""

    def slider_at(self, where: tuple[int, int]) -> bool:
        """Whether the slider is there."""
        return self._slider.inflate(8, 0).collidepoint(where)

    def _slide(self, x: int) -> None:
        share = (x - self._slider.left) / max(1, self._slider.width)
        self._session.set_temperature(LOWEST * (HIGHEST / LOWEST) ** min(max(share, 0.0), 1.0))
