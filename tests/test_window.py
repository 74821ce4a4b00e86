"""The window: cards, keys in any language, the mouse, gamepads, any size. On SDL's driver without a screen."""

import contextlib
import ctypes
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pygame
import pytest

from worldmodels.agent.load import load
from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.config import PlayConfig
from worldmodels.envs.registry import get_task
from worldmodels.envs.task import PlaySettings
from worldmodels.viewer import gamepad, hands, keyboard
from worldmodels.viewer.cards import draw_card, end_card, help_card, start_card
from worldmodels.viewer.layout import layout, usual_size
from worldmodels.viewer.panels import Panels, to_array
from worldmodels.viewer.session import HIGHEST, LOWEST, Session
from worldmodels.viewer.window import Window


@pytest.fixture
def open_window(toy_run, tmp_path, monkeypatch):
    """Opens windows on the toy run, with these settings."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    agent = load(toy_run, finished=False)
    with contextlib.ExitStack() as opened:

        def make(**settings):
            config = PlayConfig(**{"seed": 2, **settings})
            session = opened.enter_context(contextlib.closing(Session(agent, config)))
            window = opened.enter_context(contextlib.closing(Window(session, tmp_path, config)))
            pygame.event.clear()
            return window, session

        yield make


def send(window, kind, **facts):
    """Through SDL's queue, as the system does."""
    pygame.event.post(pygame.event.Event(kind, **facts))
    for event in pygame.event.get():
        window.handle(event)


def press(window, key, frames=1, scancode=0):
    send(window, pygame.KEYDOWN, key=key, scancode=scancode)
    for _ in range(frames):
        window.advance()
        window.show()
    send(window, pygame.KEYUP, key=key, scancode=scancode)


def click(window, where):
    window.show()
    send(window, pygame.MOUSEBUTTONDOWN, pos=where, button=1)
    send(window, pygame.MOUSEBUTTONUP, pos=where, button=1)


def screen(window):
    return to_array(window.surface).astype(int)


def resize(window, width, height):
    """As the system does: also beyond what the window asks for."""
    window._display._window.minimum_size = (1, 1)
    window._display._window.size = (width, height)
    for event in pygame.event.get():
        window.handle(event)
    assert window.surface.get_size() == (width, height)
    window.show()


def until_over(window, session):
    for _ in range(1000):
        window.advance()
        if session.episode.over:
            return
    pytest.fail("the episode does not end")


def test_the_window_answers_its_keys(open_window, tmp_path):
    window, session = open_window()
    press(window, pygame.K_x)  # begins
    press(window, pygame.K_m)
    assert session.player == "agent"
    press(window, pygame.K_PERIOD)
    paused_at = session.episode.steps
    press(window, pygame.K_x, 3)
    assert (window.paused, session.episode.steps) == (True, paused_at)
    press(window, pygame.K_e)
    assert session.episode.steps == paused_at + 1
    before = screen(window)
    press(window, pygame.K_r)
    press(window, pygame.K_p)
    press(window, pygame.K_RIGHTBRACKET)
    assert session.temperature == pytest.approx(1.15 * 1.1)
    press(window, pygame.K_TAB)
    assert session.world == "dream"
    assert (screen(window) != before).any()
    press(window, pygame.K_x, 4)
    dreamt = session.episode.steps
    press(window, pygame.K_BACKSPACE, 3)
    assert session.episode.steps == dreamt - 3
    press(window, pygame.K_r)
    for _ in range(500):
        press(window, pygame.K_x)
        if window.recorded:
            break
    assert window.recorded == [tmp_path / "toy-1.mp4"]
    assert len(iio.imread(tmp_path / "toy-1.mp4")) > 5
    press(window, pygame.K_n)
    assert session.episode.seed == 3
    press(window, pygame.K_h)
    assert window.helping
    steps = session.episode.steps
    press(window, pygame.K_x, 3)
    assert session.episode.steps == steps  # help pauses
    press(window, pygame.K_h)
    press(window, pygame.K_q)
    assert not window.running


