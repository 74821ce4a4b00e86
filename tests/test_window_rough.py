"""The window in rough hands: tiny and odd sizes, keys that are not meant for it, a lost focus, everything twice."""

import contextlib

import imageio.v3 as iio
import numpy as np
import pygame
import pytest
from test_window import click, press, resize, send, until_over

from worldmodels.agent.load import load
from worldmodels.config import PlayConfig
from worldmodels.envs.registry import get_task
from worldmodels.viewer import cards, controls, panels
from worldmodels.viewer.cards import draw_card, end_card, help_card, start_card
from worldmodels.viewer.controls import BUTTONS
from worldmodels.viewer.layout import SMALLEST_WINDOW, usual_size
from worldmodels.viewer.look import WARM, width_of
from worldmodels.viewer.panels import CORRECTED, Panels
from worldmodels.viewer.session import HIGHEST, LOWEST, Session
from worldmodels.viewer.window import Window

SIZES = [(320, 240), (360, 270), (400, 300), (400, 900), (320, 900), (1200, 240), (700, 450), (1280, 800)]


@pytest.fixture
def open_window(toy_run, tmp_path, monkeypatch):
    """Opens windows on the toy run, or another agent, with these settings."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with contextlib.ExitStack() as opened:

        def make(target=toy_run, **settings):
            config = PlayConfig(**{"seed": 2, **settings})
            session = opened.enter_context(contextlib.closing(Session(load(target, finished=False), config)))
            window = opened.enter_context(contextlib.closing(Window(session, tmp_path, config)))
            pygame.event.clear()
            return window, session

        yield make


@pytest.fixture
def written(monkeypatch):
    """What is written from now on: the words and where all of them would be, cut or not."""
    found = []
    for module in (cards, controls, panels):

        def note(surface, words, where, size, *args, write=module.write, **facts):
            drawn = write(surface, words, where, size, *args, **facts)
            bold = facts.get("bold", args[1] if len(args) > 1 else False)
            rect = pygame.Rect(where[0], drawn.top, width_of(words, size, bold), drawn.height)
            found.append((words, rect, surface.get_clip()))
            return drawn

        monkeypatch.setattr(module, "write", note)
    return found


def overlaps(written):
    return [
        (one, other)
        for index, (one, rect, _) in enumerate(written)
        for other, beside, _ in written[index + 1 :]
        if rect.clip(beside).width > 1 and rect.clip(beside).height > 2
    ]


@pytest.mark.parametrize("target", ["take-cover", "car-racing"])
def test_no_words_are_cut_or_lie_on_others_in_a_window_of_any_size(open_window, written, target):
    """The agent's dream has everything that reality has on it but the small panels; those are measured on the toy below."""
    window, session = open_window(target, world="dream", player="agent")
    window.begun = True
    for size in SIZES:
        resize(window, *size)
        for card in (None, start_card(session), end_card(session), help_card(session.spec, with_gamepad=True)):
            written.clear()
            if card is None:
                window.show()
                assert len(written) > 8
            else:
                draw_card(window.surface, window._panels.pictures, card, 18)
                said = [words for words, _, _ in written]
                assert card.title in said
                assert card.now in said
            assert overlaps(written) == []
            for words, rect, clip in written:
                assert clip.contains(rect), (size, words, rect, clip)


