"""Moving a plane's samples: Catmull-Rom interpolation at any positions; beyond the picture lies its mirror image.

What `magfilter.interpolate` and `magfilter.backends.resample` compute with NumPy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled
from magfilter.compiled.pyramid import four_times

__all__ = ["move"]

Array = NDArray[np.float32]
Indices = NDArray[np.uint32]  # unsigned, so that none is taken to count from the end
Samples = NDArray[Any]
Axis = tuple[Indices, Indices, Array]

SHORT = 8  # positions; so few are computed one by one
SPAN = 256  # positions that are worked on at a time; their weights stay in a core's own cache
# Too large a number for what follows the point, added and taken off again; rint itself is a call for each sample.
ROUNDS = np.float32(3 << 22)
U_SPAN, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in (SPAN, 1, 2, 3, 4))


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
    line = np.empty(coarse.shape[1], np.float32)
    for k in range(line.size):
        line[k] = (coarse[row, k] + (coarse[next_row, k] - coarse[row, k]) * row_share) / step
    if out.size == line.size:
        for k in range(line.size):
            out[k] = line[k]
    elif out.size == 2 * line.size:
        _twice(line, out)
    elif out.size == 4 * line.size:
        four_times(line, out)
    else:
        before, after, share = columns
        for k in range(out.size):
            one = line[before[k]]
            out[k] = one + (line[after[k]] - one) * share[k]


@compiled()
def _twice(line: Array, out: Array) -> None:
    """A line (w,) interpolated to (2w,), its ends repeated."""
    last, quarter = line.size - 1, np.float32(0.25)
    out[0], out[2 * last + 1] = line[0], line[last]
    for k in range(last):
        step = quarter * (line[k + 1] - line[k])
        out[2 * k + 1] = line[k] + step
        out[2 * k + 2] = line[k + 1] - step


@compiled()
def _split(
    displacement: Array,
    here: Array,
    ends: float,
    first: float,
    last: float,
    share: Array,
    sample: NDArray[np.int32],
) -> None:
    """Positions (n,) mirrored at the plane's edges, as `magfilter.interpolate.mirrored` does, the far one at `ends`.

    Then they are held between the first and the last sample, and given as the sample before and the way from there.
    """
    one, twice = np.float32(1), np.float32(2) * ends
    for k in range(displacement.size):
        at = here[k] + displacement[k]
        image = -one - at
        at = at if at > image else image
        image = twice - at
        at = at if at < image else image
        at = at if at > first else first  # so that what is not a number is the first, too
        at = at if at < last else last
        sample[k] = np.int32(at)
        share[k] = at - np.float32(sample[k])


@compiled()
def _weigh(share: Array, start: Any, count: Any, weights: Array, first: Any) -> None:
    """The weights of the four samples around `count` positions from `start` on: four times SPAN of `weights`.

    Here and below numbers are unsigned, so that none is taken to count from the end, which would take a look at each.
    """
    half, one = np.float32(0.5), np.float32(1)
    second, third, fourth = first + U_SPAN, first + TWO * U_SPAN, first + THREE * U_SPAN
    for k in range(count):
        t = share[start + k]
        s = one - t
        weights[first + k] = -half * t * s * s
        weights[second + k] = one + t * t * (np.float32(1.5) * t - np.float32(2.5))
        weights[third + k] = one + s * s * (np.float32(1.5) * s - np.float32(2.5))
        weights[fourth + k] = -half * s * t * t


@compiled()
def _across(flat: Array, at: Any, weights: Array, k: Any) -> Any:
    """Four samples from `at` on, by the weights of position k of a span."""
    a, b = weights[k] * flat[at], weights[U_SPAN + k] * flat[at + ONE]
    c, d = weights[TWO * U_SPAN + k] * flat[at + TWO], weights[THREE * U_SPAN + k] * flat[at + THREE]
    return a + b + c + d


@compiled()
def _one(flat: Array, at: Any, length: Any, weights: Array, k: Any) -> Any:
    """The value at position k of a span, of whose 16 samples the first is `at`."""
    down = FOUR * U_SPAN + k
    above = weights[down] * _across(flat, at, weights, k)
    near = weights[down + U_SPAN] * _across(flat, at + length, weights, k)
    under = weights[down + TWO * U_SPAN] * _across(flat, at + TWO * length, weights, k)
    return above + near + under + weights[down + THREE * U_SPAN] * _across(flat, at + THREE * length, weights, k)


@compiled()
def _run(flat: Array, at: Any, length: Any, weights: Array, first: Any, count: Any, line: Array) -> None:
    """Positions first..first + count of a span, whose samples lie side by side: `at` is the first one's first."""
    for k in range(count):
        line[first + k] = _one(flat, at + k, length, weights, first + k)


AXIS = types.Tuple([array("indices", 1), array("indices", 1), array("floats", 1)])


@compiled()
def _padded(plane: Samples, first: int, out: Array) -> None:
    """Rows of a plane from `first` on, the border repeated: one sample more to the left, two to the right."""
    height, width = plane.shape
    for n in range(out.shape[0]):
        row = min(max(first + n, 0), height - 1)
        for k in range(width):
            out[n, k + 1] = np.float32(plane[row, k])
        out[n, 0], out[n, width + 1], out[n, width + 2] = out[n, 1], out[n, width], out[n, width]


