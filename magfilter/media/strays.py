"""Frames whose times are wrong: far ahead of the others', which go on as if nothing had been."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from statistics import median
from typing import Any, NamedTuple

__all__ = ["Strays"]

_LEAP = 8  # times the usual step; what is less is no wrong time, or does little harm
_USUAL = 9  # steps of which the median is the usual one
_MOST = 4  # frames that are held back until they are told from a gap


class _Timed(NamedTuple):
    frame: Any
    pts: int


class Strays:
    """Puts frames whose times leap ahead in between their neighbours, if those behind are back where they would be.

    After a gap that is one (of frames that are missing, or that come when they like) times go on from there, and all
    stay as they are. So a frame that leaps is held back until it shows which it is.

    Args:
        step: ticks from one frame to the next, None if that is unknown.
        live: frames come as they are taken, and none is held back: times are taken as they are.

    Attributes:
        count: frames that were moved; first: of the first of them, where it was put, in ticks; by: how far it was off.
    """

    def __init__(self, step: Fraction | None, live: bool) -> None:
        self._live = live
        self._steps: deque[Fraction | int] = deque([step] if step else [], maxlen=_USUAL)
        self._last: int | None = None
        self._held: deque[_Timed] = deque()
        self.count = self.first = self.by = 0

    def __call__(self, frame: Any, pts: int) -> list[tuple[Any, int]]:
        """The frames that may go on after this one of the decoder's has come, with their times."""
        if self._live:
            return [(frame, pts)]
        come, out = deque([_Timed(frame, pts)]), list[tuple[Any, int]]()
        while come:
            now = come.popleft()
            if not self._held and not self._leaps(now.pts):
                out.append(self._gone(now))
            elif self._held and self._returns(now.pts):
                out += [*self._moved(now.pts), self._gone(now)]
            elif len(self._held) < _MOST:
                self._held.append(now)
            else:  # a gap: what was held is looked at again from its far side
                out.append(self._gone(self._held.popleft()))
                come.extendleft(reversed([*self._held, now]))
                self._held.clear()
        return out

    def rest(self) -> list[tuple[Any, int]]:
        """What is still held back at the end, as it came: a last frame may well be shown late."""
        held = [self._gone(one) for one in self._held]
        self._held.clear()
        return held

    def warnings(self, name: str, time_base: Fraction, origin: Fraction) -> list[str]:
        """What to say of the input of this name, which begins at `origin` s, once it was read."""
        if not self.count:
            return []
        at, by = float(self.first * time_base - origin), float(self.by * time_base)
        others = f", as are {self.count - 1} more" if self.count > 1 else ""
        return [
            f"{name}: the frame at {at:.2f} seconds is said to come {by:.2f} seconds later, which those after it do "
            f"not, and is put in between its neighbours{others}"
        ]

    def _leaps(self, pts: int, steps: int = 1) -> bool:
        """Whether a time lies much more than so many usual steps behind the last one."""
        if self._last is None or not self._steps:
            return False
        return pts - self._last > steps * _LEAP * median(map(float, self._steps))

    def _returns(self, pts: int) -> bool:
        """Whether it is back where the frames were that came before those that are held."""
        assert self._last is not None
        before = all(pts < one.pts for one in self._held)
        return before and pts - self._last > len(self._held) and not self._leaps(pts, len(self._held) + 1)

    def _moved(self, end: int) -> list[tuple[Any, int]]:
        """What is held, put in between the last time and this one."""
        assert self._last is not None
        step = Fraction(end - self._last, len(self._held) + 1)
        out = []
        for number, one in enumerate(self._held, 1):
            at = self._last + round(number * step)
            if not self.count:
                self.first, self.by = at, one.pts - at
            self.count += 1
            out.append((one.frame, at))
        self._held.clear()
        self._last = out[-1][1]
        return out

    def _gone(self, one: _Timed) -> tuple[Any, int]:
        if self._last is not None and one.pts > self._last:
            self._steps.append(one.pts - self._last)
        self._last = one.pts
        return one.frame, one.pts
