"""Throwing the points of a grid to where they land; what `magfilter.splat` computes with NumPy, a point at a time.

The rules and the numbers are that module's. What comes out differs in the last digits, if at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled
from magfilter.compiled.overlap import resolve, touching
from magfilter.compiled.points import ONE, RULES, Canvas, Field, Mask, Rules, Sums, U, V, X, Y, before
from magfilter.compiled.stretch import between
from magfilter.splat import Points

__all__ = ["splat"]

U_ONE, TWO, FOUR = (np.uint64(n) for n in (1, 2, 4))  # unsigned, so that no place is taken to count from the end


@compiled()
def _throw(canvas: Canvas, at: Any, row: Any, fy: Any, fx: Any, u: Any, v: Any) -> None:
    """Add a point to the four of the canvas around it, of which the first one's sums begin at `at`."""
    energy = u * u + v * v
    for corner in range(FOUR):
        share = (fy if corner // TWO else ONE - fy) * (fx if corner % TWO else ONE - fx)
        place = at + (corner // TWO) * row + (corner % TWO) * FOUR
        canvas[place] += share
        canvas[place + U_ONE] += share * u
        canvas[place + TWO] += share * v
        canvas[place + TWO + U_ONE] += share * energy


@compiled()
def _add_up(thrown: Field, carried: Field, rest: Mask, extra: Field, base: NDArray[np.uint32], canvas: Canvas) -> None:
    """Sums of what landed on each point of the canvas: how much, U, V, U² + V², each by its bilinear share.

    Args:
        extra: what `between` puts between the points.
        base: (h, w); takes the point of the canvas above and to the left of where each lands.
        canvas: of the picture's points and one more above and to the left, two more below and to the right,
            row by row, four sums each.
    """
    _, height, width = thrown.shape
    row_step = np.uint64(4 * (width + 3))
    fy, fx = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(height):
        for col in range(width):
            low_y, fy[col] = before(thrown[1, row, col] + np.float32(row), height)
            low_x, fx[col] = before(thrown[0, row, col] + np.float32(col), width)
            base[row, col] = np.uint32((low_y + 1) * np.int32(width + 3) + low_x + 1)
        for col in range(width):
            if not rest[row, col]:
                at = FOUR * np.uint64(base[row, col])
                _throw(canvas, at, row_step, fy[col], fx[col], carried[0, row, col], carried[1, row, col])
    for n in range(extra.shape[0]):
        low_y, share_y = before(extra[n, Y], height)
        low_x, share_x = before(extra[n, X], width)
        at = FOUR * np.uint64((low_y + 1) * (width + 3) + low_x + 1)
        _throw(canvas, at, row_step, share_y, share_x, extra[n, U], extra[n, V])


@compiled()
def _average(
    rules: Rules,
    canvas: Canvas,
    carried: Field,
    rest: Mask,
    borne: Field,
    stride: float,
    field: Field,
    landed: Sums,
    number: NDArray[np.int32],
) -> Any:
    """Means of what landed, how much that was, and what rests.

    Returns how many places have unlike ones; `number` is each one's, or −1.
    """
    _, height, width = carried.shape
    least, ripple = (rules.apart * stride) ** 2, rules.ripple**2
    count = 0
    for row in range(height):
        for col in range(width):
            at = FOUR * np.uint64((row + 1) * (width + 3) + col + 1)
            came = canvas[at]
            total, u, v, energy = came, canvas[at + U_ONE], canvas[at + TWO], canvas[at + TWO + U_ONE]
            landed[row, col] = came
            if rest[row, col]:
                still_u, still_v = carried[0, row, col], carried[1, row, col]
                total += 1
                u += still_u
                v += still_v
                energy += still_u * still_u + still_v * still_v
            share = 1 / max(total, rules.epsilon)
            u *= share
            v *= share
            field[0, row, col], field[1, row, col] = u, v
            number[row, col] = -1
            if came > 0:
                own = (u - borne[0, row, col]) ** 2 + (v - borne[1, row, col]) ** 2
                if energy * share - u * u - v * v > max(least, ripple * own):
                    number[row, col] = count
                    count += 1
    return count


@compiled(
    types.void(
        types.NamedUniTuple(types.float64, len(RULES), Rules),
        array("floats", 3), array("floats", 3), array("floats", 2), array("flags", 2), array("floats", 3),
        types.float64, array("floats", 3, True), array("doubles", 2, True),
    )
)  # fmt: skip
def _splat(
    rules: Rules,
    thrown: Field,
    carried: Field,
    own: Field,
    rest: Mask,
    borne: Field,
    stride: float,
    field: Field,
    landed: Sums,
) -> None:
    height, width = rest.shape
    extra = between(rules, thrown, carried, own)
    base, canvas = np.empty(rest.shape, np.uint32), np.zeros(4 * (height + 3) * (width + 3), np.float64)
    _add_up(thrown, carried, rest, extra, base, canvas)
    number = np.empty(rest.shape, np.int32)
    count = _average(rules, canvas, carried, rest, borne, stride, field, landed, number)
    if count:
        points = touching(thrown, carried, own, rest, extra, base, number)
        resolve(rules, points, carried, own, rest, borne, stride, number, count, field)


def splat(points: Points, rest: Mask, borne: Field, stride: float) -> tuple[Field, Sums]:
    """See `magfilter.splat.splat`."""
    thrown, carried, own = (np.ascontiguousarray(part, np.float32) for part in points)
    field, landed = np.empty_like(carried), np.empty(rest.shape)
    ground = np.ascontiguousarray(np.broadcast_to(borne, field.shape), np.float32)
    _splat(RULES, thrown, carried, own, np.ascontiguousarray(rest), ground, float(stride), field, landed)
    return field, landed