@compiled(
    *(
        types.void(
            array("floats", 3), types.float32, types.float32, array(kind, 2), types.int64, types.int64, AXIS, AXIS,
            types.int64, types.int64, types.float32, array(kind, 2, True),
        )
        for kind in ("bytes", "words")
    ),
    fastmath={"contract"},
)  # fmt: skip
def _move(
    field: Array,
    step_x: float,
    step_y: float,
    plane: Samples,
    low: int,
    high: int,
    rows: Axis,
    columns: Axis,
    top: int,
    bottom: int,
    peak: float,
    out: Samples,
) -> None:
    width = out.shape[1]
    zero = np.float32(0)
    # One sample more above and to the left, two below and to the right: each position has its four then.
    samples = np.empty((high - low + 4, width + 3), np.float32)
    _padded(plane, low - 1, samples)
    flat, length = samples.reshape(-1), np.uint64(samples.shape[1])
    dx, dy = np.empty(width, np.float32), np.empty(width, np.float32)
    tx, ty = np.empty(width, np.float32), np.empty(width, np.float32)
    at_x, at_y = np.empty(width, np.int32), np.empty(width, np.int32)
    weights, line = np.empty(8 * SPAN, np.float32), np.empty(SPAN, np.float32)
    here, level = np.empty(width, np.float32), np.empty(width, np.float32)
    end_x, end_y = np.float32(width) - np.float32(0.5), np.float32(out.shape[0]) - np.float32(0.5)
    for column in range(width):
        here[column] = np.float32(column)
    for row in range(top, bottom):
        for column in range(width):
            level[column] = np.float32(row)
        _between(field[0], rows[0][row], rows[1][row], rows[2][row], step_x, columns, dx)
        _between(field[1], rows[0][row], rows[1][row], rows[2][row], step_y, columns, dy)
        _split(dx, here, end_x, zero, np.float32(width - 1), tx, at_x)
        _split(dy, level, end_y, np.float32(low), np.float32(high), ty, at_y)
        for start in range(0, width, SPAN):
            stop = min(start + SPAN, width)
            count = np.uint64(stop - start)
            _weigh(tx, np.uint64(start), count, weights, np.uint64(0))
            _weigh(ty, np.uint64(start), count, weights, np.uint64(4 * SPAN))
            # Motion is smooth, so the samples that neighbours take mostly lie side by side as they do.
            first = start
            while first < stop:
                last, off, height = first + 1, at_x[first] - first, at_y[first]
                while last < stop and at_x[last] - last == off and at_y[last] == height:
                    last += 1
                at = np.uint64(height - low) * length + np.uint64(at_x[first])
                if last - first >= SHORT:
                    _run(flat, at, length, weights, np.uint64(first - start), np.uint64(last - first), line)
                else:
                    for k in range(np.uint64(first - start), np.uint64(last - start)):
                        line[k] = _one(flat, at, length, weights, k)
                        at += ONE
                first = last
            for k in range(stop - start):
                value = line[k] if line[k] > zero else zero
                line[k] = (value if value < peak else peak) + ROUNDS
            for k in range(stop - start):
                out[row, start + k] = np.int32(line[k] - ROUNDS)


def move(
    field: Array, step: tuple[float, float], plane: Samples, peak: int, span: tuple[int, int], out: Samples
) -> None:
    """Rows span[0]..span[1] of a plane, each sample from where the field says, are written to `out`.

    Args:
        field: (2, rows, cols) px of the picture, x first, over the whole plane.
        step: px of the picture per sample of the plane, along x and y.
        plane: (height, width) of whole numbers, 8 or 16 bits each.
        peak: the largest sample.
        span: rows of the plane.
        out: of the plane's shape and kind.
    """
    (_, rows, cols), (height, width) = field.shape, plane.shape
    top, bottom = span
    down, along = taps(height, rows), taps(width, cols)
    # The rows that are looked at: what is between the field's points lies between their values.
    way = field[1, down[0][top] : int(down[1][bottom - 1]) + 1] / np.float32(step[1])
    low, high = _seen(top - 1 + min(float(way.min()), 0.0), bottom + max(float(way.max()), 0.0), height)
    low, high = min(low, top), max(high, min(bottom, height - 1))
    _move(
        np.ascontiguousarray(field, np.float32), *step, np.ascontiguousarray(plane), low, high, down, along, top,
        bottom, peak, out,
    )  # fmt: skip


def _seen(first: float, last: float, height: int) -> tuple[int, int]:
    """The first and the last row that are looked at from rows first..last, some of which are mirrored into the plane.

    All of them where a row is no number, or so far out that its mirror image is beyond the plane as well.
    """
    if not (first > -height and last < 2 * height - 1):
        return 0, height - 1
    low, high = min(first, 2 * height - 1 - last), max(last, -1 - first)
    return int(max(low, 0)), int(min(high, height - 1))
