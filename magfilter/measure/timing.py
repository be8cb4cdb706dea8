"""When the frames of a clip were taken, by what its container says."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import InputError
from magfilter.media import MediaInfo

__all__ = ["Timing", "find_timing"]

Floats = NDArray[np.float64]

UNEVEN = 0.1  # of a frame's time, by which times may be off an even beat
GRAIN = 1.01  # times the container's unit of time, by which rounding moves them at most
SHOWN = 0.51  # of a frame's time in the container, by which a frame may be shown sooner or later than it was taken
COARSE = 3.0  # times that from one frame to the next: in finer beats anything falls


@dataclass(frozen=True)
class Timing:
    """When frames were taken.

    Attributes:
        times: (n,) s, the first is 0.
        rate: frames a second, on average.
        even: whether they are evenly spaced.
        numbers: (n,) of the frames, in the clip, from 0: some may have been left out.
    """

    times: Floats = field(repr=False)
    rate: float
    even: bool
    numbers: NDArray[np.intp] = field(repr=False)


def find_timing(
    info: MediaInfo, times: Floats, fps: float | None, warnings: list[str], kept: NDArray[np.bool_] | None = None
) -> Timing:
    """When frames were taken, from their times (n,) s, NaN where unknown; `fps` wins over what the input says.

    Of `kept` (n,) frames alone if some only repeat the one before; see `magfilter.measure.repeats`.

    Times that stray from an even beat by no more than a tenth of it, or by the grain that the container rounds to,
    are even. Those that stray by no more than that grain from a beat of which frames are missing are put on it.
    `warnings` is added to where they are not even.

    Raises:
        InputError: times do not go on.
    """
    timing = _of_all(info, times, fps, warnings)
    return timing if kept is None or kept.all() else _without_repeats(info.source, timing, kept, warnings)


def _of_all(info: MediaInfo, times: Floats, fps: float | None, warnings: list[str]) -> Timing:
    count = len(times)
    numbers = np.arange(count)
    if fps is not None:
        return Timing(numbers / fps, fps, True, numbers)
    rate = float(info.rate or 0)
    if not np.isfinite(times).all() or count < 2:
        return Timing(numbers / (rate or 1.0), rate or 1.0, True, numbers)
    times = times - times[0]
    slope = float(np.polyfit(numbers, times, 1)[0])
    if slope <= 0:
        raise InputError(f"{info.source} has frames whose times do not go on; give the true rate with --fps RATE")
    off = np.abs(times - slope * numbers - np.mean(times - slope * numbers)).max()
    grain = GRAIN * float(info.time_base)  # Matroska counts milliseconds

    def exactly(step: float) -> float:
        """The rate of a beat of `step` s, as the input says it if it says the same."""
        return rate if rate and abs(step * rate - 1) < max(1e-3, grain / times[-1]) else 1 / step

    if off <= max(UNEVEN * slope, grain):
        mean = exactly(slope)
        return Timing(numbers / mean, mean, True, numbers)
    beat = _beat(times, grain)
    if beat is None:
        what = "has a variable frame rate"
    else:
        step, places = beat
        times = places / exactly(step)
        what = f"lacks {places[-1] + 1 - count:.0f} of {places[-1] + 1:.0f} frames of {exactly(step):.4g} a second"
    mean = (count - 1) / times[-1]
    warnings.append(
        f"{info.source} {what}, {mean:.4g} on average; the spectrum is made of the true times "
        f"and ends at {mean / 2:.4g} Hz"
    )
    return Timing(times, mean, False, numbers)


def _without_repeats(source: str, timing: Timing, kept: NDArray[np.bool_], warnings: list[str]) -> Timing:
    """The frames that are kept. Where they were shown in turn for more and fewer of a steady rate (24 a second at 60),
    they were taken at a steady rate of their own."""
    times, numbers = timing.times[kept], np.flatnonzero(kept)
    order = np.arange(len(times))
    slope, begin = np.polyfit(order, times, 1)
    even = timing.even and np.abs(times - begin - slope * order).max() <= SHOWN / timing.rate
    rate = 1 / float(slope) if even else (len(times) - 1) / float(times[-1])
    warnings.append(
        f"{source}: {len(kept) - len(times)} of {len(kept)} frames only repeat the one before and were left out; the "
        f"true rate is {rate:.4g} frames a second"
    )
    return Timing(order / rate if even else times, rate, bool(even), numbers)


def _beat(times: Floats, grain: float) -> tuple[float, Floats] | None:
    """The step in s, and the places (n,) in steps, of a beat on which all times (n,) s lie to within `grain` s; None
    if there is none."""
    gaps = np.diff(times)
    if gaps.min() <= 0:
        return None
    # Mostly one step, rounded; the mean of those is exact enough to count the steps of the longer ones.
    step = float(gaps[gaps < 1.5 * np.median(gaps)].mean())
    places = np.concatenate([[0.0], np.cumsum(np.rint(gaps / step))])
    step, begin = np.polyfit(places, times, 1)
    off = float(np.abs(times - begin - step * places).max())
    return (float(step), places) if off <= grain and step > COARSE * grain else None
