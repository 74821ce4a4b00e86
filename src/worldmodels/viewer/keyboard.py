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
#: For people, in the order of use: the key, what it is for, and that in fewer words.
HELP = (
    ("p", "pause, and go on", "pause"),
    ("enter", "begin again", "again"),
    ("n", "another seed", "other seed"),
    ("m", "you or the agent", "player"),
    ("tab", "reality or the dream", "world"),
    ("+  \N{MINUS SIGN}", "a hotter or a colder dream", "hotter, colder"),
    ("backspace", "rewind the dream", "rewind"),
    ("e", "one step", "one step"),
    ("r", "record, and stop recording", "record"),
    ("f11", "full screen", "full screen"),
    ("h", "help", "help"),
    ("esc", "quit", "quit"),
)
#: Keys that are held for the sake of another one, and keys of the machine's: by themselves they ask for nothing.
SILENT = frozenset(
    (
        *(pygame.K_LSHIFT, pygame.K_RSHIFT, pygame.K_LCTRL, pygame.K_RCTRL, pygame.K_LALT, pygame.K_RALT),
        *(pygame.K_LGUI, pygame.K_RGUI, pygame.K_MODE, pygame.K_CAPSLOCK, pygame.K_NUMLOCK, pygame.K_SCROLLLOCK),
        *(pygame.K_PRINTSCREEN, pygame.K_POWER, pygame.K_MENU, pygame.K_PAUSE),
    )
)
#: With one of these held, a key is a shortcut of the desktop's.
SHORTCUTS = pygame.KMOD_ALT | pygame.KMOD_CTRL | pygame.KMOD_GUI


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
        if not self.begins(event):
            return ""
        command = COMMANDS.get(name) or COMMAND_PLACES.get(place, "")
        if command == "rewind":
            self._down[event.key] = command
        return command

    def begins(self, event: pygame.event.Event) -> bool:
        """Whether a key that goes down is meant for the window: no shift by itself, no Alt-Tab."""
        return event.key in self._down or not (event.key in SILENT or event.dict.get("mod", 0) & SHORTCUTS)

    def release(self, event: pygame.event.Event) -> None:
        """Notes that a key goes up."""
        self._down.pop(event.key, None)

    def release_all(self) -> None:
        """The window has lost the keyboard, and will not be told what goes up."""
        self._down.clear()
