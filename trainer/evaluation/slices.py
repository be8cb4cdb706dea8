"""x–t slices: one line of the picture over time, the classic way to show magnified motion.

Time runs to the right, the line from top (its first point) to bottom. ``figures.slices`` puts several
under each other; ``python -m trainer slice`` does both for one's own clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from .methods import Method
from .pairs import read_video

Line = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)`` in pixels; whole numbers are the centres of pixels."""


def slice_of(frames: Iterable[np.ndarray], line: Line, source: str = "the frames") -> np.ndarray:
    """The pixels along ``line`` of each of ``frames`` (H, W, 3): (length, time, 3) uint8 RGB.

    One sample a pixel of the line's length, bilinear; only the line of each frame is kept.
    Errors name ``source``.

    Raises:
        ValueError: the line leaves the picture, or there is no frame.
    """
    x0, y0, x1, y1 = line
    columns, samples = [], None
    for frame in frames:
        height, width = frame.shape[:2]
        if not (0 <= min(x0, x1) <= max(x0, x1) <= width - 1 and 0 <= min(y0, y1) <= max(y0, y1) <= height - 1):
            raise ValueError(f"Line {x0:g},{y0:g},{x1:g},{y1:g} leaves the picture of {width}x{height} in {source}")
        if samples is None:  # only now is the line known to be of a reasonable length
            count = max(2, round(float(np.hypot(x1 - x0, y1 - y0))) + 1)
            samples = [np.linspace(*ends, count, dtype=np.float32)[:, None] for ends in ((x0, x1), (y0, y1))]
        columns.append(cv2.remap(frame, *samples, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    if not columns:
        raise ValueError(f"No frame in {source}")
    return np.concatenate(columns, 1)


def magnified(frames: Iterable[np.ndarray], magnify: Method, alpha: float) -> Iterator[np.ndarray]:
    """Each of ``frames`` magnified by ``alpha`` against the first of them."""
    reference = None
    for frame in frames:
        if reference is None:
            reference = frame
        yield magnify(reference, frame, alpha)


def line_slice(
    video: Path | str,
    line: Line,
    *,
    first: int = 0,
    frames: int | None = None,
    change: Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]] | None = None,
) -> np.ndarray:
    """The pixels along ``line`` (x0, y0, x1, y1) of a video over time: (length, frames, 3) uint8 RGB.

    ``change``, for example ``magnified`` with its method, is applied to the frames on their way.

    Raises:
        ValueError: the video cannot be read or has no frame from ``first`` on, or the line leaves its picture.
    """
    import av

    source = f"{video} from frame {first} on" if first else str(video)
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise ValueError(f"No video in {video}")
        shown = read_video(Path(video), first, frames)
        return slice_of(change(shown) if change else shown, line, source)
    except av.FFmpegError as error:
        raise ValueError(f"Cannot read {video}: {error.strerror}") from error
