"""What the judge of `warp` looks at, and what it chooses from; as `MotionCell.look` of `magfilter.networks.warp`.

Every kernel does the rows first..last of the grid, so that threads can share them.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled
from magfilter.compiled.pyramid import CONTRACT, ROWS, fill, held
from magfilter.networks import constants
from magfilter.networks.constants import CELL, REACH, SOLVES

__all__ = ["average", "centre", "describe", "differentiate", "level", "solve", "unlike"]

Array = NDArray[np.float32]

QUANTUM = np.float32(constants.QUANTUM)
PAIRS = 6  # products of the slopes and the change with each other
Five = tuple[float, float, float, float, float]


@compiled()
def _taken(taps: Five, image: Array, r: tuple[int, int, int, int, int], out: Array) -> None:
    """A column filter of five taps at rows r of an image (h, w), with two pixels of the ends repeated: (w + 4,)."""
    width = image.shape[1]
    a, b, c, d, e = taps
    r0, r1, r2, r3, r4 = r
    for k in range(width):
        out[k + 2] = a * image[r0, k] + b * image[r1, k] + c * image[r2, k] + d * image[r3, k] + e * image[r4, k]
    out[0] = out[1] = out[2]
    out[width + 2] = out[width + 3] = out[width + 1]


@compiled()
def _across(taps: Five, padded: Array, out: Array) -> None:
    """A row filter of five taps: (w + 4,) → (w,)."""
    a, b, c, d, e = taps
    for k in range(out.size):
        out[k] = a * padded[k] + b * padded[k + 1] + c * padded[k + 2] + d * padded[k + 3] + e * padded[k + 4]


@compiled()
def _add_product(one: Array, other: Array, total: Array) -> None:
    for k in range(total.size):
        total[k] += one[k] * other[k]


@compiled()
def _dealt(line: Array, plane: int, row: int, places: Array) -> None:
    """Every fourth pixel of a line (4w,) to each of four planes."""
    a, b, c, d = places[plane, row], places[plane + 1, row], places[plane + 2, row], places[plane + 3, row]
    for k in range(a.size):
        a[k] = line[CELL * k]
        b[k] = line[CELL * k + 1]
        c[k] = line[CELL * k + 2]
        d[k] = line[CELL * k + 3]


@compiled(
    types.void(
        types.UniTuple(types.float32, 5), types.UniTuple(types.float32, 5), array("floats", 2), array("floats", 2),
        *ROWS, array("floats", 3, True), array("floats", 3, True), array("floats", 3, True),
    ),
    fastmath=CONTRACT,
)  # fmt: skip
def differentiate(
    smooth: Five, derive: Five, reference: Array, warped: Array, first: int, last: int, sums: Array, places: Array,
    around: Array,
) -> None:  # fmt: skip
    """The two images' slopes and change, multiplied with each other and averaged over each cell.

    Args:
        reference, warped: (4h, 4w).
        sums: (9, h, w); takes the means of IxIx, IxIy, IyIy, IxIt, IyIt, ItIt, Ix, Iy, It.
        places: (FEATURES, h, w); its first 32 planes take the cells' 16 pixels of the reference, and of the change.
        around: (5, h, w); its first three planes take the means of those pixels, of their squares, of the change's.
    """
    height, width = reference.shape
    cols = width // CELL
    middle, change = np.empty((5, width), np.float32), np.empty((5, width), np.float32)
    pad = width + 4
    plain, steep, other = np.empty(pad, np.float32), np.empty(pad, np.float32), np.empty(pad, np.float32)
    x, y, t = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    rows = np.empty((PAIRS + 3, width), np.float32)
    half, share = np.float32(0.5), np.float32(1 / CELL**2)
    for cell in range(first, last):
        for n in range(PAIRS + 3):
            fill(rows[n], np.float32(0))
        for step in range(CELL):
            row = cell * CELL + step
            fresh = 0 if row > first * CELL else -4  # rows still to be taken, of the five around
            for n in range(fresh, 1):
                ahead = held(row + 2 + n, height)
                slot = (row + 2 + n + 5) % 5
                for k in range(width):
                    middle[slot, k] = (reference[ahead, k] + warped[ahead, k]) * half
                    change[slot, k] = warped[ahead, k] - reference[ahead, k]
            r = ((row + 3) % 5, (row + 4) % 5, row % 5, (row + 1) % 5, (row + 2) % 5)
            _taken(smooth, middle, r, plain)
            _taken(derive, middle, r, steep)
            _taken(smooth, change, r, other)
            _across(derive, plain, x)
            _across(smooth, steep, y)
            _across(smooth, other, t)
            _add_product(x, x, rows[0])
            _add_product(x, y, rows[1])
            _add_product(y, y, rows[2])
            _add_product(x, t, rows[3])
            _add_product(y, t, rows[4])
            _add_product(t, t, rows[5])
            for k in range(width):
                rows[6, k] += x[k]
                rows[7, k] += y[k]
                rows[8, k] += t[k]
            _dealt(reference[row], step * CELL, cell, places)
            _dealt(change[row % 5], CELL**2 + step * CELL, cell, places)
        for n in range(PAIRS + 3):
            for k in range(cols):
                four = rows[n, k * CELL] + rows[n, k * CELL + 1] + rows[n, k * CELL + 2] + rows[n, k * CELL + 3]
                sums[n, cell, k] = four * share
        for n in range(3):
            fill(around[n, cell], np.float32(0))
        for n in range(CELL**2):
            for k in range(cols):
                shade, moved = places[n, cell, k], places[CELL**2 + n, cell, k]
                around[0, cell, k] += shade
                around[1, cell, k] += shade * shade
                around[2, cell, k] += moved * moved
        for n in range(3):
            for k in range(cols):
                around[n, cell, k] *= share


@compiled(types.void(array("floats", 2), array("floats", 2), *ROWS, array("floats", 2, True)), fastmath=CONTRACT)
def unlike(one: Array, other: Array, first: int, last: int, out: Array) -> None:
    """Mean squared difference of two images (4h, 4w) within each cell (h, w)."""
    width = one.shape[1]
    line, share = np.empty(width, np.float32), np.float32(1 / CELL**2)
    for cell in range(first, last):
        fill(line, np.float32(0))
        for row in range(cell * CELL, cell * CELL + CELL):
            for k in range(width):
                difference = one[row, k] - other[row, k]
                line[k] += difference * difference
        for k in range(width // CELL):
            out[cell, k] = (line[CELL * k] + line[CELL * k + 1] + line[CELL * k + 2] + line[CELL * k + 3]) * share


@compiled(types.void(array("floats", 3), types.int64, *ROWS, array("floats", 3, True)), fastmath=CONTRACT)
def average(field: Array, size: int, first: int, last: int, out: Array) -> None:
    """Means of a field (n, h, w) over size × size points, over fewer at its border."""
    count, height, width = field.shape
    reach = size // 2
    line = np.empty(width + 2 * reach, np.float32)
    fill(line, np.float32(0))
    shares = np.empty(width, np.float32)
    for k in range(width):
        shares[k] = np.float32(1) / np.float32(min(k + reach, width - 1) - max(k - reach, 0) + 1)
    for n in range(count):
        for row in range(first, last):
            top, bottom = max(row - reach, 0), min(row + reach, height - 1)
            for k in range(width):
                line[k + reach] = field[n, top, k]
            for r in range(top + 1, bottom + 1):
                for k in range(width):
                    line[k + reach] += field[n, r, k]
            scale = np.float32(1) / np.float32(bottom - top + 1)
            for k in range(width):
                total = line[k] + line[k + 1] + line[k + 2]
                if size == 5:
                    total += line[k + 3] + line[k + 4]
                out[n, row, k] = total * shares[k] * scale


@compiled(types.void(array("floats", 3), array("floats", 3), *ROWS, array("floats", 3, True)), fastmath=CONTRACT)
def centre(sums: Array, wide: Array, first: int, last: int, out: Array) -> None:
    """Moments (6, h, w) about the means of a wide window; a change of brightness is then no motion.

    Args:
        sums: (9, h, w), as `differentiate` leaves them.
        wide: (3, h, w), the last three of them averaged.
    """
    width = sums.shape[2]
    two = np.float32(2)
    for row in range(first, last):
        for k in range(width):
            gx, gy, gt = sums[6, row, k], sums[7, row, k], sums[8, row, k]
            mx, my, mt = wide[0, row, k], wide[1, row, k], wide[2, row, k]
            out[0, row, k] = sums[0, row, k] - mx * (two * gx - mx)
            out[1, row, k] = sums[1, row, k] - (mx * gy + my * gx - mx * my)
            out[2, row, k] = sums[2, row, k] - my * (two * gy - my)
            out[3, row, k] = sums[3, row, k] - (mx * gt + mt * gx - mx * mt)
            out[4, row, k] = sums[4, row, k] - (my * gt + mt * gy - my * mt)
            out[5, row, k] = sums[5, row, k] - mt * (two * gt - mt)


@compiled(
    types.void(
        array("floats", 3), types.float32, types.float32, *ROWS, array("floats", 3, True), array("floats", 2, True),
        array("floats", 2, True),
    ),
    fastmath=CONTRACT,
)  # fmt: skip
def solve(
    m: Array, damping: float, trust: float, first: int, last: int, flow: Array, trace: Array, residual: Array
) -> None:
    """Damped least squares on moments (6, h, w): flow (2, h, w), trace and residual (h, w). See `MotionCell._solve`."""
    width = m.shape[2]
    zero, one = np.float32(0), np.float32(1)
    tiny, floor, least = np.float32(1e-16), np.float32(0.03) * QUANTUM, np.float32(0.1) * QUANTUM
    reach = np.float32(1 / REACH**2)
    for row in range(first, last):
        for k in range(width):
            xx, xy, yy = max(m[0, row, k], zero), m[1, row, k], max(m[2, row, k], zero)
            xt, yt, tt = m[3, row, k], m[4, row, k], max(m[5, row, k], zero)
            now = damping
            u, v, size, left = zero, zero, zero, zero
            for n in range(SOLVES):
                a, c = xx + now, yy + now
                det = max(a * c - xy * xy, tiny)
                u = (xy * yt - c * xt) / det
                v = (xy * xt - a * yt) / det
                size = u * u + v * v
                left = max(tt + u * xt + v * yt - now * size, zero)
                if n < SOLVES - 1:
                    now = damping / (one + trust * (max(tt - left, zero) / (left + floor)))
            within = one / np.sqrt(one + size * reach)
            flow[0, row, k], flow[1, row, k] = u * within, v * within
            trace[row, k] = xx + yy
            residual[row, k] = left / (tt + least)


@compiled(
    types.void(array("floats", 3), array("floats", 4), array("floats", 3), *ROWS, array("floats", 3, True),
               array("floats", 2, True)),
    fastmath=CONTRACT,
)  # fmt: skip
def level(moments: Array, found: Array, flow: Array, first: int, last: int, around: Array, energy: Array) -> None:
    """The last two planes of `around` (5, h, w), what the solutions and the flow amount to; and log energy (h, w).

    Args:
        moments: (6, h, w); found: (3, 2, h, w), the solutions; flow: (2, h, w).
    """
    width = moments.shape[2]
    zero, least = np.float32(0), np.float32(0.1) * QUANTUM
    for row in range(first, last):
        for k in range(width):
            a, b = found[0, 0, row, k], found[0, 1, row, k]
            c, d = found[1, 0, row, k], found[1, 1, row, k]
            around[3, row, k] = c * c + d * d + a * a + b * b
            around[4, row, k] = flow[0, row, k] * flow[0, row, k] + flow[1, row, k] * flow[1, row, k]
            energy[row, k] = np.log(max(moments[5, row, k], zero) + least)


@compiled(
    types.void(
        array("floats", 3), array("floats", 4), array("floats", 3), array("floats", 3), array("floats", 3),
        array("floats", 2), types.float32, *ROWS, array("floats", 3, True), array("floats", 2, True),
    ),
    fastmath=CONTRACT,
)  # fmt: skip
def describe(
    flow: Array, found: Array, traces: Array, residuals: Array, around: Array, energy: Array, mean_energy: float,
    first: int, last: int, features: Array, speed: Array,
) -> None:  # fmt: skip
    """What the judge looks at (FEATURES, h, w), whose first 32 planes hold pixels so far; and the speed (h, w).

    Args:
        flow: (2, h, w); found: (3, 2, h, w); traces, residuals: (3, h, w); around: (5, h, w), averaged.
        energy: (h, w), a logarithm; mean_energy: its mean over the picture.
    """
    width = flow.shape[2]
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    slow, tiny = np.float32(1e-4), np.float32(1e-7)
    scale, other = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(first, last):
        for k in range(width):
            mean = around[0, row, k]
            scale[k] = one / np.sqrt(max(around[1, row, k] - mean * mean, zero) + np.float32(4) * QUANTUM)
            other[k] = one / np.sqrt(around[2, row, k] + QUANTUM)
        for n in range(16):
            for k in range(width):
                features[n, row, k] = (features[n, row, k] - around[0, row, k]) * scale[k]
                features[16 + n, row, k] *= other[k]
        for k in range(width):
            speed[row, k] = np.sqrt(around[3, row, k] + slow)
            scale[k] = one / speed[row, k]
            carried = np.sqrt(around[4, row, k] + slow)
            other[k] = one / carried
            features[54, row, k] = np.log(speed[row, k]) + two
            features[55, row, k] = np.log(carried) + two
            features[46, row, k] = energy[row, k] + np.float32(11)
            features[47, row, k] = energy[row, k] - mean_energy
        for n in range(3):
            for k in range(width):
                features[32 + 2 * n, row, k] = found[n, 0, row, k] * scale[k]
                features[33 + 2 * n, row, k] = found[n, 1, row, k] * scale[k]
                features[48 + n, row, k] = np.log(traces[n, row, k] + tiny) + np.float32(9)
                features[51 + n, row, k] = residuals[n, row, k]
        for n in range(2):
            for k in range(width):
                features[38 + n, row, k] = found[0, n, row, k]
                features[40 + n, row, k] = found[1, n, row, k]
                features[42 + n, row, k] = flow[n, row, k] * other[k]
                features[44 + n, row, k] = flow[n, row, k] * np.float32(0.25)
