"""Recording beside the play: a thread gives the window's pictures to the encoder, and the play never waits for it."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.viewer.encoder import Encoder, encoding

#: Pictures that wait for the encoder at most, of about a megabyte each.
MAX_WAITING = 32


class Recording:
    """A video that is being made. It goes at the play's clock: where a picture is left out, the one before stays for longer.

    Args:
        path: a name that `files.take_name` has taken.
        size: (columns, rows), both even.
        fps: steps per second of the play.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self.path = path
        self.num_left_out = 0
        """Pictures that the encoder was too slow for."""
        self.failure: EnvironmentFailure | None = None
        """Why there is no video, once the recording is over."""
        self.empty = False
        """It ended before its first picture: there is no video, and nothing has failed."""
        self._size, self._fps = size, fps
        # How many steps the picture before stays for longer, and the next picture; None is the end.
        self._waiting: queue.SimpleQueue[tuple[int, NDArray[np.uint8] | None]] = queue.SimpleQueue()
        self._longer = 0
        self._encoder: Encoder | None = None
        self._thread = threading.Thread(target=self._work, name="recording", daemon=True)
        self._thread.start()

    def skip(self) -> None:
        """Notes a step whose picture was not drawn."""
        self._longer += 1

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Adds a step's picture, uint8 [rows, columns, 3], or leaves it out where too many wait."""
        if self._waiting.qsize() >= MAX_WAITING:
            self.num_left_out += 1
            self.skip()
            return
        self._waiting.put((self._longer, frame))
        self._longer = 0

    def end(self) -> None:
        """Adds no more; what waits is still written."""
        self._waiting.put((self._longer, None))

    @property
    def words(self) -> str:
        """The file's name, and how much of the play it lacks."""
        return self.path.name + (f", {self.num_left_out:,} pictures left out" if self.num_left_out else "")

    @property
    def over(self) -> bool:
        """Whether the file is whole, or has failed."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Waits until the recording is over; interrupted, it gives the video up."""
        try:
            self._thread.join()
        except KeyboardInterrupt:
            if self._encoder is not None:
                self._encoder.stop()
            self._thread.join(1)
            raise

    def _work(self) -> None:
        """Writes picture by picture until the end."""
        _, shown = self._waiting.get()
        try:
            if shown is None:
                self.empty = True
                return
            with encoding(self.path, self._size, self._fps) as self._encoder:
                self._encoder.write(shown)
                while True:
                    longer, frame = self._waiting.get()
                    for _ in range(longer):
                        self._encoder.write(shown)
                    if frame is None:
                        break
                    self._encoder.write(frame)
                    shown = frame
        except EnvironmentFailure as error:
            self.failure = error
        finally:
            if self.empty or self.failure:
                self.path.unlink(missing_ok=True)  # the empty file that kept the name
