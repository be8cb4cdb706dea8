"""When the frames of a clip were taken, by what its container says."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import InputError
from magfilter.measure.spectrum import fastest
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

    @property
    def top(self) -> float:
        """Hz, the highest frequency that is told: half the rate, or half the beat's of which some are missing."""
        return self.rate / 2 if self.even else fastest(self.times, self.rate)


@dataclass(frozen=True)
class _Said:
    """What a container says: `timing` of all frames; `near` s, by which its beat may show one sooner or later than it
    was taken, 0 if they lie on none; and `uneven`, what the user is to know of them, empty if they are even."""

    timing: Timing
    near: float
    uneven: str = ""


def find_timing(
    info: MediaInfo, times: Floats, fps: float | None, warnings: list[str], kept: NDArray[np.bool_] | None = None
) -> Timing:
    """When frames were taken, from their times (n,) s, NaN where unknown; `fps` wins over what the input says.

    Of `kept` (n,) frames alone if some only repeat the one before; see `magfilter.measure.repeats`.

    Times that stray from an even beat by no more than a tenth of it, or by the grain that the container rounds to,
    are even. Those that stray by no more than that grain from a beat of which frames are missing are put on it.
    With `fps`, that beat is of so many a second, unless they are a steady `fps` as they are; where there is no beat,
    every frame follows the one before. `warnings` is added to where they are not even.

    Raises:
        InputError: times do not go on.
    """
    said = _of_all(info, times) if fps is None else _at_rate(info, times, fps)
    timing, repeats = said.timing, ""
    if kept is not None and not kept.all():
        timing, repeats = _without_repeats(info.source, said, kept)
    if said.uneven and not timing.even:
        warnings.append(said.uneven)
    if repeats:
        warnings.append(repeats)
    return timing


def _of_all(info: MediaInfo, times: Floats, fps: float | None = None) -> _Said:
    """What the container says of frames at times (n,) s; `fps` is the true rate of its beat if it has one."""
    count = len(times)
    numbers = np.arange(count)
    rate = float(info.rate or 0)
    if not np.isfinite(times).all() or count < 2:
        return _steady(count, fps or rate or 1.0)
    times = times - times[0]
    slope = float(np.polyfit(numbers, times, 1)[0])
    if slope <= 0:
        raise InputError(f"{info.source} has frames whose times do not go on; give the true rate with --fps RATE")
    off = np.abs(times - slope * numbers - np.mean(times - slope * numbers)).max()
    grain = GRAIN * float(info.time_base)  # Matroska counts milliseconds

    def exactly(step: float) -> float:
        """The rate of a beat of `step` s, as the input says it if it says the same."""
        if fps is not None:
            return fps
        return rate if rate and abs(step * rate - 1) < max(1e-3, grain / times[-1]) else 1 / step

    if off <= max(UNEVEN * slope, grain):
        return _steady(count, exactly(slope))
    beat = _beat(times, grain)
    if beat is None:
        what, near = "has a variable frame rate", 0.0
    else:
        step, places = 1 / exactly(beat[0]), beat[1]
        times = places * step
        near = (SHOWN + grain / beat[0]) * step
        what = f"lacks {places[-1] + 1 - count:.0f} of {places[-1] + 1:.0f} frames of {1 / step:.4g} a second"
    mean = (count - 1) / times[-1]
    what = (
        f"{info.source} {what}, {mean:.4g} on average; the spectrum is made of the true times "
        f"and ends at {fastest(times, mean):.4g} Hz"
    )
    steady = _own_rate(times, near)
    if steady and fps is None:
        # Of 30 a second every fifth is missing, or 24 a second were rounded to it: the times are the same.
        whole = round(steady)
        steady = whole if np.ptp(times - numbers / max(whole, 1)) <= 2 * near else steady
        what += f"; if the frames were taken at a steady {steady:.5g} a second instead, give --fps {steady:.5g}"
    return _Said(Timing(times, mean, False, numbers), near, what)


def _at_rate(info: MediaInfo, times: Floats, fps: float) -> _Said:
    """What the container says of which frames of `fps` a second are missing; nothing if it says no rate, if its times
    (n,) s have no beat, or if every frame was shown when it was its turn at a steady `fps`."""
    steady = _steady(len(times), fps)
    known = np.isfinite(times).all() and len(times) > 1 and bool(info.rate)
    if not known or np.polyfit(steady.timing.numbers, times, 1)[0] <= 0:
        return steady
    said = _of_all(info, times)
    late = said.timing.times - steady.timing.times
    if not said.near or np.ptp(late) <= 2 * said.near:
        return steady
    return _of_all(info, times, fps)


def _steady(count: int, rate: float) -> _Said:
    numbers = np.arange(count)
    return _Said(Timing(numbers / rate, rate, True, numbers), SHOWN / rate)


def _without_repeats(source: str, said: _Said, kept: NDArray[np.bool_]) -> tuple[Timing, str]:
    """The frames that are kept, and what the user is to know. Where they were shown in turn for more and fewer of a
    steady rate (24 a second at 60), they were taken at a steady rate of their own, also if some of the repeats are
    missing."""
    times, numbers = said.timing.times[kept], np.flatnonzero(kept)
    own = _own_rate(times, said.near)
    rate = own or (len(times) - 1) / float(times[-1])
    what = (
        f"{source}: {len(kept) - len(times)} of {len(kept)} frames only repeat the one before and were left out; the "
        f"true rate is {rate:.4g} frames a second"
    )
    return Timing(np.arange(len(times)) / rate if own else times, rate, own > 0, numbers), what


def _own_rate(times: Floats, near: float) -> float:
    """The steady rate of frames that were shown at times (n,) s, up to `near` s sooner or later than they were taken;
    0 if there is none."""
    order = np.arange(len(times))
    slope = float(np.polyfit(order, times, 1)[0])
    return 1 / slope if np.ptp(times - slope * order) <= 2 * near else 0.0


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
