"""The part of a clip whose times hang together: no spectrum is made across a gap that dwarfs the clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magfilter.measure.spectrum import THIN

__all__ = ["longest"]

Floats = NDArray[np.float64]

BACK = 0.1  # of the usual time between frames, by which one may come before the one before it


def longest(name: str, times: Floats, fps: float | None, warnings: list[str], widest: float = 1 / THIN) -> slice:
    """The longest stretch of frames at times (n,) s, NaN where unknown, that has no giant gap and does not go back.

    A gap is giant if it is `widest` times as long as the frames at their usual pace: by default, if it alone
    makes them too thin for a spectrum. Where `fps` frames a second are said to be true,
    times that go back are nobody's concern. `warnings` is added to if the stretch is not the whole clip.
    """
    count = len(times)
    whole = slice(0, count)
    if count < 3 or not np.isfinite(times).all():
        return whole
    gaps = np.diff(times)
    rising = gaps[gaps > 0]
    if not len(rising):
        return whole
    usual = float(np.median(rising))
    wide = gaps > usual * count * widest
    back = (gaps < -BACK * usual) & (fps is None)
    edges = [0, *(np.flatnonzero(wide | back) + 1).tolist(), count]
    lengths = np.diff(edges)
    best = int(np.argmax(lengths))
    if lengths[best] == count or lengths[best] < 2:
        return whole
    why = []
    if wide.any():
        why.append(f"there is a gap of {gaps.max():.4g} seconds between its frames")
    if back.any():
        why.append(f"its times fall back by {-gaps.min():.4g} seconds")
    part = slice(edges[best], edges[best + 1])
    fix = "; if frames follow each other at a steady rate all the same, give --fps RATE" if back.any() else ""
    warnings.append(
        f"{name}: {' and '.join(why)}; the longest stretch without was looked at, frames {part.start} to "
        f"{part.stop - 1} of {count}{fix}"
    )
    return part
