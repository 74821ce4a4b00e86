"""Videos without a display: a session's panels, frame by frame into the encoder, so that any length needs the same memory."""

from __future__ import annotations

import contextlib
import math
import types
from pathlib import Path
from typing import Any, Self

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from worldmodels.config import PlayConfig, VideoConfig
from worldmodels.errors import EnvironmentFailure, UserError
from worldmodels.files import written_beside
from worldmodels.progress import Progress
from worldmodels.viewer.panels import Panels, to_array
from worldmodels.viewer.parts import Parts, find_parts
from worldmodels.viewer.session import Session

#: Codec, pixels and options by the file's ending: H.264 that browsers show, and a smaller GIF with a palette every frame.
CODECS: dict[str, tuple[str, str, list[str]]] = {
    ".mp4": ("libx264", "yuv420p", ["-crf", "20"]),
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
#: A GIF shows every second step: it has no better clock than hundredths of a second, and is large as it is.
GIF_EVERY_STEPS = 2


class Encoder:
    """Writes frames, uint8 [rows, columns, 3] of even sizes, into a video file that appears when it is whole.

    Args:
        path: ends in .mp4 or .gif.
        size: (columns, rows).
        fps: frames per second.

    Raises:
        UserError: another ending.
        EnvironmentFailure: the encoder or the disk fails.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        check_ending(path)
        self._beside = written_beside(path)
        self._path = path
        temporary = self._beside.__enter__()
        try:
            codec, pixels, options = CODECS[path.suffix]
            self._frames: Any = imageio_ffmpeg.write_frames(
                str(temporary),
                size,
                fps=fps,
                codec=codec,
                pix_fmt_out=pixels,
                quality=None,
                macro_block_size=2,
                ffmpeg_log_level="error",
                output_params=options,
            )
            self._frames.send(None)
        except (OSError, RuntimeError) as error:
            with contextlib.suppress(EnvironmentFailure):
                self._beside.__exit__(type(error), error, error.__traceback__)
            raise EnvironmentFailure(
                f"{path}: the video encoder does not start ({error}); 'pip install --force-reinstall imageio-ffmpeg' brings "
                f"one, and IMAGEIO_FFMPEG_EXE names another"
            ) from error

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Adds a frame."""
        try:
            self._frames.send(np.ascontiguousarray(frame))
        except (OSError, StopIteration) as error:
            raise EnvironmentFailure(f"{self._path}: the video encoder failed ({str(error).splitlines()[0]})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._frames.close()
        self._beside.__exit__(kind, error, trace)


def check_ending(path: Path) -> None:
    """Raises `UserError` for a file that is neither .mp4 nor .gif."""
    if path.suffix not in CODECS:
        raise UserError(f"{path}: a video ends in {' or '.join(CODECS)}")


def write_video(settings: VideoConfig, target: str, out: Path) -> None:
    """Shows the agent of ``target`` for ``settings.steps`` steps; an episode that ends is followed by the next seed's.

    Raises:
        UserError: there is nothing to show, or no such kind of file.
    """
    check_ending(out)
    record(find_parts(target), settings, out)


def record(parts: Parts, settings: VideoConfig, out: Path, one_episode: bool = False) -> None:
    """Records ``settings.steps`` steps, or until the first episode is over."""
    sessions = [
        Session(parts, PlayConfig(settings.world, "agent", settings.seed + i, settings.temperature, settings.device))
        for i in range(settings.grid)
    ]
    every = GIF_EVERY_STEPS if out.suffix == ".gif" else 1
    progress = Progress("video", settings.steps, "steps")
    try:
        panels = [Panels(session) for session in sessions]
        first = _tiled(panels, settings.grid)
        with Encoder(out, (first.shape[1], first.shape[0]), parts.spec.render_fps / every) as encoder:
            encoder.write(first)
            for step in range(1, settings.steps + 1):
                for session in sessions:
                    if session.episode.over:
                        session.restart(session.episode.seed + settings.grid)
                    session.step()
                if step % every == 0:
                    encoder.write(_tiled(panels, settings.grid))
                progress.update(step)
                if one_episode and sessions[0].episode.over:
                    break
        progress.finish(f"{out}")
    finally:
        for session in sessions:
            session.close()


def _tiled(panels: list[Panels], grid: int) -> NDArray[np.uint8]:
    """Returns one session's panels, or of several only their worlds' own pictures, as square as can be."""
    if grid == 1:
        return to_array(panels[0].draw())
    tiles = [to_array(panel.draw_world()) for panel in panels]
    columns = math.ceil(math.sqrt(grid))
    tiles += [np.zeros_like(tiles[0])] * (-grid % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])
