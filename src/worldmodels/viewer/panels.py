"""The picture of a session: panels side by side, and below them the score, who acts and the action as bars.

Drawn on a pygame surface that needs no display, so the window and the video show the same.
"""

from __future__ import annotations

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import numpy as np
import pygame
from numpy.typing import NDArray

from worldmodels.base.types import Frame
from worldmodels.viewer.session import Session

#: Pixels: a panel's height, the captions' above it, the status's below it, and the gap between two panels.
PANEL, CAPTION, STATUS, GAP = 256, 22, 64, 8
BACKGROUND, TEXT, DIM, ACCENT = (24, 24, 28), (235, 235, 235), (150, 150, 160), (90, 170, 250)


class Panels:
    """Draws a session. ``size`` is (width, height) in pixels, both even, and does not change while it lives."""

    def __init__(self, session: Session) -> None:
        pygame.font.init()
        self._session = session
        self._font, self._small = pygame.font.Font(None, 24), pygame.font.Font(None, 20)
        screen = session.picture().screen
        # A dream's own picture is square; reality's keeps its shape when the worlds are changed.
        self._wide = max(PANEL, round(PANEL * screen.shape[1] / screen.shape[0]))
        self.size = (self._wide + 3 * (PANEL + GAP) + self._wide % 2, CAPTION + PANEL + STATUS)

    def draw(self, note: str = "") -> pygame.Surface:
        """Returns the whole picture; ``note`` is shown at the right, below the score, as far as there is room."""
        surface = pygame.Surface(self.size)
        surface.fill(BACKGROUND)
        picture = self._session.picture()
        dreaming = self._session.world == "dream"
        panels = [
            ("the dream, decoded by V" if dreaming else "reality", picture.screen, self._wide),
            ("what V sees", picture.seen, PANEL),
            ("what V keeps of it", picture.reconstruction, PANEL),
            (f"M dreams on, τ {self._session.temperature:.2f}", picture.dream, PANEL),
        ]
        x = 0
        for caption, frame, width in panels:
            if frame is not None:
                surface.blit(self._small.render(caption, True, DIM), (x + 4, 4))
                surface.blit(_fitted(frame, width), (x + (width - _fitted_width(frame, width)) // 2, CAPTION))
            x += width + GAP
        self._draw_status(surface, note)
        return surface

    def draw_world(self) -> pygame.Surface:
        """Returns the open world's own picture with its seed and score, as wide as its panel."""
        surface = pygame.Surface((self._wide + self._wide % 2, CAPTION + PANEL))
        surface.fill(BACKGROUND)
        episode = self._session.episode
        words = f"seed {episode.seed}    score {episode.score:,.1f}{'    over' if episode.over else ''}"
        surface.blit(self._small.render(words, True, TEXT), (4, 4))
        frame = self._session.picture().screen
        surface.blit(_fitted(frame, self._wide), ((self._wide - _fitted_width(frame, self._wide)) // 2, CAPTION))
        return surface

    def _draw_status(self, surface: pygame.Surface, note: str) -> None:
        session, top = self._session, CAPTION + PANEL + 8
        episode = session.episode
        world = f"dream, τ {session.temperature:.2f}" if session.world == "dream" else "reality"
        words = f"{session.who} in {world}    seed {episode.seed}    step {episode.steps:,}    score {episode.score:,.1f}"
        if episode.over:
            words += "    over"
        surface.blit(self._font.render(words, True, TEXT), (8, top))
        low, high = session.action_space.low, session.action_space.high
        for index, value in enumerate(session.action):
            left = 8 + index * 140
            pygame.draw.rect(surface, DIM, (left, top + 30, 120, 12), 1)
            zero = left + round(120 * (0.0 - low[index]) / (high[index] - low[index]))
            here = left + round(120 * float(np.clip((value - low[index]) / (high[index] - low[index]), 0, 1)))
            pygame.draw.rect(surface, ACCENT, (min(zero, here), top + 30, max(2, abs(here - zero)), 12))
        if note:
            text = self._small.render(self._shortened(note, self.size[0] - 140 * len(low) - 16), True, ACCENT)
            surface.blit(text, (self.size[0] - text.get_width() - 8, top + 28))

    def _shortened(self, note: str, width: int) -> str:
        """Returns a note, or as much of its beginning as is ``width`` pixels wide."""
        shown, end = note, len(note)
        while end and self._small.size(shown)[0] > width:
            end -= 1
            shown = f"{note[:end]}…"
        return shown


def _fitted_width(frame: Frame, width: int) -> int:
    return min(width, round(PANEL * float(frame.shape[1]) / float(frame.shape[0])))


def _fitted(frame: Frame, width: int) -> pygame.Surface:
    """Returns a frame, uint8 [rows, columns, 3], at a panel's height; small pixels stay square."""
    picture = pygame.surfarray.make_surface(np.ascontiguousarray(frame.swapaxes(0, 1)))
    scale = pygame.transform.smoothscale if frame.shape[0] > PANEL else pygame.transform.scale
    return scale(picture, (_fitted_width(frame, width), PANEL))


def to_array(surface: pygame.Surface) -> NDArray[np.uint8]:
    """Returns a surface as uint8 [rows, columns, 3]."""
    pixels = np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8)
    return pixels.reshape(surface.get_height(), surface.get_width(), 3)
