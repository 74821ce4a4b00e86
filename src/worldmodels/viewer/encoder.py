"""Frames into a video file: a process of ffmpeg's, and a file that appears when it is whole."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.base.files import written_beside

#: Codec, pixels and options by the file's ending: H.264 that browsers show, and a smaller GIF with a palette every frame.
CODECS: dict[str, tuple[str, str, list[str]]] = {
    ".mp4": ("libx264", "yuv420p", ["-crf", "20", "-preset", "veryfast"]),
    ".gif": (
        "gif",
        "pal8",
        [
            "-filter_complex",
            "scale=iw*2/3:-2:flags=area,split[a][b];"
            "[a]palettegen=max_colors=64:stats_mode=single[p];[b][p]paletteuse=new=1:dither=none",
        ],
    ),
}


class Encoder:
    """Takes the frames of one video; `encoding` makes it."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        assert process.stdin is not None
        self._path, self._process, self._frames, self._said = path, process, process.stdin, said

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Adds a frame, uint8 [rows, columns, 3]. Raises `EnvironmentFailure` if the encoder or the disk fails."""
        try:
            self._frames.write(np.ascontiguousarray(frame).data)
        except OSError:
            raise self._failure() from None

    def finish(self) -> None:
        """Waits for the end of the file. Raises `EnvironmentFailure` if the encoder or the disk fails."""
        try:
            self._frames.close()
        except OSError:
            raise self._failure() from None
        if self._process.wait():
            raise self._failure()

    def stop(self) -> None:
        """Ends the encoder, wherever it is."""
        self._process.kill()
        with contextlib.suppress(OSError):  # what it has not read yet
            self._frames.close()
        self._process.wait()

    def _failure(self) -> EnvironmentFailure:
        """Says why the encoder is gone: in its own last words, or by the code that it ended with."""
        code = self._process.wait()
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").split("\n")
        why = next((line.strip() for line in reversed(words) if line.strip()), f"it ended with {code}")
        return EnvironmentFailure(f"{self._path}: the video encoder failed ({why})")


@contextlib.contextmanager
def encoding(path: Path, size: tuple[int, int], fps: float) -> Iterator[Encoder]:
    """Yields what writes frames into a video file, which appears when it is whole.

    Args:
        path: ends in .mp4 or .gif.
        size: (columns, rows), both even.
        fps: frames per second.

    Raises:
        UserError: another ending.
        EnvironmentFailure: the encoder or the disk fails, at any time until the end.
    """
    check_ending(path)
    codec, pixels, options = CODECS[path.suffix]
    frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(Fraction(fps)), "-i", "-"]
    with written_beside(path) as temporary, tempfile.TemporaryFile() as said:
        # "file:", because a name with a colon in it would be an address to ffmpeg, and one that begins with "-" an option.
        video = ["-an", "-c:v", codec, "-pix_fmt", pixels, *options, f"file:{temporary}"]
        try:
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *frames, *video]
            # In a process group of its own: what a terminal sends is for us, and we end the encoder.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, process_group=0)
        except (OSError, RuntimeError) as error:
            raise EnvironmentFailure(
                f"{path}: the video encoder does not start ({error}); 'pip install --force-reinstall imageio-ffmpeg' brings "
                f"one, and IMAGEIO_FFMPEG_EXE names another"
            ) from error
        encoder = Encoder(path, process, said)
        try:
            yield encoder
            encoder.finish()
        except BaseException:
            encoder.stop()
            raise


def check_ending(path: Path) -> None:
    """Raises `UserError` for a file that is neither .mp4 nor .gif."""
    if path.suffix not in CODECS:
        raise UserError(f"{path}: a video ends in {' or '.join(CODECS)}")
