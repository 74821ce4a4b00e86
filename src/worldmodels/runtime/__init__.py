"""How work is done here: workers, threads, compiled loops, signals, streams, progress."""
