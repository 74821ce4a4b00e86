"""Cards: what is told in the middle of the pictures, before an episode, after it, and on request."""

from __future__ import annotations

from dataclasses import dataclass

import pygame

from worldmodels.envs.task import Task
from worldmodels.viewer import gamepad, keyboard
from worldmodels.viewer.hands import what_keys_do
from worldmodels.viewer.look import ACCENT, BACKGROUND, DIM, EDGE, RAISED, SMALLEST, TEXT, width_of, wrapped, write
from worldmodels.viewer.session import Session

Rows = tuple[tuple[str, str], ...]
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
        rows.append((f"{shown}   {letters}".rstrip(), meaning))
    return tuple(rows)


def start_card(session: Session) -> Card:
    """Returns what is said before the first step: what this is, who plays, in which world, and the keys."""
    spec = session.spec
    who = {"you": "You play", "agent": "The agent plays"}.get(session.who, "The random policy plays")
    where = "in the dream" if session.world == "dream" else "in reality"
    short = (("p", "pause"), ("m", "you or the agent"), ("tab", "reality or the dream"), ("h", "all keys"), ("esc", "quit"))
    summary = (spec.summary.rstrip(".") + ".",) if spec.summary else ()
    return Card(
        spec.name,
        (*summary, f"{who}, {where}, with seed {session.episode.seed}."),
        (*play_rows(spec), *short),
        "any key, click or button: begin",
    )


def end_card(session: Session) -> Card:
    """Returns what is said after the last step."""
    episode = session.episode
    return Card(
        f"score {episode.score:,.1f}",
        (f"The episode is over after {episode.steps:,} steps.",),
        (("n", "another seed"), ("m", "you or the agent"), ("tab", "reality or the dream")),
        "enter: again",
    )


def help_card(task: Task, with_gamepad: bool) -> Card:
    """Returns all keys, and a gamepad's where there is one."""
    rows = (*play_rows(task), *keyboard.HELP)
    if with_gamepad:
        rows += tuple((f"pad {name}", what) for name, what in gamepad.HELP)
    return Card("keys", (), rows, "h: back")


def in_words(card: Card) -> str:
    """Returns a card as text for the terminal."""
    keys = [f"  {key:12} {what}" for key, what in card.rows]
    return "\n".join([card.title, *card.lines, *keys])


def draw_card(surface: pygame.Surface, area: pygame.Rect, card: Card, text: int) -> None:
    """Draws a card in the middle of an area, in type of size ``text``, in columns or smaller where there is no room,
    and never beyond the area."""
    for size, columns in [(size, columns) for size in range(text, SMALLEST - 1, -1) for columns in (1, 2, 3)]:
        box = _box(card, size, columns)
        if box[0] <= area.width and box[1] <= area.height:
            break
    rect = pygame.Rect((0, 0), box)
    rect.center = area.center
    surface.set_clip(area)
    shade = pygame.Surface(area.size)
    shade.fill(BACKGROUND)
    shade.set_alpha(140)
    surface.blit(shade, area)
    pygame.draw.rect(surface, RAISED, rect, border_radius=size // 2)
    pygame.draw.rect(surface, EDGE, rect, max(1, size // 12), border_radius=size // 2)
    _fill(surface, rect, card, size, columns)
    surface.set_clip(None)


def _lines(card: Card, size: int) -> list[str]:
    return [line for words in card.lines for line in wrapped(words, size, WIDEST * size)]


def _measures(card: Card, size: int) -> tuple[int, int, int, int]:
    """Returns a line's height, the space around, and how wide the keys and their meanings are."""
    keys = max((width_of(key, size, bold=True) for key, _ in card.rows), default=0)
    return round(1.55 * size), round(1.3 * size), keys, max((width_of(what, size) for _, what in card.rows), default=0)


def _box(card: Card, size: int, columns: int) -> tuple[int, int]:
    line, around, keys, meanings = _measures(card, size)
    lines, column = _lines(card, size), keys + size + meanings
    wide = max(
        width_of(card.title, round(1.4 * size), bold=True),
        *(width_of(words, size) for words in lines),
        columns * column + (columns - 1) * 2 * size,
        width_of(card.now, size, bold=True),
    )
    rows = -(-len(card.rows) // columns)
    tall = line + line // 2 + line * (len(lines) + rows) + (line // 2) * bool(lines) + (line + line // 2) * bool(card.now)
    return wide + 2 * around, tall + 2 * around


def _fill(surface: pygame.Surface, rect: pygame.Rect, card: Card, size: int, columns: int) -> None:
    line, around, keys, meanings = _measures(card, size)
    left, y = rect.left + around, rect.top + around + line // 2
    write(surface, card.title, (left, y), round(1.4 * size), TEXT, bold=True)
    y += line + line // 2
    lines = _lines(card, size)
    for words in lines:
        write(surface, words, (left, y), size, DIM)
        y += line
    y += (line // 2) * bool(lines)
    rows = -(-len(card.rows) // columns)
    for index, (key, what) in enumerate(card.rows):
        x, at = left + (index // rows) * (keys + meanings + 3 * size), y + line * (index % rows)
        write(surface, key, (x, at), size, ACCENT, bold=True)
        write(surface, what, (x + keys + size, at), size, TEXT)
    if card.now:
        write(surface, card.now, (left, y + line * rows + line // 2), size, TEXT, bold=True)
