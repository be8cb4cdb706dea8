"""How many frames a stretch of a video should have, and how many of them did not come."""

from __future__ import annotations

from .probe import MediaInfo
from .timing import Window

__all__ = ["expected_frames", "missing_frames"]


def expected_frames(info: MediaInfo, window: Window) -> int | None:
    """Frames to be expected in the stretch that is read, or None if the input does not say."""
    if window.begin is None and window.end is None:
        return info.frames
    if not info.rate:
        return None
    begin = max(0.0, (window.begin or 0) / 1e6 - info.start_time)
    end = info.duration
    if window.end is not None:
        wanted = window.end / 1e6 - info.start_time
        end = wanted if end is None else min(end, wanted)
    return None if end is None else max(0, round((end - begin) * info.rate))


def missing_frames(
    name: str, info: MediaInfo, window: Window, decoded: int, discarded: int, reached: float
) -> tuple[int, str]:
    """How many frames an input lacks that was read to its end, and the line that says so; 0 and none if it is whole.

    Args:
        name: the input's.
        decoded: frames that came; discarded: packets that were to be decoded and not shown.
        reached: s, where the last packet ends.
    """
    short = f"{name} is cut short or damaged:"
    if info.frames_exact and window.begin is None:
        expected = (info.frames or 0) - discarded
        missing = max(0, expected - decoded)
        return missing, f"{short} {decoded} of {expected} frames could be decoded" if missing else ""
    if not info.duration:
        return 0, ""
    # Matroska counts from 0, the others from their first timestamp.
    begin = 0.0 if "matroska" in info.format else info.start_time
    early = begin + info.duration - reached
    if early <= max(0.02 * info.duration, 3 / float(info.rate or 25), 0.1):
        return 0, ""
    # By time, at the pace of what came: an average rate says nothing about a variable one.
    since = max(begin, (window.begin or 0) / 1e6)
    missing = max(1, round(decoded * early / max(reached - since, early / 1e3)))
    return missing, f"{short} it ends {early:.2f} seconds early, after {decoded} of about {decoded + missing} frames"
