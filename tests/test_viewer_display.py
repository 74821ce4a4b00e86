"""The window on a real X server, with real key presses: skipped where there is no Xvfb or xdotool."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import ImageGrab

pytestmark = pytest.mark.skipif(
    shutil.which("Xvfb") is None or shutil.which("xdotool") is None, reason="needs Xvfb and xdotool (Debian: xvfb, xdotool)"
)
PATIENCE_SECONDS = 120


@pytest.fixture
def display():
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x480x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        yield ":" + os.read(read, 16).decode().strip()
    finally:
        server.terminate()
        server.wait(10)
        os.close(read)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen in {PATIENCE_SECONDS} s")


def test_a_person_plays_watches_and_dreams(toy_run, tmp_path, display):
    env = {**os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11"}
    command = [sys.executable, "-m", "worldmodels", "play", str(toy_run)]
    process = subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    def screen():
        return np.asarray(ImageGrab.grab(xdisplay=display).convert("L")).astype(int)

    def press(key):
        subprocess.run(["xdotool", "key", key], env=env, check=True, timeout=30)

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
        wait_for(lambda: any(tmp_path.glob(".*.mp4")), "a recording")
        press("r")
        wait_for(lambda: (tmp_path / "toy-1.mp4").exists(), "the recording's end")
        press("q")
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
