"""Fields of motion, a point at a time; what `magfilter.displace` computes with NumPy, in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from magfilter.compiled.compiler import array, compiled
from magfilter.compiled.points import Field, Mask, before

__all__ = ["against", "from_around", "hidden", "throw"]


@compiled(
    types.void(
        array("floats", 3), array("floats", 2), types.float32, types.float32, types.float32, types.float32,
        array("floats", 3, True), array("floats", 3, True), array("flags", 2, True),
    )
)  # fmt: skip
def _throw(
    flow: Field, gains: Field, stride: float, reach: float, thrown_2: float, carried_2: float, thrown: Field,
    carried: Field, rest: Mask,
) -> None:  # fmt: skip
    _, height, width = flow.shape
    one = np.float32(1)
    scale, loss = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(height):
        for col in range(width):
            gain = gains[min(row, gains.shape[0] - 1), min(col, gains.shape[1] - 1)]
            scale[col], loss[col] = gain / stride, one - gain
        for col in range(width):
            x, y = flow[0, row, col] * scale[col], flow[1, row, col] * scale[col]
            x, y = (reach if x > reach else x), (reach if y > reach else y)  # no number stays none, and rests
            x, y = (-reach if x < -reach else x), (-reach if y < -reach else y)
            u, v = loss[col] * flow[0, row, col], loss[col] * flow[1, row, col]
            seen = np.float32(u * u + v * v > carried_2)
            thrown[0, row, col], thrown[1, row, col] = x, y
            carried[0, row, col], carried[1, row, col] = u * seen, v * seen
            rest[row, col] = not (x * x + y * y > thrown_2)


def throw(flow: Field, gain: Field, stride: float, reach: float, still: float) -> tuple[Field, Field, Mask]:
    """How far the points of a flow are thrown (2, h, w) grid px, what they carry (2, h, w) px, and which rest (h, w).

    Args:
        flow: (2, h, w) px. gain: (1, 1), or (h, w). stride: px per grid point.
        reach: grid px; nothing is thrown farther.
        still: grid px; what is thrown less far rests, and carries nothing if that is less.
    """
    flow = np.ascontiguousarray(flow, np.float32)
    thrown, carried, rest = np.empty_like(flow), np.empty_like(flow), np.empty(flow.shape[1:], bool)
    _throw(flow, np.ascontiguousarray(gain), stride, reach, still**2, (still * stride) ** 2, thrown, carried, rest)
    return thrown, carried, rest


@compiled(
    types.void(
        array("floats", 3), array("floats", 3), array("floats", 2), types.float32, array("floats", 2, True),
    )
)  # fmt: skip
def _against(thrown: Field, drift: Field, gains: Field, stays: float, own: Field) -> None:
    _, height, width = thrown.shape
    away_x, away_y = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(height):
        there = min(row, drift.shape[1] - 1)
        for col in range(width):
            away_x[col] = drift[0, there, min(col, drift.shape[2] - 1)]
            away_y[col] = drift[1, there, min(col, drift.shape[2] - 1)]
        for col in range(width):
            x, y = thrown[0, row, col] - away_x[col], thrown[1, row, col] - away_y[col]
            own[row, col] = np.sqrt(x * x + y * y)
        for col in range(width):
            if gains[min(row, gains.shape[0] - 1), min(col, gains.shape[1] - 1)] == np.float32(1):
                own[row, col] = stays


def against(thrown: Field, drift: Field, gain: Field, stays: float) -> Field:
    """How far points are thrown (2, h, w) against a ground that drifts (2, h, w) or (2, 1, 1): (h, w); grid px.

    `stays` is what counts for those whose gain, (h, w) or (1, 1), is 1.
    """
    own = np.empty(thrown.shape[1:], np.float32)
    _against(thrown, np.ascontiguousarray(drift, np.float32), np.ascontiguousarray(gain), stays, own)
    return own


@compiled(
    types.void(array("floats", 3), array("flags", 2), array("floats", 3, True), array("flags", 2, True)),
)
def _halve(field: Field, known: Mask, mean: Field, some: Mask) -> None:
    """Means (2, ⌈h/2⌉, ⌈w/2⌉) of the known points of every four, and where there are some."""
    height, width = known.shape
    zero, least = np.float32(0), np.float32(1e-6)
    for row in range(some.shape[0]):
        for col in range(some.shape[1]):
            count, u, v = zero, zero, zero
            for x in range(2 * col, min(2 * col + 2, width)):
                tall, tall_u, tall_v = zero, zero, zero
                for y in range(2 * row, min(2 * row + 2, height)):
                    if known[y, x]:
                        tall += np.float32(1)
                        tall_u += field[0, y, x]
                        tall_v += field[1, y, x]
                count += tall
                u += tall_u
                v += tall_v
            some[row, col] = count > zero
            mean[0, row, col], mean[1, row, col] = u / max(count, least), v / max(count, least)


@compiled(
    types.void(array("floats", 3), array("flags", 2), array("floats", 3), array("floats", 3, True)),
)
def _grow(field: Field, known: Mask, coarse: Field, out: Field) -> None:
    """Unknown points from a field of half the size, bilinear, its border repeated."""
    height, width = known.shape
    quarter = np.float32(0.25)
    for row in range(height):
        y = row // 2
        y_2 = min(y + 1, coarse.shape[1] - 1) if row % 2 else max(y - 1, 0)
        for col in range(width):
            if known[row, col]:
                out[0, row, col], out[1, row, col] = field[0, row, col], field[1, row, col]
                continue
            x = col // 2
            x_2 = min(x + 1, coarse.shape[2] - 1) if col % 2 else max(x - 1, 0)
            for k in range(2):
                here = coarse[k, y, x] + quarter * (coarse[k, y_2, x] - coarse[k, y, x])
                beside = coarse[k, y, x_2] + quarter * (coarse[k, y_2, x_2] - coarse[k, y, x_2])
                out[k, row, col] = here + quarter * (beside - here)


def from_around(field: Field, known: Mask) -> Field:
    """The field (2, h, w) with means of the known points near each unknown one, from the finest scale that has any.

    Between them there are no steps.
    """
    if min(known.shape) <= 1 or known.all():
        return field
    size = [-(-side // 2) for side in known.shape]
    mean, some = np.empty((2, *size), np.float32), np.empty(size, bool)
    field, known = np.ascontiguousarray(field), np.ascontiguousarray(known)
    _halve(field, known, mean, some)
    out = np.empty_like(field)
    _grow(field, known, from_around(mean, some), out)
    return out


@compiled(
    types.void(
        array("floats", 3), array("floats", 2), array("flags", 2), types.float32, types.float32,
        array("floats", 3, True), array("flags", 2, True),
    )
)  # fmt: skip
def _hidden(
    flow: Field, gains: Field, free: Mask, stride: float, least_2: float, behind: Field, found: Mask
) -> None:  # fmt: skip
    height, width = free.shape
    sums = np.zeros((height + 3, width + 3, 3), np.float64)
    one = np.float32(1)
    for row in range(height):
        for col in range(width):
            x, y = flow[0, row, col], flow[1, row, col]
            gain = gains[min(row, gains.shape[0] - 1), min(col, gains.shape[1] - 1)]
            found[row, col] = x * x + y * y > least_2 and gain != one
            if not found[row, col]:
                continue
            u, v = x / stride, y / stride
            low_y, fy = before(np.float32(row) + v, height)
            low_x, fx = before(np.float32(col) + u, width)
            for corner in range(4):
                share = (fy if corner // 2 else one - fy) * (fx if corner % 2 else one - fx)
                to = sums[low_y + 1 + corner // 2, low_x + 1 + corner % 2]
                to[0] += share
                to[1] += share * u
                to[2] += share * v
    for row in range(height):
        for col in range(width):
            reached = sums[row + 1, col + 1, 0]
            found[row, col] = free[row, col] and not found[row, col] and reached > 0.5
            if found[row, col]:
                behind[0, row, col] = sums[row + 1, col + 1, 1] / reached
                behind[1, row, col] = sums[row + 1, col + 1, 2] / reached


def hidden(flow: Field, gain: Field, free: Mask, stride: float, behind: Field) -> Mask:
    """Where what moves by over half a grid px comes to lie upon what is free and does not; `behind` is told its way.

    Args:
        flow: (2, h, w) px. gain: (1, 1), or (h, w); what has 1 does not count. free: (h, w). stride: px per grid point.
        behind: (2, h, w); takes the mean way, grid px, of what lands where something is hidden.
    """
    found = np.empty(free.shape, bool)
    parts: list[Any] = [np.ascontiguousarray(part) for part in (flow, gain, free)]
    _hidden(*parts, stride, (0.5 * stride) ** 2, behind, found)
    return found
