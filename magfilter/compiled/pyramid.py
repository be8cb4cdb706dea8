"""Images of half and of twice the resolution, and one drawn where a flow says; as `magfilter.networks.sampling`.

Every kernel does the rows first..last of what it writes, so that threads can share them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled

__all__ = ["CONTRACT", "ROWS", "double", "fill", "four_times", "halve", "held", "warp"]

Array = NDArray[np.float32]
Taps = tuple[float, float, float, float, float, float]

ROWS = (types.int64, types.int64)
CONTRACT = {"contract"}


@compiled()
def fill(line: Array, value: Any) -> None:
    """One value all along; sooner compiled than what NumPy has for it."""
    for k in range(line.size):
        line[k] = value


@compiled()
def held(k: int, size: int) -> Any:
    """An index held within an axis."""
    return min(max(k, 0), size - 1)


@compiled(
    types.void(types.UniTuple(types.float32, 4), array("floats", 2), *ROWS, array("floats", 2, True)),
    fastmath=CONTRACT,
)
def halve(taps: tuple[float, float, float, float], image: Array, first: int, last: int, out: Array) -> None:
    """The image (2h, 2w) low-passed by separable taps around the middle of two pixels, at every other one: (h, w)."""
    height, width = image.shape
    line = np.empty(width + 2, np.float32)
    a, b, c, d = taps
    for row in range(first, last):
        above, below = held(2 * row - 1, height), held(2 * row + 2, height)
        for k in range(width):
            line[k + 1] = a * image[above, k] + b * image[2 * row, k] + c * image[2 * row + 1, k] + d * image[below, k]
        line[0], line[width + 1] = line[1], line[width]
        for k in range(out.shape[1]):
            out[row, k] = a * line[2 * k] + b * line[2 * k + 1] + c * line[2 * k + 2] + d * line[2 * k + 3]


@compiled()
def _put_between(taps: Taps, line: Array, wide: Array, out: Array) -> None:
    """A line (w,) and what is halfway between its pixels, (2w,); `wide` (w + 5,) is room for its repeated ends."""
    a, b, c, d, e, f = taps
    width = line.size
    for k in range(width):
        wide[k + 2] = line[k]
    for k in range(2):
        wide[k] = line[0]
    for k in range(3):
        wide[width + 2 + k] = line[width - 1]
    for k in range(width):
        out[2 * k] = line[k]
        out[2 * k + 1] = (
            a * wide[k] + b * wide[k + 1] + c * wide[k + 2] + d * wide[k + 3] + e * wide[k + 4] + f * wide[k + 5]
        )


@compiled(
    types.void(types.UniTuple(types.float32, 6), array("floats", 2), *ROWS, array("floats", 2, True)),
    fastmath=CONTRACT,
)
def double(taps: Taps, image: Array, first: int, last: int, out: Array) -> None:
    """The pixels first..last of (h, w) and what the taps say is halfway between them (2 (last − first), 2w)."""
    height, width = image.shape
    line, wide = np.empty(width, np.float32), np.empty(width + 5, np.float32)
    a, b, c, d, e, f = taps
    for row in range(first, last):
        to = 2 * (row - first)
        _put_between(taps, image[row], wide, out[to])
        r0, r1, r3 = held(row - 2, height), held(row - 1, height), held(row + 1, height)
        r4, r5 = held(row + 2, height), held(row + 3, height)
        for k in range(width):
            line[k] = (
                a * image[r0, k] + b * image[r1, k] + c * image[row, k]
                + d * image[r3, k] + e * image[r4, k] + f * image[r5, k]
            )  # fmt: skip
        _put_between(taps, line, wide, out[to + 1])


@compiled()
def four_times(line: Array, out: Array) -> None:
    """A line (w,) interpolated to (4w,), its ends repeated."""
    last, eighth = line.size - 1, np.float32(0.125)
    out[0] = out[1] = line[0]
    out[4 * last + 2] = out[4 * last + 3] = line[last]
    for k in range(last):
        step = eighth * (line[k + 1] - line[k])
        out[4 * k + 2] = line[k] + step
        out[4 * k + 3] = line[k] + np.float32(3) * step
        out[4 * k + 4] = line[k + 1] - np.float32(3) * step
        out[4 * k + 5] = line[k + 1] - step


@compiled(
    types.void(array("floats", 3), array("floats", 2), types.int64, *ROWS, array("floats", 2, True)),
    fastmath=CONTRACT,
)
def warp(flow: Array, finer: Array, top: int, first: int, last: int, out: Array) -> None:
    """The frame drawn where the flow says, bilinear, its border repeated.

    Args:
        flow: (2, h, w) px, x first, a point for every 4 × 4 pixels.
        finer: (n, 8w), rows of the frame as `double` gives it, enough for what is looked for: see `reached`.
        top: which of the frame's rows, 0..4h − 1, the first of them is.
        first, last: rows of pixels, multiples of 4.
        out: (4h, 4w).
    """
    _, rows, cols = flow.shape
    wide, width = finer.shape[1], out.shape[1]
    lowest, highest = np.float32(2 * top), np.float32(2 * top + finer.shape[0] - 1)
    u, v = np.empty(width, np.float32), np.empty(width, np.float32)
    along, down = np.empty(cols, np.float32), np.empty(cols, np.float32)
    base = np.empty(width, np.uint32)
    flat, length, one = finer.reshape(-1), np.uint32(wide), np.uint32(1)
    most_x, zero, two = np.float32(wide - 1), np.float32(0), np.float32(2)
    for row in range(first, last):
        cell = row // 4
        beside = held(cell - 1 if row % 4 < 2 else cell + 1, rows)
        share = np.float32(0.375) if row % 4 in (0, 3) else np.float32(0.125)
        for k in range(cols):
            along[k] = flow[0, cell, k] + share * (flow[0, beside, k] - flow[0, cell, k])
            down[k] = flow[1, cell, k] + share * (flow[1, beside, k] - flow[1, cell, k])
        four_times(along, u)
        four_times(down, v)
        here = np.float32(row)
        for k in range(width):
            x, y = (np.float32(k) + u[k]) * two, (here + v[k]) * two
            x = x if x > zero else zero  # so that what is not a number is the first, too
            y = y if y > lowest else lowest
            x = x if x < most_x else most_x
            y = y if y < highest else highest
            # The last sample is the one before it and all of the way from there.
            left, over = np.float32(np.int32(x)), np.float32(np.int32(y))
            left = left if left < most_x - np.float32(1) else most_x - np.float32(1)
            over = over if over < highest - np.float32(1) else highest - np.float32(1)
            u[k], v[k] = x - left, y - over
            base[k] = np.uint32(np.int32(over - lowest)) * length + np.uint32(np.int32(left))
        for k in range(width):
            at = base[k]
            under = np.uint32(at + length)
            above = flat[at] + u[k] * (flat[np.uint32(at + one)] - flat[at])
            below = flat[under] + u[k] * (flat[np.uint32(under + one)] - flat[under])
            out[row, k] = above + v[k] * (below - above)
