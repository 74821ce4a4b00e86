"""Watching and playing: a session of one episode after the other, its picture, and the two that show it: window and video."""