def test_small_panels_and_buttons_fit_too(open_window, written):
    window, session = open_window()
    press(window, pygame.K_x, 5)
    for size in SIZES:
        for note in ("", "recorded toy-1.mp4, 1,234 pictures left out"):
            window._say(note) if note else None
            written.clear()
            resize(window, *size)
            written[:] = written[len(written) // 2 :]  # drawn twice
            assert overlaps(written) == []
            assert all(clip.contains(rect) for _, rect, clip in written)
    assert session.episode.steps == 5


def test_a_click_does_one_thing(open_window):
    window, session = open_window()
    press(window, pygame.K_x)
    for size in SIZES:
        resize(window, *size)
        assert "help" in window._controls._buttons
        for name, button in window._controls._buttons.items():
            for x in (button.left, button.centerx, button.right - 1):
                assert not window._controls.slider_at((x, button.centery)), (size, name)
    # The slider, wherever it is taken, asks for nothing else.
    resize(window, 320, 240)
    before = session.temperature
    click(window, window._controls._buttons["help"].center)
    assert (window.helping, session.temperature) == (True, before)


def test_a_window_is_not_made_smaller_than_all_fits_into(open_window):
    window, _ = open_window()
    assert window._display._window.minimum_size == SMALLEST_WINDOW
    resize(window, 120, 90)  # where the system lets it be made so
    assert window._controls._buttons == {}
    assert window.card is not None
    click(window, window.surface.get_rect().center)
    press(window, pygame.K_x, 2)
    resize(window, 640, 480)
    assert set(window._controls._buttons) == set(BUTTONS)


def test_the_correction_is_said_in_the_same_words_at_any_size(open_window, written):
    """It was "corrected each 1 s" in one window and "reset each 1 s" in another."""
    window, _ = open_window()
    for size in ((480, 360), (640, 480), usual_size(1.0, dreaming=False), (1280, 800)):
        written.clear()
        resize(window, *size)
        said = " ".join(words for words, _, _ in written)
        assert CORRECTED in said
        assert "each 1 s" not in said


def test_a_gamepad_that_is_gone_before_it_is_greeted(open_window):
    window, _ = open_window()
    send(window, pygame.JOYDEVICEADDED, device_index=5, guid="")
    assert (window.running, window._gamepads.present) == (True, False)


@pytest.mark.parametrize(("own", "key"), [(10.0, pygame.K_PLUS), (0.01, pygame.K_MINUS), (5.0, pygame.K_PLUS)])
def test_hotter_is_hotter_and_colder_colder(open_window, own, key):
    """10 became 3 by "hotter", and 0.01 became 0.05 by "colder"."""
    window, session = open_window(temperature=own)
    press(window, key)
    assert session.temperature >= own if key == pygame.K_PLUS else session.temperature <= own
    assert LOWEST <= session.temperature <= HIGHEST


@pytest.mark.parametrize("key", [pygame.K_LALT, pygame.K_RSHIFT, pygame.K_LCTRL, pygame.K_LGUI, pygame.K_CAPSLOCK])
def test_a_key_of_the_desktops_does_not_begin(open_window, key):
    window, session = open_window()
    press(window, key)
    send(window, pygame.KEYDOWN, key=pygame.K_TAB, scancode=0, mod=pygame.KMOD_LALT)
    assert (window.begun, session.world) == (False, "real")


def test_any_button_of_the_mouse_begins_and_the_wheel_does_not(open_window):
    for button, begins in ((pygame.BUTTON_LEFT, True), (pygame.BUTTON_RIGHT, True), (4, False)):
        window, _ = open_window()
        window.show()
        send(window, pygame.MOUSEBUTTONDOWN, pos=(100, 100), button=button)
        assert window.begun == begins


@pytest.mark.parametrize(("player", "pauses"), [("human", True), ("agent", False)])
def test_a_game_that_somebody_plays_waits_while_something_else_has_the_focus(open_window, player, pauses):
    window, session = open_window(player=player)
    send(window, pygame.WINDOWFOCUSLOST)
    assert not window.paused  # nothing goes on yet
    press(window, pygame.K_x)
    send(window, pygame.WINDOWFOCUSLOST)
    before = session.episode.steps
    window.advance()
    assert (window.paused, session.episode.steps == before) == (pauses, pauses)
    if pauses:
        assert window._notes[0] == "paused: the window lost the focus; p: go on"
        press(window, pygame.K_p)
        assert session.episode.steps == before + 1
        assert window._notes == ()


def test_only_the_dream_is_rewound(open_window):
    """In reality the key held the game up without a word."""
    window, session = open_window()
    press(window, pygame.K_x)
    send(window, pygame.KEYDOWN, key=pygame.K_BACKSPACE, scancode=0)
    window.advance()
    window.advance()
    assert session.episode.steps == 3
    assert window._notes == ("only the dream can be rewound",)
    send(window, pygame.KEYUP, key=pygame.K_BACKSPACE, scancode=0)
    press(window, pygame.K_TAB, 4)
    press(window, pygame.K_h)
    before = session.episode.steps
    press(window, pygame.K_BACKSPACE, 2)  # behind the help
    assert session.episode.steps == before
    press(window, pygame.K_h, 0)
    press(window, pygame.K_BACKSPACE, 2)
    assert session.episode.steps == before - 2


@pytest.mark.parametrize("covered", [pygame.K_p, pygame.K_h, pygame.K_e])
def test_enter_begins_again_whatever_was_pressed_before(open_window, covered):
    """A new episode stood still, paused at the end of the one before or behind the help."""
    window, session = open_window(player="agent")
    press(window, pygame.K_x)
    until_over(window, session)
    press(window, covered)
    press(window, pygame.K_RETURN, 2)
    assert (session.episode.steps, window.card, window.paused) == (2, None, False)


def test_full_screen_twice_is_the_same_window_as_before(open_window):
    window, _ = open_window(size="640x480")
    own = window._display._window.id
    for _ in range(2):  # before a picture is drawn in between
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_F11, scancode=0))
    for event in pygame.event.get():
        window.handle(event)
    assert (window.surface.get_size(), window._display._window.id) == ((640, 480), own)
    press(window, pygame.K_F11)
    assert window.surface.get_size() == pygame.display.get_desktop_sizes()[0]


