"""Recording what the window shows: beside the play, whatever becomes of the encoder or the folder."""

import itertools
import os
import signal
import time

import imageio.v3 as iio
import numpy as np
import psutil
import pygame
import pytest
from test_viewer import encoder_program

from worldmodels.agent.load import load
from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.files import take_name
from worldmodels.config import PlayConfig
from worldmodels.viewer.recording import MAX_WAITING, Recording
from worldmodels.viewer.session import Session
from worldmodels.viewer.window import Window


@pytest.fixture
def session(toy_run, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    made = Session(load(toy_run, finished=False), PlayConfig(player="agent", seed=5))
    yield made
    made.close()


@pytest.fixture
def window(session, tmp_path):
    made = Window(session, tmp_path)
    yield made
    made.close()


def press_r(window):
    window.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_r))
    window.handle(pygame.event.Event(pygame.KEYUP, key=pygame.K_r))


def play(window, steps=1, until=lambda: False):
    for _ in range(steps):
        window.advance()
        window.show()
        if until():
            return
        time.sleep(0.002)


def encoders():
    return [child for child in psutil.Process().children() if "ffmpeg" in child.name()]


def next_name(folder):
    return take_name(folder, (f"toy-{number}.mp4" for number in itertools.count(1)))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_recording_is_named_and_shows_every_step(window, tmp_path):
    press_r(window)
    play(window, 30)
    press_r(window)
    play(window, 60_000, lambda: window.recorded)
    assert window.recorded == [tmp_path / "toy-1.mp4"]
    assert "recorded toy-1.mp4" in window._note
    assert names(tmp_path) == ["toy-1.mp4"]
    assert len(iio.imread(tmp_path / "toy-1.mp4")) == 30


def test_closing_the_window_leaves_a_whole_recording(session, tmp_path):
    window = Window(session, tmp_path)
    press_r(window)
    play(window, 12)
    window.close()
    assert window.recorded == [tmp_path / "toy-1.mp4"]
    assert len(iio.imread(tmp_path / "toy-1.mp4")) == 12


def test_no_recording_takes_the_place_of_another(window, tmp_path):
    """Not of one that is still being written, not of another window's, not of what lay there before."""
    (tmp_path / "toy-2.mp4").write_bytes(b"mine")
    for _ in range(2):
        press_r(window)
        play(window, 3)
        press_r(window)
    assert next_name(tmp_path) == tmp_path / "toy-4.mp4"
    play(window, 60_000, lambda: len(window.recorded) == 2)
    assert (tmp_path / "toy-2.mp4").read_bytes() == b"mine"
    assert [len(iio.imread(tmp_path / f"toy-{number}.mp4")) for number in (1, 3)] == [3, 3]


def test_a_folder_that_cannot_be_written_is_said_and_the_play_goes_on(session, tmp_path):
    window = Window(session, tmp_path / "gone")
    try:
        press_r(window)
        assert "not recorded: toy-1.mp4: cannot be written (No such file or directory)" in window._note
        before = session.episode.steps
        play(window, 3)
        assert session.episode.steps == before + 3
        assert (window.running, len(window.failures)) == (True, 1)
    finally:
        window.close()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_an_encoder_that_dies_is_said_and_the_play_goes_on(window, tmp_path, signum):
    press_r(window)
    play(window, 60_000, lambda: len(encoders()) == 1)
    [encoder] = encoders()
    encoder.send_signal(signum)
    play(window, 60_000, lambda: window.failures)
    [why] = window.failures
    assert f"{tmp_path / 'toy-1.mp4'}: the video encoder failed" in why
    assert "not recorded: toy-1.mp4: the video encoder failed" in window._note
    assert names(tmp_path) == []
    press_r(window)
    play(window, 3)
    press_r(window)
    play(window, 60_000, lambda: window.recorded)
    assert names(tmp_path) == ["toy-1.mp4"]


@pytest.mark.parametrize(
    "script", ['ulimit -f 8; exec "$ENCODER" "$@"', "cat > /dev/null; exit 1", "exit 1"], ids=["no room", "end", "start"]
)
def test_a_recording_that_fails_leaves_nothing(session, tmp_path, monkeypatch, script):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", encoder_program(tmp_path, script))
    folder = tmp_path / "recordings"
    folder.mkdir()
    window = Window(session, folder)
    press_r(window)
    for _ in range(40):
        if session.episode.over:
            session.restart(session.episode.seed + 1)
        play(window)
    window.close()
    assert (len(window.failures), window.recorded, names(folder)) == (1, [], [])


def test_a_slow_encoder_does_not_hold_up_the_play(tmp_path, monkeypatch):
    """Pictures are left out and counted; the video keeps the play's clock."""
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", encoder_program(tmp_path, 'sleep 2; exec "$ENCODER" "$@"'))
    path = next_name(tmp_path)
    recording = Recording(path, (128, 64), 50)
    start = time.monotonic()
    for step in range(200):
        recording.add(np.full((64, 128, 3), step, np.uint8)) if step % 4 else recording.skip()
    recording.end()
    assert time.monotonic() - start < 1
    recording.wait()
    assert recording.failure is None
    # The first step has no picture before it; what the pipe holds has left the queue.
    assert 0 < recording.num_left_out <= 150 - MAX_WAITING
    assert f"toy-1.mp4, {recording.num_left_out} pictures left out" == recording.words
    frames = iio.imread(path)
    assert len(frames) == 199
    shown = frames.mean(axis=(1, 2, 3))
    assert (np.diff(shown) > -1).all()
    assert shown[:20] == pytest.approx([step - (step % 4 == 0) for step in range(1, 21)], abs=3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(EnvironmentFailure, match=r"toy-1\.mp4: cannot be written \(Permission denied\)"):
            next_name(tmp_path)
    finally:
        tmp_path.chmod(0o755)
