"""The picture of a session: the world beside what V and M make of it, and below them the score, who acts and the action.

Drawn on a pygame surface that needs no display, so the window and the video show the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pygame
from numpy.typing import NDArray

from worldmodels.base.types import FULL_HEALTH, Frame
from worldmodels.viewer.hands import action_names
from worldmodels.viewer.layout import Layout, caption_of, gap_of, layout, usual_size
from worldmodels.viewer.look import (
    ACCENT,
    BACKGROUND,
    DIM,
    EDGE,
    GOOD,
    RAISED,
    SMALLEST,
    TEXT,
    WARM,
    shortened,
    that_fits,
    width_of,
    wrapped,
    write,
)
from worldmodels.viewer.session import Picture, Session

#: A tile of several: the pixels of its picture's height, and of the caption above it.
TILE, TILE_CAPTION = 256, 22
#: More options than these are not shown side by side: the chosen one's name is.
MOST_OPTIONS = 6
#: What is said on the dream beside reality.
CORRECTED = "corrected once a second"


class Panels:
    """Draws a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names = action_names(session.spec)
        self.pictures = pygame.Rect(0, 0, 0, 0)
        """Where the pictures are in what was drawn last, all but the status."""

    @property
    def usual_size(self) -> tuple[int, int]:
        """The (width, height), both even, that the open world's pictures need."""
        return usual_size(self._shape(self._session.picture().screen), self._session.world == "dream")

    def _shape(self, screen: Frame) -> float:
        return float(screen.shape[1]) / float(screen.shape[0])

    def draw(
        self, size: tuple[int, int] | None = None, notes: Sequence[str] = (), picture: Picture | None = None
    ) -> pygame.Surface:
        """Returns the whole picture.

        Args:
            size: (width, height) in pixels; None: as the pictures need.
            notes: wordings of what is said below the score: the first that there is room for.
            picture: what the session shows, where that has been asked for already.
        """
        session, picture = self._session, picture or self._session.picture()
        dreaming = session.world == "dream"
        shape = self._shape(picture.screen)
        where = layout(size or usual_size(shape, dreaming), shape, dreaming)
        surface = pygame.Surface(size or usual_size(shape, dreaming))
        surface.fill(BACKGROUND)
        self.pictures = where.pictures
        heat = f"τ {session.temperature:.2f}"
        self._draw_panel(surface, where, where.world, (f"the dream, {heat}" if dreaming else "reality",), picture.screen)
        shown = (
            (("what V sees", "V sees"), picture.seen),
            (("what V keeps of it", "V keeps", "kept"), picture.reconstruction),
            ((f"M dreams on, {heat}", "M dreams on", "dream"), picture.dream),
        )
        for rect, (captions, frame) in zip(where.small, shown, strict=False):
            if frame is not None:
                self._draw_panel(surface, where, rect, captions, frame)
        if where.small and picture.dream is not None:
            self._draw_correction(surface, where, where.small[-1])
        self._draw_status(surface, where, notes)
        return surface

    def draw_world(self) -> pygame.Surface:
        """Returns the open world's own picture with its seed and score."""
        frame = self._session.picture().screen
        width = max(TILE, round(TILE * self._shape(frame)))
        surface = pygame.Surface((width + width % 2, TILE_CAPTION + TILE))
        surface.fill(BACKGROUND)
        episode = self._session.episode
        words = f"seed {episode.seed}    score {episode.score:,.1f}{'    over' if episode.over else ''}"
        write(surface, shortened(words, 14, width - 8), (4, TILE_CAPTION // 2), 14)
        blit_fitted(surface, frame, pygame.Rect(0, TILE_CAPTION, width, TILE))
        return surface

    def _draw_panel(
        self, surface: pygame.Surface, where: Layout, rect: pygame.Rect, captions: tuple[str, ...], frame: Frame
    ) -> None:
        size = round(0.85 * where.text)
        words = that_fits(captions, size, rect.width)
        write(surface, words, (rect.left, rect.top - caption_of(where.text) // 2), size, DIM)
        blit_fitted(surface, frame, rect)

    def _draw_correction(self, surface: pygame.Surface, where: Layout, rect: pygame.Rect) -> None:
        """Says on the dream beside reality that it is put back every second, and shows how long it is until then."""
        size = max(round(0.7 * where.text), SMALLEST)
        # The same words at any size, in smaller type or in lines.
        while size > SMALLEST and width_of(CORRECTED, size) > rect.width:
            size -= 1
        lines, line, thick = wrapped(CORRECTED, size, rect.width), round(1.4 * size), max(2, where.text // 6)
        band = pygame.Rect(rect.left, 0, rect.width, len(lines) * line + thick)
        band.bottom = rect.bottom
        if band.height <= rect.height // 2 and max(width_of(words, size) for words in lines) <= rect.width:
            dark = pygame.Surface(band.size)
            dark.fill(BACKGROUND)
            dark.set_alpha(190)
            surface.blit(dark, band)
            for index, words in enumerate(lines):
                middle = band.top + index * line + line // 2
                write(surface, words, (band.centerx - width_of(words, size) // 2, middle), size)
        left = round(rect.width * self._session.until_correction)
        pygame.draw.rect(surface, ACCENT, (rect.left, rect.bottom - thick, left, thick))

    def _draw_status(self, surface: pygame.Surface, where: Layout, notes: Sequence[str]) -> None:
        session, status, text = self._session, where.status, where.text
        episode, line = session.episode, caption_of(where.text)
        score = f"score {episode.score:,.1f}" + ("  over" if episode.over else "")
        first, second = status.top + gap_of(text) // 2 + line // 2, status.top + gap_of(text) // 2 + line + line // 2
        across = width_of(score, text, bold=True)
        write(surface, score, (status.right - across, first), text, TEXT, bold=True)
        words = f"{session.who} in {'the dream' if session.world == 'dream' else 'reality'}    "
        words += f"seed {episode.seed}    step {episode.steps:,}"
        write(surface, shortened(words, text, status.width - across - gap_of(text)), (status.left, first), text)
        size = round(0.85 * text)
        left = self._draw_health(surface, status.left, second, size)
        left = self._draw_action(surface, left, second, size, status.right - left)
        if notes:
            words = that_fits(notes, size, status.right - left - 2 * gap_of(text))
            write(surface, words, (status.right - width_of(words, size), second), size, WARM)

    def _draw_health(self, surface: pygame.Surface, left: int, middle: int, size: int) -> int:
        """Draws what is left of the health, where the task has one; returns where the rest begins."""
        health = self._session.health
        if health is None:
            return left
        left = write(surface, "health", (left, middle), size, DIM).right + size // 2
        bar = _bar(left, middle, 6 * size, size)
        pygame.draw.rect(surface, RAISED, bar, border_radius=2)
        full = bar.copy()
        full.width = round(bar.width * health / FULL_HEALTH)
        pygame.draw.rect(surface, GOOD if health > FULL_HEALTH / 3 else WARM, full, border_radius=2)
        pygame.draw.rect(surface, EDGE, bar, 1, border_radius=2)
        number = f"{health:.0f}"
        write(
            surface,
            number,
            (bar.centerx - width_of(number, round(0.8 * size), True) // 2, middle),
            round(0.8 * size),
            bold=True,
        )
        return bar.right + 2 * size

    def _draw_action(self, surface: pygame.Surface, left: int, middle: int, size: int, width: int) -> int:
        """Draws the action: a bar a number with its name, or the options that are chosen; returns where the rest begins."""
        if self._session.spec.choices:
            return self._draw_choices(surface, left, middle, size, width)
        named = sum(width_of(name, size) + 2 * size for name in self._names)
        length = min(6 * size, (width - named) // len(self._names))
        space = self._session.action_space
        for name, value, low, high in zip(self._names, self._session.action, space.low, space.high, strict=True):
            if length < 2 * size:  # too many to be shown
                return left
            left = write(surface, name, (left, middle), size, DIM).right + size // 2
            bar = _bar(left, middle, length, size)
            pygame.draw.rect(surface, RAISED, bar, border_radius=2)
            between = float(high - low) or 1.0  # recordings may hold one value alone
            zero, here = (bar.left + round(bar.width * float(np.clip((each - low) / between, 0, 1))) for each in (0.0, value))
            pygame.draw.rect(surface, ACCENT, (min(zero, here), bar.top, max(2, abs(here - zero)), bar.height))
            pygame.draw.rect(surface, EDGE, bar, 1, border_radius=2)
            left = bar.right + round(1.5 * size)
        return left

    def _draw_choices(self, surface: pygame.Surface, left: int, middle: int, size: int, width: int) -> int:
        end, first, action = left + width, 0, self._session.action
        for num in self._session.spec.choices:
            options = list(enumerate(self._names[first : first + num]))
            chosen = int(np.argmax(action[first : first + num])) if action[first : first + num].any() else -1
            first += num
            if sum(width_of(name, size) + size for _, name in options) > end - left or num > MOST_OPTIONS:
                options = options[chosen : chosen + 1] if chosen >= 0 else []
            for index, name in options:
                across = width_of(name, size)
                if left + across + size > end:
                    return left
                if index == chosen:
                    box = pygame.Rect(left, middle - round(0.75 * size), across + size, round(1.5 * size))
                    pygame.draw.rect(surface, ACCENT, box, border_radius=3)
                write(surface, name, (left + size // 2, middle), size, BACKGROUND if index == chosen else DIM)
                left += across + size
            left += size
        return left


def _bar(left: int, middle: int, width: int, size: int) -> pygame.Rect:
    return pygame.Rect(left, middle - size // 2, width, size)


def blit_fitted(surface: pygame.Surface, frame: Frame, rect: pygame.Rect) -> None:
    """Draws a frame, uint8 [rows, columns, 3], as large as there is room, in its shape and in the middle."""
    picture = pygame.surfarray.make_surface(np.ascontiguousarray(frame.swapaxes(0, 1)))
    fitted = scaled(picture, rect.size)
    surface.blit(fitted, fitted.get_rect(center=rect.center))


def scaled(picture: pygame.Surface, box: tuple[int, int]) -> pygame.Surface:
    """Returns a picture as large as a box has room for, in its shape: small pixels become squares with sharp edges."""
    width, height = picture.get_size()
    scale = min(box[0] / width, box[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return picture
    if scale > 1:
        whole = -(-size[0] // width)
        picture = pygame.transform.scale(picture, (width * whole, height * whole))
        if picture.get_size() == size:
            return picture
    return pygame.transform.smoothscale(picture, size)


def to_array(surface: pygame.Surface) -> NDArray[np.uint8]:
    """Returns a surface as uint8 [rows, columns, 3]."""
    pixels = np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8)
    return pixels.reshape(surface.get_height(), surface.get_width(), 3)
