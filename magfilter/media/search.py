"""Beginning in the middle of an input: which stretch is wanted, the way there, and whether it led too far."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..checks import check_duration, check_start
from .timing import Window

__all__ = ["SEEK_BACK", "missed", "seek", "wanted"]

# Seconds before the start to search for, in turn, while frames are missed; None: read from the beginning.
SEEK_BACK = (0, 2, 8, 32, None)
_H26X_BASE_PEDESTAL = Fraction(3, 23)  # libav's own allowance for reordering when it seeks by dts


def wanted(container: Any, start: float | None, duration: float | None) -> Window:
    """The stretch from `start` on and `duration` long, seconds from the beginning of an open container.

    Raises:
        OptionError: one is out of range.
    """
    if start is None and duration is None:
        return Window(None, None)
    if start is not None:
        check_start(start)
    if duration is not None:
        check_duration(duration)
    origin = container.start_time or 0
    begin = None if start is None else origin + round(start * 1_000_000)
    base = origin if begin is None else begin
    return Window(begin, None if duration is None else base + round(duration * 1_000_000))


def seek(stream: Any, time_base: Fraction, window: Window, back: int) -> bool:
    """Go to `back` seconds before the window, or a key frame earlier; False if there is no way but to read up to it.

    Raises:
        FFmpegError, OSError: the container cannot be searched.
    """
    container = stream.container
    if not window.begin or container.duration is None:
        return False
    seconds = Fraction(window.begin, 1_000_000) - back
    if stream.codec_context.has_b_frames:
        seconds -= _H26X_BASE_PEDESTAL
    container.seek(max(int(seconds / time_base), stream.start_time or 0), stream=stream)
    return True


def missed(container: Any, time_base: Fraction, window: Window, seen: int | None) -> bool:
    """Whether a search led behind the window's beginning, though the input reaches beyond that.

    Where a container has no index (MPEG-TS), libav goes to a time and not to a key frame before it: until the
    next one nothing can be decoded.

    Args:
        seen: pts of the first frame decoded, wanted or not; None if there was none.
    """
    begin = window.begin or 0
    if begin >= (container.start_time or 0) + (container.duration or 0):
        return False
    return seen is None or not window.until(seen, time_base)
