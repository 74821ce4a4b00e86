"""Watching and playing: a session of both worlds, its picture, the window and the video."""

import os

# pygame greets on standard output when it is imported.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