BEGINS = {
    "a key": lambda window: send(window, pygame.KEYDOWN, key=pygame.K_x, scancode=pygame.KSCAN_X),
    "a click": lambda window: click(window, (100, 100)),
    "a gamepad": lambda window: send(window, pygame.CONTROLLERBUTTONDOWN, instance_id=0, button=pygame.CONTROLLER_BUTTON_A),
    "a joystick": lambda window: send(window, pygame.JOYBUTTONDOWN, instance_id=0, button=5),
}


@pytest.mark.parametrize("how", BEGINS)
def test_nothing_moves_until_somebody_is_there(open_window, how):
    window, session = open_window()
    for _ in range(5):
        window.advance()
        window.show()
    assert session.episode.steps == 0
    assert (window.card.title, window.card.lines[-1]) == ("toy", "You play, in reality, with seed 2.")
    assert window.card.now == "any key, click or button: begin"
    BEGINS[how](window)
    window.advance()
    assert (session.episode.steps, window.card) == (1, None)


def test_the_first_card_says_who_plays_and_where_and_full_screen_keeps_it(open_window):
    window, session = open_window(player="agent", world="dream")
    assert window.card.lines[-1] == "The agent plays, in the dream, with seed 2."
    press(window, pygame.K_F11)
    assert not window.begun
    press(window, pygame.K_F11)
    press(window, pygame.K_m)  # does what it says, and begins
    assert (window.begun, session.player) == (True, "human")


def test_after_the_end_the_score_and_enter_begins_again(open_window):
    window, session = open_window(player="agent")
    press(window, pygame.K_x)
    until_over(window, session)
    score = session.episode.score
    assert (window.card.title, window.card.now) == (f"score {score:,.1f}", "enter: again")
    press(window, pygame.K_x, 3)
    assert session.episode.over
    press(window, pygame.K_RETURN)
    assert (session.episode.over, session.episode.steps, session.episode.seed, window.card) == (False, 1, 2, None)
    until_over(window, session)
    send(window, pygame.CONTROLLERBUTTONDOWN, instance_id=0, button=pygame.CONTROLLER_BUTTON_A)
    assert not session.episode.over


@pytest.mark.parametrize("size", [(1280, 800), (480, 360), (320, 240), (300, 900), (2560, 1440)])
@pytest.mark.parametrize("world", ["real", "dream"])
def test_no_card_covers_the_score(open_window, size, world):
    _, session = open_window(world=world, player="agent")
    for card in (start_card(session), help_card(get_task("boxing"), with_gamepad=True), end_card(session)):
        panels = Panels(session)
        surface = panels.draw(size)
        below = panels.pictures.bottom
        before = to_array(surface)
        draw_card(surface, panels.pictures, card, 18)
        np.testing.assert_array_equal(to_array(surface)[below:], before[below:])
        assert (to_array(surface)[:below] != before[:below]).any()
        # The status is there at any size: its type is light.
        assert before[below:].max() > 200


@pytest.mark.parametrize("size", [(1280, 800), (480, 360), (900, 1200), (320, 240)])
@pytest.mark.parametrize("shape", [0.7, 1.0, 1.5, 3.0])
def test_pictures_fit_any_window_and_do_not_overlap(size, shape):
    for dreaming in (False, True):
        where = layout(size, shape, dreaming)
        rects = [where.world, *where.small, where.status]
        for index, rect in enumerate(rects):
            assert pygame.Rect((0, 0), size).contains(rect)
            assert rect.collidelist(rects[index + 1 :]) == -1
        assert where.world.width / where.world.height == pytest.approx(shape, rel=0.05)
        assert len({small.size for small in where.small}) <= 1


@pytest.mark.parametrize("shape", [1.0, 1.25])
def test_a_dream_fills_its_picture(shape):
    """It was 256×256 in 1134×342 pixels."""
    width, height = usual_size(shape, dreaming=True)
    where = layout((width, height), shape, dreaming=True)
    assert where.world.width >= 0.95 * width
    assert where.world.height >= 0.85 * height
    # In a window that the dream has not chosen it is as high as there is room.
    assert layout((1280, 800), shape, dreaming=True).world.height > 650


def test_a_video_of_the_dream_is_filled(toy_run, tmp_path):
    out = tmp_path / "dream.gif"
    assert main(["video", str(toy_run), "--world", "dream", "--steps", "2", "--out", str(out)]) == 0
    height, width = iio.imread(out).shape[1:3]
    assert (width, height) == pytest.approx([2 / 3 * side for side in usual_size(1.0, dreaming=True)], abs=2)


