"""A video and the actions taken in it: ``x.mp4`` or ``x.gif``, and beside it ``x.csv`` or ``x.npy``, a row a frame."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from PIL import Image

from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.base.types import Frame
from worldmodels.data.episodes import Episode
from worldmodels.data.recordings.action_table import read_table
from worldmodels.data.recordings.checked import MAX_SIDE, as_frame, make_episode

#: ffmpeg's own names of what a file must be: it is not asked to guess, since a guess may be a list of other files to open.
READERS = {".mp4": "mov", ".gif": "gif"}
TABLES = (".csv", ".npy")


def table_of(video: Path) -> Path:
    """Returns the file of actions beside a video. Raises `UserError` unless there is exactly one."""
    found = [path for ending in TABLES if (path := video.with_suffix(ending)).exists()]
    if len(found) == 1:
        return found[0]
    names = " and ".join(str(video.with_suffix(ending)) for ending in TABLES)
    what = "both are there; remove one" if found else "neither is there"
    raise UserError(f"{video}: its actions are looked for in {names}, a row a frame: {what}")


def read_episodes(path: Path, number: int) -> list[Episode]:
    """Reads a video's episodes, cut after each row that is ``terminated`` or ``truncated``; the first one's seed is ``number``.

    Raises:
        UserError: there is no file of actions beside it, or there are two.
        BadFileError: the video or its actions are damaged, or there are more of the ones than of the others.
        EnvironmentFailure: there is no ffmpeg.
    """
    beside = table_of(path)
    table = read_table(beside)
    num_rows = len(table.actions)
    frames = []
    for frame in decoded(path):
        frames.append(frame)
        if len(frames) > num_rows:
            break
    if len(frames) != num_rows:
        more = "more than " if len(frames) > num_rows else ""
        short = "a video that was cut short has too few frames"
        if path.suffix.lower() == ".gif":
            short = "writers of GIFs leave out a picture like the one before it"
        columns = np.arange(table.actions.shape[1])
        numbered = len(frames) == num_rows - 1 and np.array_equal(table.actions[0], columns)
        mend = f"; if {', '.join(map(str, columns))} in the first row are names, leave that row out" if numbered else ""
        raise BadFileError(
            f"{path}: lengths differ: {more}{min(len(frames), num_rows):,} frames and {num_rows:,} rows in {beside}; each "
            f"frame needs one, and {short}{mend}"
        )
    episodes: list[Episode] = []
    ends = np.flatnonzero(table.terminated | table.truncated) + 1
    start = 0
    for end in dict.fromkeys([*ends.tolist(), num_rows]):
        steps = slice(start, end)
        episodes.append(
            make_episode(
                f"{path}, frames {start} to {end - 1}",
                np.stack(frames[steps]),
                table.actions[steps],
                None if table.rewards is None else table.rewards[steps],
                table.terminated[steps],
                None if table.damage is None else table.damage[steps],
                number + len(episodes),
            )
        )
        start = end
    return episodes


def decoded(path: Path) -> Iterator[Frame]:
    """Yields a video's frames, uint8 [64, 64, 3] each. Raises `BadFileError`, or `EnvironmentFailure` without ffmpeg."""
    with tempfile.TemporaryFile() as said:
        try:
            # PPM says each picture's size before the picture.
            command = [
                imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-xerror", "-f", READERS[path.suffix.lower()],
                "-i", f"file:{path}", "-map", "0:v:0", "-fps_mode", "passthrough", "-c:v", "ppm", "-f", "image2pipe", "-",
            ]  # fmt: skip
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, process_group=0)
        except (OSError, RuntimeError) as error:
            raise EnvironmentFailure(
                f"{path}: no video decoder ({error}); 'pip install --force-reinstall imageio-ffmpeg' brings one"
            ) from error
        assert process.stdout is not None
        try:
            number = 0
            while (picture := _picture(path, process.stdout, number)) is not None:
                yield as_frame(picture)
                number += 1
            if process.wait():
                said.seek(0)
                words = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
                why = words[0] if words else f"ffmpeg ended with {process.returncode}"
                raise BadFileError(f"{path}: cannot be decoded after frame {number} ({why}); it is damaged or truncated")
            if path.suffix.lower() == ".gif" and number < (count := _gif_frames(path)):
                raise BadFileError(
                    f"{path}: {number} of its {count} frames can be decoded; save it with a duration for each frame"
                )
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _gif_frames(path: Path) -> int:
    """Counts a GIF's pictures: ffmpeg sees the first alone where they have no durations, and says nothing."""
    try:
        with Image.open(path) as pictures:
            return int(getattr(pictures, "n_frames", 1))
    except (OSError, SyntaxError, ValueError):
        return 0  # what ffmpeg has read of it is all there is


def _picture(path: Path, stream: IO[bytes], number: int) -> Frame | None:
    """Reads a picture uint8 [rows, columns, 3] from a stream of PPM; None at its end."""
    if not (magic := stream.readline(16)):
        return None
    try:
        columns, rows = map(int, stream.readline(32).split())
        if magic != b"P6\n" or stream.readline(16) != b"255\n" or not (0 < columns <= MAX_SIDE and 0 < rows <= MAX_SIDE):
            raise ValueError
    except ValueError:
        raise BadFileError(f"{path}, frame {number}: not a picture of at most {MAX_SIDE} × {MAX_SIDE} in 8 bits") from None
    data = stream.read(rows * columns * 3)
    if len(data) < rows * columns * 3:
        return None  # the decoder has failed, and says why
    return np.frombuffer(data, np.uint8).reshape(rows, columns, 3)
