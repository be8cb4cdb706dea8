"""Moving a plane's samples: Catmull-Rom interpolation at any positions, the picture's border repeated.

What `magfilter.interpolate` and `magfilter.backends.resample` compute with NumPy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled

__all__ = ["Taps", "move"]

Array = NDArray[np.float32]
Indices = NDArray[np.uint32]  # unsigned, so that none is taken to count from the end
Samples = NDArray[Any]


class Taps(NamedTuple):
    """Where along an axis each sample of a plane lies among a coarser field's.

    Attributes:
        before, after: (n,) the field's two samples around.
        share: (n,) of the second.
    """

    before: Indices
    after: Indices
    share: Array

    @classmethod
    @lru_cache(maxsize=8)  # the same for every band of every frame
    def of(cls, count: int, field: int) -> Taps:
        """Of `count` samples, over each of a field's `field` as many, their centres in line."""
        at = (np.arange(count, dtype=np.float32) + 0.5) * np.float32(field / count) - np.float32(0.5)
        at = np.clip(at, 0, field - 1)
        before = np.floor(at).astype(np.uint32)
        after = np.minimum(before + 1, field - 1).astype(np.uint32)
        return cls(before, after, (at - before).astype(np.float32))


AXIS = types.UniTuple(array("indices", 1), 2), array("floats", 1)
SIGNATURES = [
    types.void(
        array("floats", 3), types.float32, types.float32, array(kind, 2), *AXIS, *AXIS, types.int64, types.int64,
        types.float32, array(kind, 2, True),
    )
    for kind in ("bytes", "words")
]  # fmt: skip

# One loop does one thing here: loops this simple are computed several samples at a time.


@compiled()
def _between(coarse: Array, out: Array, before: Indices, after: Indices, share: Array) -> None:
    """A row of the field, (cols,), interpolated at a plane's samples, (width,)."""
    for k in range(out.size):
        one = coarse[before[k]]
        out[k] = one + (coarse[after[k]] - one) * share[k]


@compiled()
def _split(position: Array, first: float, last: float, share: Array, sample: NDArray[np.int32]) -> None:
    """Positions (n,) held between the first and the last sample, as the sample before and the way from there."""
    for k in range(position.size):
        at = position[k] if position[k] > first else first  # so that what is not a number is the first, too
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


@compiled()
def _with_border(plane: Samples, low: int, high: int) -> Array:
    """Rows low..high of a plane, both included, one sample more above and to the left, two below and to the right."""
    height, width = plane.shape
    out = np.empty((high - low + 4, width + 3), np.float32)
    for k in range(out.shape[0]):
        row = min(max(low - 1 + k, 0), height - 1)
        out[k, 0] = plane[row, 0]
        out[k, 1 : width + 1] = plane[row]
        out[k, width + 1 :] = plane[row, width - 1]
    return out


@compiled(*SIGNATURES, fastmath={"contract"})
def _move(
    field: Array,
    step_x: float,
    step_y: float,
    plane: Samples,
    rows: tuple[Indices, Indices],
    row_share: Array,
    columns: tuple[Indices, Indices],
    column_share: Array,
    top: int,
    bottom: int,
    peak: float,
    out: Samples,
) -> None:
    height, width = plane.shape
    zero = np.float32(0)
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    # The rows that are looked at: what is between the field's points lies between their values.
    least, most = zero, zero
    for k in range(rows[0][top], rows[1][bottom - 1] + 1):
        least, most = min(least, field[1, k].min()), max(most, field[1, k].max())
    low_y, high_y = np.float32(top - 1) + least / step_y, np.float32(bottom) + most / step_y
    low, high = int(low_y) if low_y > zero else 0, int(high_y) if high_y < last_y else height - 1
    samples = _with_border(plane, low, high)
    flat, length = samples.reshape(-1), np.uint32(width + 3)
    one, two, three = np.uint32(1), np.uint32(2), np.uint32(3)
    dx, dy = np.empty(width, np.float32), np.empty(width, np.float32)
    tx, ty = np.empty(width, np.float32), np.empty(width, np.float32)
    at_x, at_y = np.empty(width, np.int32), np.empty(width, np.int32)
    across, down = np.empty((4, width), np.float32), np.empty((4, width), np.float32)
    here = np.arange(width).astype(np.float32)
    for row in range(top, bottom):
        above, below, share = rows[0][row], rows[1][row], row_share[row]
        _between((field[0, above] + (field[0, below] - field[0, above]) * share) / step_x, dx, *columns, column_share)
        _between((field[1, above] + (field[1, below] - field[1, above]) * share) / step_y, dy, *columns, column_share)
        moves = (dx != zero) | (dy != zero)
        if not moves.any():
            continue
        _split(dx + here, zero, last_x, tx, at_x)
        _split(dy + np.float32(row), np.float32(low), np.float32(high), ty, at_y)
        _weigh(tx, across)
        _weigh(ty, down)
        for column in range(width):
            if not moves[column]:
                continue
            a = np.uint32((at_y[column] - low) * length + at_x[column])
            x0, x1, x2, x3 = across[0, column], across[1, column], across[2, column], across[3, column]
            value: Any = zero
            for k in range(4):
                b, c, d = np.uint32(a + one), np.uint32(a + two), np.uint32(a + three)
                value += down[k, column] * (x0 * flat[a] + x1 * flat[b] + x2 * flat[c] + x3 * flat[d])
                a = np.uint32(a + length)
            out[row, column] = np.rint(min(max(value, zero), peak))


def move(
    field: Array, step: tuple[float, float], plane: Samples, peak: int, span: tuple[int, int], out: Samples
) -> None:
    """Rows span[0]..span[1] of a plane, each sample from where the field says, are written to `out`.

    Args:
        field: (2, rows, cols) px of the picture, x first, over the whole plane.
        step: px of the picture per sample of the plane, along x and y.
        plane: (height, width) uint8 or uint16.
        peak: the largest sample.
        span: rows of the plane.
        out: of the plane's shape and kind, without gaps, and there the same already where nothing moves.
    """
    (_, rows, cols), (height, width) = field.shape, plane.shape
    down, along = Taps.of(height, rows), Taps.of(width, cols)
    _move(
        np.ascontiguousarray(field, np.float32),
        *step,
        np.ascontiguousarray(plane),
        (down.before, down.after),
        down.share,
        (along.before, along.after),
        along.share,
        *span,
        peak,
        out,
    )
