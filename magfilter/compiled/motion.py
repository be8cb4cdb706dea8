"""`warp`'s flow, all but its judge compiled; as `WarpNet.forward` of `magfilter.networks.warp`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from magfilter.compiled import Learned, evidence, verdict
from magfilter.compiled.pyramid import double, halve, warp
from magfilter.networks.constants import CELL, DERIVE, FEATURES, HALFWAY, SMOOTH, SOFT

__all__ = ["measure", "scales"]

Array = NDArray[np.float32]
BAND = 8  # rows of the grid that are drawn at a time
Rows = Callable[[int, int], None]  # work on the rows first..last
Share = Callable[[Rows, int], None]  # have all of so many rows worked on


def _floats(taps: tuple[float, ...]) -> tuple[np.float32, ...]:
    return tuple(np.float32(tap) for tap in taps)


_SOFT, _HALFWAY, _SMOOTH, _DERIVE = (_floats(taps) for taps in (SOFT, HALFWAY, SMOOTH, DERIVE))


def scales(image: Array, levels: int, share: Share) -> list[Array]:
    """The image (H, W) and those of half the resolution of the one before, fine to coarse."""
    found = [np.ascontiguousarray(image, np.float32)]
    while len(found) < levels:
        fine = found[-1]
        out = np.empty((fine.shape[0] // 2, fine.shape[1] // 2), np.float32)
        share(lambda first, last, fine=fine, out=out: halve(_SOFT, fine, first, last, out), len(out))  # type: ignore[misc]
        found.append(out)
    return found


def measure(
    learned: Learned, judge: Callable[[Array], Array], references: list[Array], frames: list[Array], share: Share
) -> Array:
    """The flow (2, H/2, W/2) from the reference to the frame, px.

    Args:
        learned: see there.
        judge: what is looked at (FEATURES, h, w) → the verdict (VERDICTS, h, w).
        references, frames: of all scales (H, W), fine to coarse.
        share: how rows are shared among threads.
    """
    rows, cols = references[-1].shape
    flow = np.zeros((2, rows // CELL, cols // CELL), np.float32)
    for reference, frame in zip(reversed(references), reversed(frames), strict=True):
        # at half the scale before = a quarter of this one's, whose pixels are half as large
        flow = _scale(learned, judge, reference, frame, flow * np.float32(2), share)
    return flow


def _scale(
    learned: Learned, judge: Callable[[Array], Array], reference: Array, frame: Array, flow: Array, share: Share
) -> Array:
    """The flow (2, 2h, 2w) of one scale, from images (4h, 4w) and the flow so far (2, h, w)."""
    _, h, w = flow.shape
    features, speed = np.empty((FEATURES, h, w), np.float32), np.empty((h, w), np.float32)
    found, errors = _look(learned, reference, frame, flow, features, speed, share)
    said = judge(features)
    chosen, fine = np.empty((2, h, w), np.float32), np.empty((2, 2 * h, 2 * w), np.float32)
    share(lambda a, b: verdict.choose(learned.prior, said, flow, found, speed, errors, a, b, chosen), h)
    share(lambda a, b: verdict.refine(learned.near, said, chosen, a, b, fine), h)
    return fine


def _warped(frame: Array, flow: Array, share: Share) -> Array:
    """The frame (4h, 4w) drawn where the flow (2, h, w) says.

    Twice the resolution of it is four times its size, so that is made for a band of rows at a time.
    """
    out = np.empty_like(frame)
    height, width = frame.shape

    def band(first: int, last: int) -> None:
        low, high = reached(flow[1, max(first - 1, 0) : last + 1], CELL * first, CELL * last, height)
        finer = np.empty((2 * (high - low), 2 * width), np.float32)
        double(_HALFWAY, frame, low, high, finer)
        warp(flow, finer, low, CELL * first, CELL * last, out)

    def bands(first: int, last: int) -> None:
        for top in range(first, last, BAND):
            band(top, min(top + BAND, last))

    share(bands, flow.shape[1])
    return out


def reached(down: Array, first: int, last: int, height: int) -> tuple[int, int]:
    """Which rows of so many a band of rows first..last needs that looks so far down (n, w), px; never none.

    What is not a number looks no farther than the band.
    """
    far = down[np.isfinite(down)]
    low, high = (float(far.min()), float(far.max())) if far.size else (0.0, 0.0)
    top = min(max(first + math.floor(min(low, 0.0)), 0), height - 2)
    return top, min(max(last + math.ceil(max(high, 0.0)) + 1, top + 2), height)


def _look(
    learned: Learned, reference: Array, frame: Array, flow: Array, features: Array, speed: Array, share: Share
) -> tuple[Array, Array]:
    """The solutions (3, 2, h, w), and squared differences (2, h, w) as `verdict.choose` takes them.

    `features` and `speed` are written.
    """
    _, h, w = flow.shape

    def empty(*planes: int) -> Array:
        return np.empty((*planes, h, w), np.float32)

    def averaged(field: Array, size: int) -> Array:
        out = np.empty_like(field)
        share(lambda a, b: evidence.average(field, size, a, b, out), h)
        return out

    warped = _warped(frame, flow, share)
    sums, around = empty(9), empty(5)
    share(lambda a, b: evidence.differentiate(_SMOOTH, _DERIVE, reference, warped, a, b, sums, features, around), h)
    errors = empty(2)
    errors[0] = around[2]
    share(lambda a, b: evidence.unlike(frame, reference, a, b, errors[1]), h)
    wide, moments = averaged(averaged(sums[6:], 5), 5), empty(6)
    share(lambda a, b: evidence.centre(sums, wide, a, b, moments), h)
    found, traces, residuals = empty(3, 2), empty(3), empty(3)
    for k, pooled in enumerate((averaged(moments, 3), averaged(averaged(moments, 5), 5), moments)):
        damping, trust = learned.damping[k], learned.trust[k]
        share(
            lambda a, b: evidence.solve(pooled, damping, trust, a, b, found[k], traces[k], residuals[k]),  # noqa: B023
            h,
        )
    energy = empty()
    share(lambda a, b: evidence.level(moments, found, flow, a, b, around, energy), h)
    known, mean = averaged(around, 5), energy.mean()
    share(lambda a, b: evidence.describe(flow, found, traces, residuals, known, energy, mean, a, b, features, speed), h)
    return found, averaged(errors, 3)
