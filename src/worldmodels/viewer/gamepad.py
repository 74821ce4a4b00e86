"""Gamepads: the left stick and the triggers are axes, the cross is the arrows; buttons ask for what keys ask for.

One that SDL knows has buttons with names; of any other the first two axes, the hat and the first button count.
"""

from __future__ import annotations

import pygame
from pygame._sdl2 import controller

#: How far a stick rests from its middle, left and right, up and down: steering must not press the gas.
DEAD_X, DEAD_Y = 0.15, 0.5
CROSS = {
    pygame.CONTROLLER_BUTTON_DPAD_LEFT: "left",
    pygame.CONTROLLER_BUTTON_DPAD_RIGHT: "right",
    pygame.CONTROLLER_BUTTON_DPAD_UP: "up",
    pygame.CONTROLLER_BUTTON_DPAD_DOWN: "down",
}
TRIGGERS = {pygame.CONTROLLER_AXIS_TRIGGERRIGHT: "up", pygame.CONTROLLER_AXIS_TRIGGERLEFT: "down"}
COMMANDS = {
    pygame.CONTROLLER_BUTTON_START: "pause",
    pygame.CONTROLLER_BUTTON_BACK: "help",
    pygame.CONTROLLER_BUTTON_X: "player",
    pygame.CONTROLLER_BUTTON_Y: "world",
    pygame.CONTROLLER_BUTTON_B: "next seed",
    pygame.CONTROLLER_BUTTON_LEFTSHOULDER: "colder",
    pygame.CONTROLLER_BUTTON_RIGHTSHOULDER: "hotter",
}
#: For people: the part, what it is for, and that in fewer words.
HELP = (
    ("stick, cross", "the arrows", "arrows"),
    ("triggers", "down and up: brake and gas", "brake; gas"),
    ("A", "space; begin", "space; begin"),
    ("start, back", "pause; help", "pause; help"),
    ("X, Y, B", "player; world; another seed", "player; world; seed"),
    ("shoulders", "a colder or a hotter dream", "colder; hotter"),
)


class Gamepads:
    """All gamepads together: whoever has one in their hands plays."""

    def __init__(self) -> None:
        self._open: dict[int, object] = {}
        # How far each source pushes each of the task's keys: a source is a stick's axis, a trigger, a button.
        self._pushes: dict[tuple[int, str], dict[str, float]] = {}
        pygame.joystick.init()
        controller.init()

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return bool(self._open)

    @property
    def held(self) -> dict[str, float]:
        """How far the task's keys are down, 0 to 1, by name."""
        found: dict[str, float] = {}
        for pushes in self._pushes.values():
            for name, strength in pushes.items():
                found[name] = max(found.get(name, 0.0), strength)
        return found

    def handle(self, event: pygame.event.Event) -> str:
        """Notes what a gamepad does; returns the command that it is, or nothing. "again" is what A asks for."""
        kind = event.type
        if kind == pygame.JOYDEVICEADDED:
            self._add(event.device_index)
        elif kind == pygame.JOYDEVICEREMOVED:
            self._remove(event.instance_id)
        elif kind == pygame.CONTROLLERAXISMOTION:
            self._turn(event.instance_id, event.axis, event.value / 32767)
        elif kind == pygame.CONTROLLERBUTTONDOWN or kind == pygame.CONTROLLERBUTTONUP:
            return self._button(event.instance_id, event.button, kind == pygame.CONTROLLERBUTTONDOWN)
        elif isinstance(self._open.get(event.dict.get("instance_id", -1)), pygame.joystick.JoystickType):
            return self._plain(event)
        return ""

    def _add(self, index: int) -> None:
        try:
            device = controller.Controller(index) if controller.is_controller(index) else pygame.joystick.Joystick(index)
            number = device.id if isinstance(device, controller.Controller) else device.get_instance_id()
        except pygame.error:  # unplugged again before we were told that it is there, or nobody may open it
            return
        self._open[number] = device

    def _remove(self, number: int) -> None:
        self._open.pop(number, None)
        self._pushes = {source: pushes for source, pushes in self._pushes.items() if source[0] != number}

    def _turn(self, number: int, axis: int, value: float) -> None:
        if axis == pygame.CONTROLLER_AXIS_LEFTX:
            self._stick(number, "x", value, DEAD_X, ("left", "right"))
        elif axis == pygame.CONTROLLER_AXIS_LEFTY:
            self._stick(number, "y", value, DEAD_Y, ("up", "down"))
        elif axis in TRIGGERS:
            self._pushes[number, TRIGGERS[axis]] = {TRIGGERS[axis]: min(max(value, 0.0), 1.0)}

    def _stick(self, number: int, axis: str, value: float, dead: float, names: tuple[str, str]) -> None:
        beyond = min(max((abs(value) - dead) / (1 - dead), 0.0), 1.0)
        self._pushes[number, axis] = {names[value > 0]: beyond} if beyond else {}

    def _button(self, number: int, button: int, down: bool) -> str:
        if button in CROSS:
            self._pushes[number, f"cross {button}"] = {CROSS[button]: float(down)}
        elif button == pygame.CONTROLLER_BUTTON_A:
            self._pushes[number, "a"] = {"space": float(down)}
            return "a" if down else ""
        return COMMANDS.get(button, "") if down else ""

    def _plain(self, event: pygame.event.Event) -> str:
        """A joystick that SDL has no names for: forward is gas."""
        number = event.instance_id
        if event.type == pygame.JOYAXISMOTION and event.axis in (0, 1):
            self._stick(number, "xy"[event.axis], event.value, DEAD_X, (("left", "right"), ("up", "down"))[event.axis])
        elif event.type == pygame.JOYHATMOTION:
            x, y = event.value
            self._pushes[number, "hat"] = {("left", "right")[x > 0]: float(x != 0), ("down", "up")[y > 0]: float(y != 0)}
        elif event.type in (pygame.JOYBUTTONDOWN, pygame.JOYBUTTONUP) and event.button == 0:
            return self._button(number, pygame.CONTROLLER_BUTTON_A, event.type == pygame.JOYBUTTONDOWN)
        return ""
