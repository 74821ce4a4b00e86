"""Progress of long work: a live line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from textwrap import wrap
from typing import Literal

PLAIN_SECONDS = 10.0
VERBOSE_SECONDS = 1.0
#: A line is no longer than this: what says least is left out first.
WIDTH = 60
#: How much is said; `worldmodels --quiet` and ``--verbose`` set it.
loudness: Literal["usual", "quiet", "verbose"] = "usual"
#: The rate is measured from the first news on, and not told before so many seconds of it, nor before as many as the first news
#: took: start-up is no measure of the work, and what is done side by side ends in bursts.
MEASURED_SECONDS = 2.0


def format_seconds(seconds: float) -> str:
    """Returns a duration as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_number(value: float, digits: int = 3) -> str:
    """Returns a positive number with so many digits, or all of those before the point: ``12.3``, ``1,772``."""
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:.{digits}g}"


class Progress:
    """One stage's line: what is done, the rate, the time left and the last score.

    Args:
        label: the stage.
        total: how many units there are to do.
        unit: what is counted.
        done: how many units an earlier, interrupted process has done.
    """

    def __init__(self, label: str, total: int, unit: str, done: int = 0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self._done = done
        #: When the first news came, and what was done by then.
        self._first: tuple[float, int] | None = None
        self._start = time.monotonic()
        self._last_line = self._start
        self._live = sys.stderr.isatty()
        if done and loudness != "quiet":
            print(f"{label}: goes on at {done:,} of {total:,} {unit}", file=sys.stderr, flush=True)

    def update(self, done: int, score: str = "") -> None:
        """Shows that ``done`` units are done, with a short score such as ``error 12.3, KL 4.5``, what matters most first."""
        self._done = done
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        if loudness == "quiet":
            return
        if now - self._last_line >= (0.2 if self._live else VERBOSE_SECONDS if loudness == "verbose" else PLAIN_SECONDS):
            self._last_line = now
            self._show(score, now)

    def _show(self, score: str, now: float) -> None:
        rate, count = self._rate(now), f"{self._done:,}/{self.total:,}"
        left = f"{format_seconds((self.total - self._done) / rate)} left" if rate > 0 else ""
        speed = "" if rate <= 0 else f"{format_number(rate)}/s" if rate >= 1 else f"{format_number(1 / rate)} s each"
        named, first = f"{count} {self.unit}", score.partition(", ")[0]
        scored = [(named, *told, what) for told in ((speed, left), (left,)) for what in (score, first)]
        tries = [*scored, (named, left), (count, left, first), (count, left), (count,)]
        lines = [f"{self.label}: {', '.join(part for part in parts if part)}" for parts in tries]
        line = next((each for each in lines if len(each) <= WIDTH), lines[-1])
        self._say(f"\r\x1b[2K{line}" if self._live else line, "" if self._live else "\n")

    def _rate(self, now: float) -> float:
        """Returns the units done a second since the first news; 0 while that is too short to tell."""
        if self._first is None:
            return 0.0
        when, done = self._first
        measured = now - when
        return 0.0 if measured < max(MEASURED_SECONDS, when - self._start) else (self._done - done) / measured

    def finish(self, message: str, made: Path | None = None) -> None:
        """Ends the line with what came of it, the time it took, and where it lies; what does not fit goes on further lines."""
        if loudness == "quiet":
            return
        took = format_seconds(time.monotonic() - self._start)
        start = "\r\x1b[2K" if self._live else ""
        text = f"{self.label}: {message} in {took}"
        lines = wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        if made is not None:
            beside = f"{lines[-1]}, {made}"
            lines[-1:] = [beside] if len(beside) <= WIDTH else [lines[-1], f"  {made}"]
        self._say(start + "\n".join(lines), "\n")

    def _say(self, text: str, end: str) -> None:
        try:
            print(text, end=end, file=sys.stderr, flush=True)
        except OSError:
            # A terminal that has been closed: its signal is on its way, and what it asks for is not lost over a line.
            if not self._live:
                raise
