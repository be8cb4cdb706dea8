"""Who wins a place where unlike things land; as `magfilter.splat` decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.compiled.compiler import compiled
from magfilter.compiled.points import ONE, OWN, Field, Mask, Rules, Sums, U, V, X, Y, before

__all__ = ["resolve", "touching"]


@compiled()
def _contend(best: Field, winner: Sums, place: int, key: Any, u: Any, v: Any) -> None:
    """One that arrives at a place: the highest key wins, of equals the last."""
    if key >= best[place]:
        best[place] = key
        winner[place, 0], winner[place, 1] = u, v


@compiled()
def _side_with(winner: Sums, within: Sums, total: Sums, place: int, share: Any, u: Any, v: Any) -> None:
    """Count one that arrives at a place, if it moves about like the winner."""
    if (u - winner[place, 0]) ** 2 + (v - winner[place, 1]) ** 2 < within[place]:
        total[place, 0] += share
        total[place, 1] += share * u
        total[place, 2] += share * v


@compiled()
def _far(own: Any) -> Any:
    """What being thrown far against the ground counts: a doubled way more than any nearness."""
    return np.float32(2) * np.log2(ONE + np.float32(4) * own)


@compiled()
def touching(
    thrown: Field, carried: Field, own: Field, rest: Mask, extra: Field, base: NDArray[np.uint32],
    number: NDArray[np.int32],
) -> Any:  # fmt: skip
    """The points that land beside any numbered place: (n, 5)."""
    height, width = number.shape
    line = width + 3
    beside = np.zeros((height + 3) * line, np.bool_)  # by the point of the canvas before
    for row in range(height):
        for col in range(width):
            if number[row, col] >= 0:
                at = row * line + col
                beside[at] = beside[at + 1] = beside[at + line] = beside[at + line + 1] = True
    out = np.empty((height * width + extra.shape[0], 5), np.float32)
    count = 0
    for row in range(height):
        for col in range(width):
            if beside[base[row, col]] and not rest[row, col]:
                to = out[count]
                to[Y], to[X] = thrown[1, row, col] + np.float32(row), thrown[0, row, col] + np.float32(col)
                to[U], to[V], to[OWN] = carried[0, row, col], carried[1, row, col], own[row, col]
                count += 1
    for n in range(extra.shape[0]):
        low_y, _ = before(extra[n, Y], height)
        low_x, _ = before(extra[n, X], width)
        if beside[(low_y + 1) * line + low_x + 1]:
            out[count] = extra[n]
            count += 1
    return out[:count]


@compiled()
def _arrivals(
    points: Field, number: NDArray[np.int32], who: NDArray[np.uint32], where: NDArray[np.int32], shares: Field
) -> Any:
    """How often a point comes to a numbered place; the others are told which, where, and by what share.

    By the four corners that a point shares itself among first, the order in which NumPy adds them up.
    """
    height, width = number.shape
    count = 0
    for corner in range(4):
        for n in range(points.shape[0]):
            row, fy = before(points[n, Y], height)
            col, fx = before(points[n, X], width)
            row, part = (row + 1, fy) if corner // 2 else (row, ONE - fy)
            col, share = (col + 1, part * fx) if corner % 2 else (col, part * (ONE - fx))
            if 0 <= row < height and 0 <= col < width and number[row, col] >= 0 and share > 0:
                who[count], where[count], shares[count] = n, number[row, col], share
                count += 1
    return count


@compiled()
def resolve(
    rules: Rules,
    points: Field,
    carried: Field,
    own: Field,
    rest: Mask,
    borne: Field,
    stride: float,
    number: NDArray[np.int32],
    count: int,
    field: Field,
) -> None:
    """Let one mover win each of the `count` numbered places; `field` is set in place."""
    height, width = number.shape
    who = np.empty(4 * points.shape[0], np.uint32)
    where, shares = np.empty(who.size, np.int32), np.empty(who.size, np.float32)
    arrivals = _arrivals(points, number, who, where, shares)
    best, winner = np.empty(count, np.float32), np.zeros((count, 2), np.float64)
    for place in range(count):
        best[place] = -1
    far = np.empty(points.shape[0], np.float32)
    for n in range(far.size):
        far[n] = _far(points[n, OWN])
    for k in range(arrivals):
        n = who[k]
        _contend(best, winner, where[k], far[n] + shares[k], points[n, U], points[n, V])
    within, total = np.empty(count, np.float64), np.zeros((count, 3), np.float64)
    for row in range(height):
        for col in range(width):
            place = number[row, col]
            if place < 0:
                continue
            if rest[row, col]:
                _contend(best, winner, place, _far(own[row, col]) + ONE, carried[0, row, col], carried[1, row, col])
            against_u, against_v = winner[place, 0] - borne[0, row, col], winner[place, 1] - borne[1, row, col]
            within[place] = max(rules.alike**2 * (against_u**2 + against_v**2), (rules.same * stride) ** 2)
    for k in range(arrivals):
        n = who[k]
        _side_with(winner, within, total, where[k], shares[k], points[n, U], points[n, V])
    for row in range(height):
        for col in range(width):
            place = number[row, col]
            if place < 0:
                continue
            if rest[row, col]:
                _side_with(winner, within, total, place, ONE, carried[0, row, col], carried[1, row, col])
            share = 1 / max(total[place, 0], rules.epsilon)
            field[0, row, col], field[1, row, col] = total[place, 1] * share, total[place, 2] * share
