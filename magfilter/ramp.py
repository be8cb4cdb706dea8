"""A magnification factor that changes over time: keyframes with straight lines between them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.checks import MOST_ALPHA
from magfilter.errors import OptionError

__all__ = ["Ramp"]

Array = NDArray[np.float32]

ROUNDING = 1e-6  # of a factor: maps of alpha are float32


@dataclass(frozen=True)
class Ramp:
    """alpha over time: straight lines between keyframes, before the first and after the last as there.

    Attributes:
        keys: (seconds from the first frame, alpha ≥ 0) in order of time, one or more.
    """

    keys: tuple[tuple[float, float], ...]

    @staticmethod
    def parse(value: Iterable[Any]) -> Ramp:
        """Read keyframes, each (seconds, alpha) or "seconds=alpha", in any order.

        Raises:
            OptionError: one is none, out of range, or two have the same time.
        """
        keys = []
        for item in value:
            try:
                time, alpha = (float(x) for x in (item.split("=") if isinstance(item, str) else item))
            except (TypeError, ValueError):
                raise OptionError(f"keyframe {item!r} is not TIME=ALPHA, such as 2.5=20") from None
            if not (math.isfinite(time) and time >= 0 and 0 <= alpha <= MOST_ALPHA):
                raise OptionError(
                    f"keyframe {time:g}={alpha:g} is out of range; seconds and alpha are 0 or more, "
                    f"and alpha at most {MOST_ALPHA}"
                )
            keys.append((time, alpha))
        if not keys:
            raise OptionError("a ramp needs at least one keyframe TIME=ALPHA")
        keys.sort(key=lambda key: key[0])
        for (one, _), (two, _) in pairwise(keys):
            if one == two:
                raise OptionError(f"two keyframes are at {one:g} s; give each time once")
        return Ramp(tuple(keys))

    @property
    def peak(self) -> float:
        """The keyframes' alpha that is farthest from 1: what a map of alpha is painted with."""
        return max((alpha for _, alpha in self.keys), key=lambda alpha: abs(alpha - 1))

    def at(self, seconds: float) -> float:
        """alpha at a time since the first frame."""
        times = [time for time, _ in self.keys]
        after = bisect_right(times, seconds)
        if after == 0:
            return self.keys[0][1]
        if after == len(times):
            return self.keys[-1][1]
        (t0, a0), (t1, a1) = self.keys[after - 1], self.keys[after]
        return a0 + (a1 - a0) * (seconds - t0) / (t1 - t0)

    def scaled(self, gain: Array, base: float, alpha: float) -> Array:
        """A map of alpha (h, w) painted for `base`, at a time when alpha is `alpha`.

        What it adds to or takes from the motion, gain − 1, follows in proportion; never below 0, where motion
        stands still.
        """
        share = np.float32((alpha - 1) / (base - 1)) if base != 1 else np.float32(1)
        out: Array = np.maximum(1 + share * (gain - 1), 0)
        return out

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest factor of a map painted for `peak` that `scaled` can bring along in proportion.

        Where alpha passes through 1, what lies on the other side of 1 than the peak would be attenuated while the rest
        is magnified, and what lies far beyond it would need a factor below 0.
        """
        lowest, highest = (choose(alpha for _, alpha in self.keys) for choose in (min, max))
        if lowest >= 1 or highest <= 1:
            return 0.0, math.inf
        return (0.0, 1.0) if self.peak < 1 else (1.0, 1 + (self.peak - 1) / (1 - lowest))

    def check(self, factor: float, what: str) -> None:
        """Refuse a factor that the ramp cannot bring along; `what` has it, for the message.

        Raises:
            OptionError: it lies outside `limits`.
        """
        low, high = self.limits
        if not low <= factor <= high * (1 + ROUNDING):
            raise OptionError(
                f"{what} has an alpha of its own, {factor:g}, that cannot follow a ramp through 1 in proportion; "
                f"give it {low:g} to {high:.4g}, or none of its own, or let the ramp stay on one side of 1"
            )

    def __str__(self) -> str:
        return ",".join(f"{time:g}={alpha:g}" for time, alpha in self.keys)