def test_the_slider_is_let_go_where_the_window_does_not_see_it(open_window):
    window, session = open_window()
    window.show()
    slider = window._controls._slider
    for how in ("focus", "motion"):
        send(window, pygame.MOUSEBUTTONDOWN, pos=slider.center, button=1)
        before = session.temperature
        if how == "focus":
            send(window, pygame.WINDOWFOCUSLOST)
        send(window, pygame.MOUSEMOTION, pos=slider.midright, rel=(9, 0), buttons=(how == "focus", 0, 0))
        assert session.temperature == before
        send(window, pygame.MOUSEBUTTONUP, pos=slider.midright, button=1)


def test_a_recording_is_filled_and_says_nothing_of_the_window(open_window):
    """The window's picture was shrunk into it, with what the window says in amber."""
    window, session = open_window(player="agent", size="1200x400")
    press(window, pygame.K_x, 2)
    press(window, pygame.K_TAB, 2)
    press(window, pygame.K_r, 4)
    window._say("a note")
    press(window, pygame.K_p, 2)
    window.close()
    frames = iio.imread(window.recorded[0])
    width, height = usual_size(1.0, dreaming=True)
    assert frames.shape[1:3] == (height, width)
    whole = pygame.surfarray.array3d(Panels(session).draw()).swapaxes(0, 1).astype(int)
    assert np.abs(frames[-1].astype(int) - whole).mean() < 3  # what `video` shows
    assert (np.abs(frames[:, -60:].astype(int) - WARM).max(-1) < 60).sum() == 0


def test_a_recording_without_a_picture_is_none(open_window, tmp_path):
    """It was 261 bytes without a picture, and said to be recorded."""
    window, _ = open_window()
    press(window, pygame.K_x)
    for _ in range(2):
        send(window, pygame.KEYDOWN, key=pygame.K_r, scancode=0)
    for recording in window._ending:
        recording.wait()
    window.advance()
    assert window._notes == ("nothing recorded: it ended before its first picture",)
    window.close()
    assert (window.recorded, window.failures, list(tmp_path.glob("*.mp4"))) == ([], [], [])


def test_the_boxers_help_fits_the_smallest_window(written):
    """The task with the most keys, with a gamepad's beside them."""
    area = pygame.Rect(0, 0, 320, 175)
    surface = pygame.Surface((320, 240))
    draw_card(surface, area, help_card(get_task("boxing"), with_gamepad=True), 11)
    assert len(written) > 20
    assert overlaps(written) == []
    assert all(area.contains(rect) for _, rect, _ in written)
