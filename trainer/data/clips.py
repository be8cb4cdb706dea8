"""Clips as they lie on disk: which there are, and their frames in order.

A clip is a video file, or a folder of pictures whose names end in a number (as YouTube-VOS,
DAVIS, Vimeo-90k and TAO come). Frames are decoded one after another and never kept: memory
does not depend on a clip's length.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from magfilter.errors import InputError
from magfilter.media.source import open_input, pick_video

__all__ = ["READ_ERRORS", "ClipStream", "count_frames", "find_clips", "numbered_pictures", "read_picture", "to_rgb"]

READ_ERRORS = (InputError, av.error.FFmpegError, OSError)
"""What reading a clip can raise; a clip that does is skipped and counted, never the end of a run."""

# fmt: off
VIDEOS = frozenset((
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv",
    ".ts", ".webm", ".wmv", ".y4m",
))
PICTURES = frozenset((".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
# fmt: on

# swscale's default repeats every chroma sample: a surface that moves smoothly would change its
# colour in jumps of two pixels. Interpolated, and rounded rightly, it costs a few milliseconds more.
_CAREFUL = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_CAREFUL |= Interpolation.FULL_CHR_H_INP


def _natural(path: Path) -> tuple[list[str | int], str]:
    """A key that sorts frame2 before frame10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], path.name


def numbered_pictures(folder: Path) -> list[Path]:
    """The pictures directly in `folder` whose names end in a number, in the order of their numbers.

    Raises:
        OSError: if the folder cannot be listed.
    """
    found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.stem[-1:].isdigit() and p.name[0] != "."]
    return sorted(found, key=_natural)


def find_clips(paths: Sequence[Path]) -> list[Path]:
    """Every clip under `paths`, each once: arguments in their order, folders in natural order.

    A file is a clip whatever its name; in folders, which are searched to any depth, only files
    with a video's suffix and folders of numbered pictures are. Hidden names are left out.

    Raises:
        FileNotFoundError: if an argument does not exist.
    """
    found: dict[Path, None] = {}
    seen: set[str] = set()

    def search(folder: Path) -> None:
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            return
        seen.add(real)
        if numbered_pictures(folder):
            found.setdefault(folder)
        for path in sorted((p for p in folder.iterdir() if p.name[0] != "."), key=_natural):
            if path.suffix.lower() in PICTURES:
                continue  # by the hundred thousand, and each question to the disk counts
            if path.is_dir():
                search(path)
            elif path.suffix.lower() in VIDEOS:
                found.setdefault(path)

    for path in paths:
        path = Path(os.path.abspath(path))
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; give video files, or folders of them.")
        if path.is_dir():
            search(path)
        else:
            found.setdefault(path)
    return list(found)


def read_picture(path: Path) -> av.VideoFrame:
    """A picture file as a frame; what it is, its content says, not its name.

    Raises:
        InputError: if it holds no picture; FFmpegError or OSError if it cannot be read.
    """
    with path.open("rb") as file, av.open(file) as container:
        for frame in container.decode(video=0):
            return frame
    raise InputError(f"{path} holds no picture")


def to_rgb(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """A frame of any pixel format as (H, W, 3) uint8 RGB; one `reformatter` a clip spares set-up."""
    return reformatter.reformat(frame, format="rgb24", interpolation=_CAREFUL, threads=1).to_ndarray()


def open_film(path: Path, threads: int) -> tuple[Any, Any]:
    """The container and its video stream, ready to decode with `threads` (0: one a core).

    Raises:
        InputError: if it is not media, or has no video.
    """
    container = open_input(str(path), None)
    try:
        stream = pick_video(str(path), container)
    except BaseException:
        container.close()
        raise
    stream.codec_context.thread_count = threads
    # Frame threads decode ahead, which is wasted on a reader that jumps.
    stream.codec_context.thread_type = "SLICE" if threads == 1 else "AUTO"
    return container, stream


def count_frames(path: Path) -> int:
    """How many frames a clip promises: read from its packets, nothing is decoded.

    Raises:
        InputError, FFmpegError, OSError: if it cannot be read.
    """
    if path.is_dir():
        return len(numbered_pictures(path))
    container, stream = open_film(path, 1)
    with container:
        return sum(packet.size > 0 for packet in container.demux(stream))


class ClipStream:
    """A clip's frames in order of display, decoded as they are asked for.

    Attributes:
        time_base: seconds a tick of `VideoFrame.pts`; for pictures 1, and their pts is their position.

    Raises:
        InputError, FFmpegError, OSError: when it is opened or while it is iterated.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._pictures: list[Path] | None = None
        self._container: Any = None
        self.time_base = Fraction(1)
        if path.is_dir():
            self._pictures = numbered_pictures(path)
        else:
            self._container, self._stream = open_film(path, threads)
            self.time_base = Fraction(self._stream.time_base or 1)

    def __iter__(self) -> Iterator[av.VideoFrame]:
        if self._pictures is None:
            yield from self._container.decode(self._stream)
            return
        for number, path in enumerate(self._pictures):
            frame = read_picture(path)
            frame.pts = number
            yield frame

    def __enter__(self) -> ClipStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is not None:
            self._container.close()
