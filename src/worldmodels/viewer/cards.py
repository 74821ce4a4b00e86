"""Cards: what is told in the middle of the pictures, before an episode, after it, and on request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pygame

from worldmodels.envs.task import Task
from worldmodels.viewer import gamepad, keyboard
from worldmodels.viewer.hands import what_keys_do
from worldmodels.viewer.look import ACCENT, BACKGROUND, DIM, EDGE, RAISED, SMALLEST, TEXT, shortened, width_of, wrapped, write
from worldmodels.viewer.session import Session

#: A key, what it is for, and that in fewer words.
Rows = tuple[tuple[str, str, str], ...]
#: Lines of a card are wrapped at so many times the type's size.
WIDEST = 26
#: How the arrows are shown.
ARROWS = {"left": "←", "right": "→", "up": "↑", "down": "↓"}
#: The same by W, A, S and D.
LETTERS = {"left": "a", "right": "d", "up": "w", "down": "s"}


@dataclass(frozen=True)
class Card:
    """A title, some lines, a table of keys, and what to do now."""

    title: str
    lines: tuple[str, ...] = ()
    rows: Rows = ()
    now: str = ""


def play_rows(task: Task) -> Rows:
    """Returns the task's own keys and what they do, in a person's words."""
    rows = []
    for keys, meaning in what_keys_do(task):
        names = keys.split(", ")
        shown = "  ".join(ARROWS.get(name, name) for name in names)
        letters = "  ".join(LETTERS[name] for name in names if name in LETTERS)
        rows.append((f"{shown}   {letters}".rstrip(), meaning, meaning))
    return tuple(rows)


def start_card(session: Session) -> Card:
    """Returns what is said before the first step: what this is, who plays, in which world, and the keys."""
    spec = session.spec
    who = {"you": "You play", "agent": "The agent plays"}.get(session.who, "The random policy plays")
    where = "in the dream" if session.world == "dream" else "in reality"
    summary = (spec.summary.rstrip(".") + ".",) if spec.summary else ()
    return Card(
        spec.name,
        (*summary, f"{who}, {where}, with seed {session.episode.seed}."),
        (*play_rows(spec), ("p", "pause", "pause"), *_rows_of("m", "tab"), ("h", "all keys", "keys"), ("esc", "quit", "quit")),
        "any key, click or button: begin",
    )


def end_card(session: Session) -> Card:
    """Returns what is said after the last step."""
    episode = session.episode
    return Card(
        f"score {episode.score:,.1f}",
        (f"The episode is over after {episode.steps:,} steps.",),
        _rows_of("n", "m", "tab"),
        "enter: again",
    )


def _rows_of(*keys: str) -> Rows:
    return tuple(row for row in keyboard.HELP if row[0] in keys)


def help_card(task: Task, with_gamepad: bool) -> Card:
    """Returns all keys, and a gamepad's where there is one."""
    rows = (*play_rows(task), *keyboard.HELP)
    if with_gamepad:
        rows += tuple((f"pad {name}", what, short) for name, what, short in gamepad.HELP)
    return Card("keys", (), rows, "h: back")


def in_words(card: Card) -> str:
    """Returns a card as text for the terminal."""
    keys = [f"  {key:12} {what}" for key, what, _ in card.rows]
    return "\n".join([card.title, *card.lines, *keys])


def draw_card(surface: pygame.Surface, area: pygame.Rect, card: Card, text: int) -> None:
    """Draws a card in the middle of an area, in type of size ``text``. Where there is no room it has columns, is smaller, says
    less, or is left out; nothing of it is cut."""
    surface.set_clip(area)
    shade = pygame.Surface(area.size)
    shade.fill(BACKGROUND)
    shade.set_alpha(140)
    surface.blit(shade, area)
    ways = (_Drawn(less, size, columns, area.width) for less in _less_and_less(card) for size, columns in _types(text))
    drawn = next((way for way in ways if way.box[0] <= area.width and way.box[1] <= area.height), None)
    if drawn is not None:
        rect = pygame.Rect((0, 0), drawn.box)
        rect.center = area.center
        pygame.draw.rect(surface, RAISED, rect, border_radius=drawn.size // 2)
        pygame.draw.rect(surface, EDGE, rect, max(1, drawn.size // 12), border_radius=drawn.size // 2)
        drawn.fill(surface, rect)
    surface.set_clip(None)


def _types(text: int) -> Iterator[tuple[int, int]]:
    """Yields sizes of type, and numbers of columns."""
    yield from ((size, columns) for size in range(text, SMALLEST - 1, -1) for columns in (1, 2, 3))


def _less_and_less(card: Card) -> Iterator[Card]:
    """Yields a card, and what is left of it where there is less and less room: what is needed least goes first."""
    yield card
    card = replace(card, rows=tuple((key, short, short) for key, _, short in card.rows))
    yield card
    card = replace(card, lines=card.lines[-1:])
    yield from (replace(card, rows=card.rows[:num]) for num in range(len(card.rows), -1, -1))
    yield Card(card.title, now=card.now)
    yield Card(card.now or card.title)


class _Drawn:
    """A card in one way to draw it: in type of this size, so many columns of keys, and at most so wide."""

    def __init__(self, card: Card, size: int, columns: int, width: int) -> None:
        self._card, self.size, self._columns = card, size, columns
        tight = size < 1.3 * SMALLEST
        self._line, self._around = round((1.4 if tight else 1.55) * size), round((0.8 if tight else 1.3) * size)
        room = width - 2 * self._around
        self._lines = [line for words in card.lines for line in wrapped(words, size, min(WIDEST * size, room))]
        self._keys = max((width_of(key, size, bold=True) for key, _, _ in card.rows), default=0)
        longest = max((width_of(what, size) for _, what, _ in card.rows), default=0)
        # What a key is for is seldom as wide as the window: a task's own names may be.
        self._meanings = longest if size > SMALLEST or columns > 1 else max(0, min(longest, room - self._keys - size))
        self._rows = -(-len(card.rows) // columns)

    @property
    def box(self) -> tuple[int, int]:
        """How wide and how high it is."""
        card, size, line = self._card, self.size, self._line
        wide = max(
            width_of(card.title, round(1.4 * size), bold=True),
            *(width_of(words, size) for words in self._lines),
            self._columns * (self._keys + size + self._meanings) + (self._columns - 1) * 2 * size if card.rows else 0,
            width_of(card.now, size, bold=True),
        )
        tall = line + line // 2 + line * (len(self._lines) + self._rows)
        tall += (line // 2) * bool(self._lines) + (line + line // 2) * bool(card.now)
        return wide + 2 * self._around, tall + 2 * self._around

    def fill(self, surface: pygame.Surface, rect: pygame.Rect) -> None:
        """Writes it into its box."""
        card, size, line = self._card, self.size, self._line
        left, y = rect.left + self._around, rect.top + self._around + line // 2
        write(surface, card.title, (left, y), round(1.4 * size), TEXT, bold=True)
        y += line + line // 2
        for words in self._lines:
            write(surface, words, (left, y), size, DIM)
            y += line
        y += (line // 2) * bool(self._lines)
        for index, (key, what, _) in enumerate(card.rows):
            x = left + (index // self._rows) * (self._keys + self._meanings + 3 * size)
            at = y + line * (index % self._rows)
            write(surface, key, (x, at), size, ACCENT, bold=True)
            write(surface, shortened(what, size, self._meanings), (x + self._keys + size, at), size, TEXT)
        if card.now:
            write(surface, card.now, (left, y + line * self._rows + line // 2), size, TEXT, bold=True)
