"""Times of decoded frames and copied packets: repaired where missing, shifted where trimmed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["WHOLE", "FrameClock", "Window", "steady"]

_USUAL = [Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 100, 120)]
_USUAL += [rate * Fraction(1000, 1001) for rate in _USUAL if rate % 24 == 0 or rate % 30 == 0]
_NEAR = 1e-4  # of a rate: what an average over a clip is off by


class FrameClock:
    """Gives every decoded frame a pts, in display order.

    A frame's own pts is passed through untouched. Streams without pts (raw H.264)
    are counted at the frame rate; AVI, which stores only decoding order, is timed by
    the decoding times, which come out of the decoder in display order.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None, decode_order: bool) -> None:
        self._step = Fraction(1) / (rate or Fraction(25)) / time_base
        self._decode_order = decode_order
        self._origin: int | None = None
        self._offset = 0
        self._count = Fraction(0)
        self._last: int | None = None
        self.synthesised = 0

    def __call__(self, frame: Any, first_dts: int | None) -> int:
        """The pts of `frame` in ticks; `first_dts` is the stream's first packet's dts."""
        pts: int | None = frame.pts
        if self._decode_order and frame.dts is not None:
            if self._origin is None:
                self._origin = frame.dts
                self._offset = min(v for v in (first_dts, pts, frame.dts) if v is not None)
            pts = frame.dts - self._origin + self._offset
        elif self._decode_order and self._last is not None:
            pts = None
        if pts is None:
            self.synthesised += 1
            self._count = Fraction(0) if self._last is None else self._count + self._step
            pts = round(self._count)
            if self._last is not None and pts <= self._last:
                pts = self._last + 1
        else:
            self._count = Fraction(pts)
        self._last = pts
        return pts


@dataclass(frozen=True)
class Window:
    """The stretch of the input that is wanted, in microseconds of the input's own time.

    Attributes:
        begin: first microsecond, or None for no trimming at the front.
        end: first microsecond that is no longer wanted, or None.
    """

    begin: int | None
    end: int | None

    def shift(self, time_base: Fraction) -> int:
        """Ticks to subtract from every timestamp so that `begin` becomes 0."""
        return 0 if self.begin is None else round(Fraction(self.begin, 1_000_000) / time_base)

    def first_tick(self, time_base: Fraction) -> int:
        """The first tick that is wanted, of a stream that begins at 0."""
        tick = max(0, self.shift(time_base) - 1)
        while self.before(tick, time_base):
            tick += 1
        return tick

    def before(self, ticks: int, time_base: Fraction) -> bool:
        """Whether the time lies before the window."""
        return self.begin is not None and round(ticks * time_base * 1_000_000) < self.begin

    def until(self, ticks: int, time_base: Fraction) -> bool:
        """Whether the time is no later than the window's beginning."""
        return self.begin is None or round(ticks * time_base * 1_000_000) <= self.begin

    def after(self, ticks: int, time_base: Fraction) -> bool:
        """Whether the time lies behind the window."""
        return self.end is not None and round(ticks * time_base * 1_000_000) >= self.end


WHOLE = Window(None, None)


def steady(rate: Fraction) -> Fraction:
    """The usual rate that an average of `rate` frames a second is of, if there is one as near as that."""
    return next((usual for usual in _USUAL if abs(rate / usual - 1) < _NEAR), rate)
