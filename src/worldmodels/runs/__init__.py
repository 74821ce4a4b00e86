"""The folder of a run: its configuration, lock, timings, and the names of its files."""