@pytest.mark.parametrize("rows_and_columns", [(96, 128), (32, 32)])
def test_a_model_that_dreams_at_another_size(open_window, monkeypatch, rows_and_columns):
    """V's own frames are 64×64; no picture here counts on that."""
    window, session = open_window()
    vae = session.agent.vae
    own = type(vae).decode_frames

    def other(self, latents):
        rows, columns = rows_and_columns
        frames = own(self, latents)
        return frames.repeat_interleave(-(-rows // 64), 1).repeat_interleave(-(-columns // 64), 2)[:, :rows, :columns]

    monkeypatch.setattr(type(vae), "decode_frames", other)
    press(window, pygame.K_x, 2)
    assert session.picture().reconstruction.shape[:2] == rows_and_columns
    press(window, pygame.K_TAB, 2)
    assert session.picture().screen.shape[:2] == rows_and_columns
    width, height = Panels(session).usual_size
    assert (width, height) == usual_size(rows_and_columns[1] / rows_and_columns[0], dreaming=True)
    press(window, pygame.K_r, 2)
    press(window, pygame.K_TAB, 2)
    press(window, pygame.K_r)
    window.close()
    assert iio.imread(window.recorded[0]).shape[1:3] == (height, width)


def test_the_window_has_the_size_that_is_asked_for_and_can_be_resized(open_window, tmp_path):
    window, _ = open_window(size="640x480")
    assert window.surface.get_size() == (640, 480)
    press(window, pygame.K_r, 3)
    resize(window, 900, 500)
    wide = screen(window)
    assert wide.shape[:2] == (500, 900)
    assert (wide[:, -40:] > 100).any()  # used to its edge
    press(window, pygame.K_F11)
    assert window.surface.get_size() == pygame.display.get_desktop_sizes()[0]
    window.show()
    press(window, pygame.K_F11)
    assert window.surface.get_size() == (900, 500)
    window.close()
    assert len(iio.imread(tmp_path / "toy-1.mp4")) >= 5  # in one size


@pytest.mark.parametrize("size", ["640", "640x", "64x48", "9000x100", "1280 x 800", "-640x480", "640x480x24"])
def test_a_size_that_is_none_is_one_line(capsys, size):
    assert main(["watch", "take-cover", f"--size={size}"]) == 2
    err = capsys.readouterr().err
    assert f"size is '{size}'; it must be WIDTHxHEIGHT" in err
    assert len(err.splitlines()) == 1


def test_fps_is_the_windows_and_the_recordings_speed(open_window):
    window, session = open_window(fps=5)
    press(window, pygame.K_r, 5)
    press(window, pygame.K_r)
    window.close()
    assert iio.immeta(window.recorded[0])["fps"] == 5
    assert session.spec.play.render_fps != 5


def test_watch_has_no_player(capsys):
    assert main(["watch", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--player" not in said
    assert "--size WIDTHxHEIGHT" in said
    assert main(["watch", "take-cover", "--player", "human"]) == 2


def test_a_key_plays_by_its_place_and_asks_by_its_name():
    """On an American, a German and a French keyboard."""

    def down(keys, key, scancode):
        return keys.press(pygame.event.Event(pygame.KEYDOWN, key=key, scancode=scancode))

    keys = keyboard.Keyboard(("left", "right", "up", "down"))
    for key, scancode, name in (
        (pygame.K_LEFT, pygame.KSCAN_LEFT, "left"),
        (pygame.K_a, pygame.KSCAN_A, "left"),
        (pygame.K_q, pygame.KSCAN_A, "left"),  # French: not "quit"
        (pygame.K_z, pygame.KSCAN_W, "up"),
        (pygame.K_e, pygame.KSCAN_D, "right"),  # Dvorak: not "step"
    ):
        assert down(keys, key, scancode) == ""
        assert keys.held == {name: 1.0}
        keys.release(pygame.event.Event(pygame.KEYUP, key=key, scancode=scancode))
        assert keys.held == {}
    for key, scancode, command in (
        (pygame.K_LEFTBRACKET, pygame.KSCAN_LEFTBRACKET, "colder"),
        (252, pygame.KSCAN_LEFTBRACKET, "colder"),  # ü
        (pygame.K_PLUS, pygame.KSCAN_RIGHTBRACKET, "hotter"),  # German
        (pygame.K_MINUS, pygame.KSCAN_SLASH, "colder"),  # German
        (pygame.K_DOLLAR, pygame.KSCAN_RIGHTBRACKET, "hotter"),  # French
        (pygame.K_MINUS, pygame.KSCAN_6, "colder"),  # French
        (pygame.K_EQUALS, pygame.KSCAN_EQUALS, "hotter"),
        (pygame.K_KP_PLUS, pygame.KSCAN_KP_PLUS, "hotter"),
        (pygame.K_KP_MINUS, pygame.KSCAN_KP_MINUS, "colder"),
        (pygame.K_KP_ENTER, pygame.KSCAN_KP_ENTER, "again"),
        (pygame.K_m, pygame.KSCAN_SEMICOLON, "player"),  # French
        (pygame.K_q, pygame.KSCAN_Q, "quit"),
    ):
        assert down(keys, key, scancode) == command
    # Digits too: a French keyboard has them above other signs.
    keys = keyboard.Keyboard(("1", "2"))
    down(keys, pygame.K_AMPERSAND, pygame.KSCAN_1)
    assert keys.held == {"1": 1.0}


def test_keys_that_go_up_behind_the_windows_back_are_up(open_window):
    window, _ = open_window()
    window._keyboard = keyboard.Keyboard(("left",))
    send(window, pygame.KEYDOWN, key=pygame.K_LEFT, scancode=pygame.KSCAN_LEFT)
    assert window.held == {"left": 1.0}
    send(window, pygame.WINDOWFOCUSLOST)
    assert window.held == {}


def test_the_mouse_reaches_everything(open_window):
    window, session = open_window()
    click(window, (100, 100))
    buttons = dict(window._controls._buttons)
    assert set(buttons) == {"pause", "again", "player", "world", "help"}
    click(window, buttons["pause"].center)
    assert window.paused
    click(window, buttons["player"].center)
    assert session.player == "agent"
    click(window, buttons["world"].center)
    assert session.world == "dream"
    click(window, buttons["help"].center)
    assert window.helping
    click(window, buttons["help"].center)
    window.paused = False
    window.advance()
    assert session.episode.steps > 0
    click(window, buttons["again"].center)
    assert session.episode.steps == 0
    window.show()
    assert window._controls._buttons == buttons  # whatever they say
    slider = window._controls._slider
    send(window, pygame.MOUSEBUTTONDOWN, pos=slider.midleft, button=1)
    assert session.temperature == pytest.approx(LOWEST)
    send(window, pygame.MOUSEMOTION, pos=slider.center, rel=(9, 0), buttons=(1, 0, 0))
    assert session.temperature == pytest.approx((LOWEST * HIGHEST) ** 0.5, rel=0.05)
    send(window, pygame.MOUSEMOTION, pos=(slider.right + 500, 0), rel=(9, 0), buttons=(1, 0, 0))
    assert session.temperature == pytest.approx(HIGHEST)
    send(window, pygame.MOUSEBUTTONUP, pos=slider.center, button=1)
    send(window, pygame.MOUSEMOTION, pos=slider.center, rel=(9, 0), buttons=(0, 0, 0))
    assert session.temperature == pytest.approx(HIGHEST)


def test_the_slider_does_not_begin(open_window):
    window, session = open_window()
    window.show()
    click(window, window._controls._slider.midleft)
    assert (window.begun, session.temperature) == (False, pytest.approx(LOWEST))


@pytest.fixture
def virtual_gamepad():
    """A gamepad of SDL's own making, which pygame knows nothing of."""
    maps = Path("/proc/self/maps")
    found = [line.split()[-1] for line in maps.read_text().splitlines() if "libSDL2-2" in line] if maps.exists() else []
    if not found:
        pytest.skip("SDL's library is not found")
    sdl = ctypes.CDLL(found[0])
    sdl.SDL_JoystickOpen.restype = ctypes.c_void_p
    return sdl


def test_a_gamepads_axes_play(open_window, virtual_gamepad):
    sdl = virtual_gamepad
    window, session = open_window()
    kind_gamecontroller, axes, buttons = 1, 6, 15
    index = sdl.SDL_JoystickAttachVirtual(kind_gamecontroller, axes, buttons, 0)
    assert index >= 0
    stick = ctypes.c_void_p(sdl.SDL_JoystickOpen(index))

    def turn(axis, share):
        sdl.SDL_JoystickSetVirtualAxis(stick, axis, ctypes.c_int16(round(32767 * share)))
        for event in pygame.event.get():
            window.handle(event)

    def push(button):
        for down in (1, 0):
            sdl.SDL_JoystickSetVirtualButton(stick, button, down)
            for event in pygame.event.get():
                window.handle(event)

    try:
        turn(0, 0.0)
        assert window._gamepads.present
        assert not window.begun
        push(pygame.CONTROLLER_BUTTON_A)
        assert window.begun
        turn(pygame.CONTROLLER_AXIS_LEFTX, -0.575)
        assert window.held == pytest.approx({"left": 0.5, "space": 0.0}, abs=0.01)
        turn(pygame.CONTROLLER_AXIS_LEFTX, 0.1)  # at rest
        turn(pygame.CONTROLLER_AXIS_TRIGGERRIGHT, 1.0)
        assert window.held["up"] == pytest.approx(1.0, abs=0.01)
        assert "left" not in window.held
        push(pygame.CONTROLLER_BUTTON_X)
        assert session.player == "agent"
        push(pygame.CONTROLLER_BUTTON_START)
        assert window.paused
        push(pygame.CONTROLLER_BUTTON_RIGHTSHOULDER)
        assert session.temperature == pytest.approx(1.15 * 1.1)
    finally:
        sdl.SDL_JoystickClose(stick)
        sdl.SDL_JoystickDetachVirtual(index)
    for event in pygame.event.get():
        window.handle(event)
    assert window.held == {}  # unplugged with the gas down
    assert not window._gamepads.present


def test_an_axis_is_as_much_of_the_action_as_it_is_turned():
    task = get_task("take-cover")
    assert hands.act(task, {"left": 0.5}, np.zeros(1, np.float32), None)[0] == pytest.approx(-0.5)
    doom = get_task("health-gathering")
    stand = np.zeros(5, np.float32)
    assert hands.act(doom, {"left": 0.4}, stand, None).tolist() == [1, 0, 0, 1, 0]
    assert hands.act(doom, {"left": 0.6, "up": 1.0}, stand, None).tolist() == [0, 1, 0, 0, 1]


def test_the_cross_and_an_unknown_joystick(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    pads = gamepad.Gamepads()
    pads.handle(pygame.event.Event(pygame.CONTROLLERBUTTONDOWN, instance_id=3, button=pygame.CONTROLLER_BUTTON_DPAD_LEFT))
    assert pads.held == {"left": 1.0}
    pads.handle(pygame.event.Event(pygame.CONTROLLERBUTTONUP, instance_id=3, button=pygame.CONTROLLER_BUTTON_DPAD_LEFT))
    assert not any(pads.held.values())


def test_what_the_keys_do_is_said():
    assert hands.what_keys_do(get_task("car-racing")) == [("left, right", "steering"), ("up", "gas"), ("down", "brake")]
    assert hands.what_keys_do(get_task("health-gathering"))[0] == ("left", "turn left")


def test_a_task_that_names_too_few_components_is_told(monkeypatch):
    task = get_task("car-racing")
    monkeypatch.setitem(task.__dict__, "play", PlaySettings(names=("steering",)))
    with pytest.raises(UserError, match="1 names; an action has 3 components"):
        hands.action_names(task)


def test_health_is_the_games_and_the_dreams_own():
    """TakeCover's is not on the screen."""
    session = Session(load("take-cover"), PlayConfig(seed=3))
    try:
        health = session._game.unwrapped
        while not session.episode.over:
            session.step({"right": 1.0})
            assert session.health == health._health
        assert session.health == 0
        session.switch_world()
        assert session.health == 100
        seen = set()
        while not session.episode.over:
            session.step()
            seen.add(session.health)
        assert session.health == 0 or session.episode.steps == session.spec.max_episode_steps
        assert len(seen) > 1
    finally:
        session.close()
