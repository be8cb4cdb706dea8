"""Moving a plane's samples: Catmull-Rom interpolation at any positions, the picture's border repeated.

What `magfilter.interpolate` and `magfilter.backends.resample` compute with NumPy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled

__all__ = ["move"]

Array = NDArray[np.float32]
Indices = NDArray[np.uint32]  # unsigned, so that none is taken to count from the end
Samples = NDArray[Any]
Axis = tuple[Indices, Indices, Array]


@lru_cache(maxsize=8)  # the same for every band of every frame
def taps(count: int, field: int) -> Axis:
    """Where along an axis each of `count` samples lies among a coarser field's, their centres in line.

    Returns:
        The field's two samples around each, (count,) both, and the share of the second (count,).
    """
    at = (np.arange(count, dtype=np.float32) + 0.5) * np.float32(field / count) - np.float32(0.5)
    at = np.clip(at, 0, field - 1)
    before = np.floor(at).astype(np.uint32)
    return before, np.minimum(before + 1, field - 1).astype(np.uint32), (at - before).astype(np.float32)


# Loops that do one thing each are computed several samples at a time, and compiled sooner than NumPy's operations.


@compiled()
def _between(coarse: Array, row: int, next_row: int, row_share: float, step: float, columns: Axis, out: Array) -> None:
    """One component of the field (rows, cols) interpolated at a row of samples, (width,), in samples."""
    before, after, share = columns
    line = np.empty(coarse.shape[1], np.float32)
    for k in range(line.size):
        line[k] = (coarse[row, k] + (coarse[next_row, k] - coarse[row, k]) * row_share) / step
    for k in range(out.size):
        one = line[before[k]]
        out[k] = one + (line[after[k]] - one) * share[k]


@compiled()
def _split(
    displacement: Array, here: Array, first: float, last: float, share: Array, sample: NDArray[np.int32]
) -> None:
    """Positions (n,) held between the first and the last sample, as the sample before and the way from there."""
    for k in range(displacement.size):
        at = here[k] + displacement[k]
        at = at if at > first else first  # so that what is not a number is the first, too
        at = at if at < last else last
        sample[k] = np.int32(at)
        share[k] = at - np.float32(sample[k])


@compiled()
def _weigh(share: Array, weights: Array) -> None:
    """The weights (4, n) of the four samples around."""
    half, one = np.float32(0.5), np.float32(1)
    for k in range(share.size):
        t = share[k]
        s = one - t
        weights[0, k] = -half * t * s * s
        weights[1, k] = one + t * t * (np.float32(1.5) * t - np.float32(2.5))
        weights[2, k] = one + s * s * (np.float32(1.5) * s - np.float32(2.5))
        weights[3, k] = -half * s * t * t


AXIS = types.Tuple([array("indices", 1), array("indices", 1), array("floats", 1)])


@compiled(
    types.void(
        array("floats", 3), types.float32, types.float32, array("floats", 2), types.int64, types.int64, AXIS, AXIS,
        types.int64, types.float32, array("floats", 2, True),
    ),
    fastmath={"contract"},
)  # fmt: skip
def _move(
    field: Array,
    step_x: float,
    step_y: float,
    samples: Array,
    low: int,
    high: int,
    rows: Axis,
    columns: Axis,
    top: int,
    peak: float,
    out: Array,
) -> None:
    width = out.shape[1]
    zero = np.float32(0)
    flat, length = samples.reshape(-1), np.uint32(samples.shape[1])
    one, two, three = np.uint32(1), np.uint32(2), np.uint32(3)
    dx, dy = np.empty(width, np.float32), np.empty(width, np.float32)
    tx, ty = np.empty(width, np.float32), np.empty(width, np.float32)
    at_x, at_y = np.empty(width, np.int32), np.empty(width, np.int32)
    across, down = np.empty((4, width), np.float32), np.empty((4, width), np.float32)
    here, level = np.empty(width, np.float32), np.empty(width, np.float32)
    for column in range(width):
        here[column] = np.float32(column)
    for n in range(out.shape[0]):
        row = top + n
        for column in range(width):
            level[column] = np.float32(row)
        _between(field[0], rows[0][row], rows[1][row], rows[2][row], step_x, columns, dx)
        _between(field[1], rows[0][row], rows[1][row], rows[2][row], step_y, columns, dy)
        _split(dx, here, zero, np.float32(width - 1), tx, at_x)
        _split(dy, level, np.float32(low), np.float32(high), ty, at_y)
        _weigh(tx, across)
        _weigh(ty, down)
        for column in range(width):
            a = np.uint32((at_y[column] - low) * length + at_x[column])
            if dx[column] == zero and dy[column] == zero:
                out[n, column] = flat[a + length + one]
                continue
            x0, x1, x2, x3 = across[0, column], across[1, column], across[2, column], across[3, column]
            value: Any = zero
            for k in range(4):
                b, c, d = np.uint32(a + one), np.uint32(a + two), np.uint32(a + three)
                value += down[k, column] * (x0 * flat[a] + x1 * flat[b] + x2 * flat[c] + x3 * flat[d])
                a = np.uint32(a + length)
            value = value if value > zero else zero
            out[n, column] = np.rint(value if value < peak else peak)


def move(
    field: Array, step: tuple[float, float], plane: Samples, peak: int, span: tuple[int, int], out: Samples
) -> None:
    """Rows span[0]..span[1] of a plane, each sample from where the field says, are written to `out`.

    Args:
        field: (2, rows, cols) px of the picture, x first, over the whole plane.
        step: px of the picture per sample of the plane, along x and y.
        plane: (height, width) of whole numbers, at most 16 bits each.
        peak: the largest sample.
        span: rows of the plane.
        out: of the plane's shape and kind.
    """
    (_, rows, cols), (height, width) = field.shape, plane.shape
    top, bottom = span
    down, along = taps(height, rows), taps(width, cols)
    # The rows that are looked at: what is between the field's points lies between their values.
    way = field[1, down[0][top] : int(down[1][bottom - 1]) + 1] / np.float32(step[1])
    low = _held(top - 1 + min(float(way.min()), 0.0), 0, top)
    high = _held(bottom + max(float(way.max()), 0.0), min(bottom, height - 1), height - 1)
    # One sample more above and to the left, two below and to the right: each position has its four then.
    around = plane[np.arange(low - 1, high + 3).clip(0, height - 1)].astype(np.float32)
    moved = np.empty((bottom - top, width), np.float32)
    _move(
        np.ascontiguousarray(field, np.float32), *step, np.pad(around, ((0, 0), (1, 2)), mode="edge"), low, high, down,
        along, top, peak, moved,
    )  # fmt: skip
    out[top:bottom] = moved


def _held(row: float, least: int, most: int) -> int:
    """A row between two others; what is not a number is the one farther out."""
    if np.isnan(row):
        return least if least == 0 else most
    return int(min(max(row, least), most))
