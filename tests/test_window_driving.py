"""CarRacing by hand: a driver that only presses keys drives a lap."""

import dataclasses
import math

import numpy as np
import pygame
import pytest

from worldmodels.agent.load import load
from worldmodels.config import PlayConfig
from worldmodels.envs.car_racing.by_hand import FULL_GAS, FULL_LOCK, eased
from worldmodels.viewer.session import Session
from worldmodels.viewer.window import Window

LEFT, RIGHT, GAS, BRAKE = (pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN)
PLACES = {LEFT: pygame.KSCAN_LEFT, RIGHT: pygame.KSCAN_RIGHT, GAS: pygame.KSCAN_UP, BRAKE: pygame.KSCAN_DOWN}


class Driver:
    """Looks along the road from the car and decides which keys are down."""

    def __init__(self, env):
        self.car = env.car
        self.road = np.array([(x, y) for _, _, x, y in env.track])

    def bend(self, metres):
        """The angle at which the road lies, so far ahead; to the right is positive."""
        x, y = self.car.hull.position
        here = int(np.hypot(self.road[:, 0] - x, self.road[:, 1] - y).argmin())
        dx, dy = self.road[(here + int(metres / 3.5)) % len(self.road)] - (x, y)
        fx, fy = -math.sin(self.car.hull.angle), math.cos(self.car.hull.angle)
        return math.atan2(dx * fy - dy * fx, dx * fx + dy * fy)

    def keys(self, wheel):
        speed = math.hypot(*self.car.hull.linearVelocity)
        reach = 8 + 0.2 * speed
        aim = 1.5 * self.bend(reach)
        down = set()
        if aim < min(wheel - 0.03, 0.05):
            down.add(LEFT)
        elif aim > max(wheel + 0.03, -0.05):
            down.add(RIGHT)
        fast = max(40, 80 - 55 * abs(self.bend(2 * reach)))
        if speed < fast:
            down.add(GAS)
        elif speed > fast + 8:
            down.add(BRAKE)
        return down


def drive(window, session):
    """Presses keys as the window gets them from the system, until the episode is over."""
    driver, before = Driver(session._game.unwrapped), set()
    while not session.episode.over:
        down = driver.keys(session.action[0])
        for kind, keys in ((pygame.KEYUP, before - down), (pygame.KEYDOWN, down - before)):
            for key in keys:
                pygame.event.post(pygame.event.Event(kind, key=key, scancode=PLACES[key]))
        before = down
        for event in pygame.event.get():
            window.handle(event)
        window.advance()


def test_a_lap_by_keys_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    # Without M, which a person does not drive with: it would take most of the time.
    session = Session(dataclasses.replace(load("car-racing"), can_dream=False), PlayConfig(seed=3))
    window = Window(session, tmp_path)
    try:
        drive(window, session)
        assert session.episode.score > 900
        assert session.episode.steps < 1000  # the lap is complete
    finally:
        window.close()
        session.close()


def test_the_wheel_turns_by_and_by_and_less_at_speed():
    """A key is all or nothing: at once and at full lock the car spins."""

    class Car:
        def __init__(self, speed):
            self.unwrapped = self.car = self.hull = self
            self.linearVelocity = (0.0, speed)

    left, right, gas = (np.array(a, np.float32) for a in ((-1, 0, 0), (1, 0, 0), (0, 1, 0)))
    slow, fast = ([np.zeros(3, np.float32)] for _ in range(2))
    for _ in range(30):
        slow.append(eased(slow[-1], left, Car(5.0)))
        fast.append(eased(fast[-1], left, Car(80.0)))
    assert np.abs(np.diff([action[0] for action in slow])).max() < 0.06
    assert slow[-1][0] == pytest.approx(-FULL_LOCK)
    assert fast[-1][0] == pytest.approx(-0.1)
    # Back to the middle is quick, and full gas comes by and by.
    assert eased(fast[-1], np.zeros(3, np.float32), Car(80.0))[0] == 0
    assert eased(slow[-1], right, Car(5.0))[0] == pytest.approx(-FULL_LOCK + 0.3)
    assert [round(float(eased(np.array([0, before, 0], np.float32), gas, None)[1]), 3) for before in (0, 0.2, 0.5)] == [
        0.1,
        0.3,
        FULL_GAS,
    ]
    # At the wheel's lock less of it.
    assert eased(np.array([-0.1, 0.5, 0], np.float32), left + gas, Car(80.0))[1] == pytest.approx(0.4 * FULL_GAS)
