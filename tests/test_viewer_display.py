"""The window on a real X server, with real key presses: skipped where there is no Xvfb or xdotool."""

import os
import re
import shutil
import subprocess
import sys
import time

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import ImageGrab

needs_display = pytest.mark.skipif(
    shutil.which("Xvfb") is None or shutil.which("xdotool") is None, reason="needs Xvfb and xdotool (Debian: xvfb, xdotool)"
)
pytestmark = needs_display
PATIENCE_SECONDS = 120


@pytest.fixture
def server():
    """A display's process and its name."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x480x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        yield server, ":" + os.read(read, 16).decode().strip()
    finally:
        server.terminate()
        server.wait(10)
        os.close(read)


@pytest.fixture
def display(server):
    return server[1]


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen in {PATIENCE_SECONDS} s")


def screen_of(display):
    return np.asarray(ImageGrab.grab(xdisplay=display).convert("L")).astype(int)


def press_key(key, env):
    subprocess.run(["xdotool", "key", key], env=env, check=True, timeout=30)


def test_a_person_plays_watches_and_dreams(toy_run, tmp_path, display):
    env = {**os.environ, "DISPLAY": display}
    command = [sys.executable, "-m", "worldmodels", "play", str(toy_run)]
    folder = tmp_path / "here"
    folder.mkdir()
    process = subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def screen():
        return screen_of(display)

    def press(key):
        press_key(key, env)

    def shows_more_than_noise(before):
        return lambda: process.poll() is None and np.abs(screen() - before).max() > 40

    try:
        wait_for(lambda: process.poll() is not None or screen().max() > 200, "the window")
        assert process.poll() is None, process.stderr.read()
        before = screen()
        press("h")
        wait_for(shows_more_than_noise(before), "the help")
        press("h")
        press("m")
        press("Tab")
        time.sleep(0.5)
        before = screen()
        press("n")  # the dream may have ended: another one begins, and moves
        wait_for(shows_more_than_noise(before), "a dream that moves")
        press("r")
        wait_for(lambda: any(folder.glob(".*.mp4")), "a recording")
        press("r")
        wait_for(lambda: not any(folder.glob(".*.mp4")), "the recording's end")
        press("r")
        wait_for(lambda: any(folder.glob(".*.mp4")), "another recording")
        press("q")  # the recording is still going on
        said, wrong = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, wrong) == (0, "")
        assert re.search(r"^  tab +reality or the dream$", said, re.M)  # the keys, in the terminal too
        assert said.splitlines()[-2:] == [f"recorded {folder / f'toy-{number}.mp4'}" for number in (1, 2)]
        for number in (1, 2):
            assert len(iio.imread(folder / f"toy-{number}.mp4")) > 0
    finally:
        process.kill()
        process.wait()


def test_the_mouse_a_resized_window_and_one_destroyed_from_outside(toy_run, tmp_path, display):
    env = {**os.environ, "DISPLAY": display}
    command = [sys.executable, "-m", "worldmodels", "watch", str(toy_run), "--size", "600x400"]
    process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def xdotool(*args):
        subprocess.run(["xdotool", *map(str, args)], env=env, check=True, timeout=30, stdout=subprocess.DEVNULL)

    def window_is(width, height):
        def found():
            lit = screen_of(display) > 0  # the root window is black
            rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
            return process.poll() is None and len(rows) and (rows[-1] + 1, columns[-1] + 1) == (height, width)

        return found

    try:
        wait_for(lambda: process.poll() is not None or screen_of(display).max() > 200, "the window")
        assert process.poll() is None, process.stderr.read()
        xdotool("search", "--onlyvisible", "--class", ".", "windowmove", 0, 0)
        wait_for(window_is(600, 400), "the size that was asked for")
        before = screen_of(display)
        xdotool("mousemove", 100, 100, "click", 1)
        wait_for(lambda: np.abs(screen_of(display) - before)[60:300, 100:400].max() > 40, "the card's end")
        xdotool("search", "--onlyvisible", "--class", ".", "windowsize", 800, 450)
        wait_for(window_is(800, 450), "a window of another size")
        press_key("r", env)
        wait_for(lambda: any(tmp_path.glob(".*.mp4")), "a recording")
        # A full screen is the window manager's, and there is none here.
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--class", "."], env=env, stdout=subprocess.PIPE, text=True
        )
        subprocess.run(["xdotool", "windowclose", found.stdout.split()[-1]], env=env, timeout=30, stderr=subprocess.DEVNULL)
        _, wrong = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, wrong) == (0, "")
        assert [path.name for path in tmp_path.iterdir()] == ["toy-1.mp4"]
        assert len(iio.imread(tmp_path / "toy-1.mp4")) > 0
    finally:
        process.kill()
        process.wait()


def test_a_display_that_goes_away_leaves_a_whole_recording(toy_run, tmp_path, server):
    process, name = server
    env = {**os.environ, "DISPLAY": name}
    command = [sys.executable, "-m", "worldmodels", "watch", str(toy_run)]
    window = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: window.poll() is not None or screen_of(name).max() > 200, "the window")
        press_key("r", env)
        wait_for(lambda: any(tmp_path.glob(".*.mp4")), "a recording")
        process.kill()
        said, wrong = window.communicate(timeout=PATIENCE_SECONDS)
        assert (window.returncode, wrong) == (4, "worldmodels: the display is gone\n")
        assert said.splitlines()[-2:] == ["opening toy …", f"recorded {tmp_path / 'toy-1.mp4'}"]
        assert [path.name for path in tmp_path.iterdir()] == ["toy-1.mp4"]
        assert len(iio.imread(tmp_path / "toy-1.mp4")) > 0
    finally:
        window.kill()
        window.wait()


def test_a_folder_that_is_gone_is_said_at_the_end_too(toy_run, tmp_path, display):
    """Where nobody may write, not even root."""
    folder = tmp_path / "gone"
    folder.mkdir()
    env = {**os.environ, "DISPLAY": display}
    command = [sys.executable, "-m", "worldmodels", "watch", str(toy_run)]
    process = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: process.poll() is not None or screen_of(display).max() > 200, "the window")
        folder.rmdir()
        press_key("r", env)
        time.sleep(1)
        assert process.poll() is None
        press_key("q", env)
        _, wrong = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 4
        [line] = wrong.splitlines()
        assert "toy-1.mp4: cannot be written (No such file or directory)" in line
    finally:
        process.kill()
        process.wait()
