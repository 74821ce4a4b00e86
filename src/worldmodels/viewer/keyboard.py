"""Keys: what is held, and what is asked for, whatever the keyboard's language.

Playing goes by a key's place: W, A, S and D where they lie on an American keyboard, also where they are called Z, Q, S and D.
Commands go by what is written on the key, and brackets by their place too, where other languages have letters.
"""

from __future__ import annotations

from collections.abc import Iterable

import pygame

#: What a key means to a game by its place. Arrows are themselves everywhere.
PLACES = {
    pygame.KSCAN_A: "left",
    pygame.KSCAN_D: "right",
    pygame.KSCAN_W: "up",
    pygame.KSCAN_S: "down",
    **{getattr(pygame, f"KSCAN_{digit}"): str(digit) for digit in range(10)},
    **{getattr(pygame, f"KSCAN_KP{digit}"): str(digit) for digit in range(10)},
}
#: What is asked for, by what pygame calls the key; "[+]" and "[-]" are the numeric keypad's.
COMMANDS = {
    "m": "player",
    "tab": "world",
    **dict.fromkeys(("-", "[-]", "["), "colder"),
    **dict.fromkeys(("+", "=", "[+]", "]"), "hotter"),
    **dict.fromkeys((".", "p"), "pause"),
    "e": "step",
    **dict.fromkeys(("return", "enter"), "again"),
    "n": "next seed",
    "r": "record",
    **dict.fromkeys(("h", "f1"), "help"),
    "f11": "full screen",
    **dict.fromkeys(("q", "escape"), "quit"),
    "backspace": "rewind",
}
COMMAND_PLACES = {pygame.KSCAN_LEFTBRACKET: "colder", pygame.KSCAN_RIGHTBRACKET: "hotter"}
#: For people, in the order of use.
HELP = (
    ("p", "pause, and go on"),
    ("enter", "begin again"),
    ("n", "another seed"),
    ("m", "you or the agent"),
    ("tab", "reality or the dream"),
    ("+  \N{MINUS SIGN}", "a hotter or a colder dream"),
    ("backspace", "rewind the dream"),
    ("e", "one step"),
    ("r", "record, and stop recording"),
    ("f11", "full screen"),
    ("h", "help"),
    ("esc", "quit"),
)


class Keyboard:
    """The keys that are down.

    Args:
        play_keys: the task's own, which no command takes away.
    """

    def __init__(self, play_keys: Iterable[str]) -> None:
        self._play_keys = frozenset(play_keys)
        self._down: dict[int, str] = {}

    @property
    def held(self) -> dict[str, float]:
        """The task's keys that are down, by name, each 1."""
        return dict.fromkeys(self._down.values(), 1.0)

    @property
    def rewinds(self) -> bool:
        """Whether the key that rewinds is down."""
        return "rewind" in self._down.values()

    def press(self, event: pygame.event.Event) -> str:
        """Notes that a key goes down; returns the command that it is, or nothing."""
        name, place = pygame.key.name(event.key), int(event.dict.get("scancode") or pygame.KSCAN_UNKNOWN)
        for meaning in (name, PLACES.get(place, "")):
            if meaning in self._play_keys:
                self._down[event.key] = meaning
                return ""
        command = COMMANDS.get(name) or COMMAND_PLACES.get(place, "")
        if command == "rewind":
            self._down[event.key] = command
            return ""
        return command

    def release(self, event: pygame.event.Event) -> None:
        """Notes that a key goes up."""
        self._down.pop(event.key, None)

    def release_all(self) -> None:
        """The window has lost the keyboard, and will not be told what goes up."""
        self._down.clear()
