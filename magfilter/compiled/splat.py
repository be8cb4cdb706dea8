"""Throwing the points of a grid to where they land; what `magfilter.splat` computes with NumPy, a point at a time.

The rules and the numbers are that module's. What comes out differs in the last digits, if at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled
from magfilter.splat import ALIKE, APART, EPSILON, FAR_APART, RIPPLE, SAME, STRETCHED, SUDDEN, TORN, Points

__all__ = ["splat"]

Field = NDArray[np.float32]
Sums = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Rules(NamedTuple):
    """That module's numbers, as arguments: what a kernel read from elsewhere would stay in what is kept of it."""

    apart: float
    ripple: float
    same: float
    alike: float
    stretched: float
    torn: float
    sudden: float
    far_apart: float
    epsilon: float


RULES = Rules(APART, RIPPLE, SAME, ALIKE, STRETCHED, TORN, SUDDEN, FAR_APART, EPSILON)
ONE = np.float32(1)
Y, X, U, V, OWN = range(5)  # of a point that is thrown


@compiled()
def _jump(thrown: Field, axis: int, row: int, col: int) -> Any:
    """How far a point and the next one along an axis are thrown apart, squared; 0 where there is no such pair."""
    _, height, width = thrown.shape
    row_2, col_2 = (row + 1, col) if axis == 0 else (row, col + 1)
    if row < 0 or col < 0 or row_2 >= height or col_2 >= width:
        return np.float32(0)
    u, v = thrown[0, row_2, col_2] - thrown[0, row, col], thrown[1, row_2, col_2] - thrown[1, row, col]
    return u * u + v * v


@compiled()
def _whole(rules: Rules, thrown: Field, axis: int, row: int, col: int) -> Any:
    """Whether a point and the next one along an axis are one piece."""
    jump = _jump(thrown, axis, row, col)
    if jump < rules.stretched**2:
        return True
    down, along = (1, 0) if axis == 0 else (0, 1)
    beside = _jump(thrown, axis, row - down, col - along) + _jump(thrown, axis, row + down, col + along)
    return jump < rules.torn**2 and jump < rules.sudden**2 * beside


@compiled()
def _denser(rules: Rules, thrown: Field, row: int, col: int) -> Any:
    """How many times as densely the cell right of and below a point is to be thrown: 1, 2 or 4."""
    most = max(
        max(_jump(thrown, 1, row, col), _jump(thrown, 1, row + 1, col)),
        max(_jump(thrown, 0, row, col), _jump(thrown, 0, row, col + 1)),
    )
    if not most > rules.stretched**2:
        return 1
    if not (
        _whole(rules, thrown, 1, row, col)
        and _whole(rules, thrown, 1, row + 1, col)
        and _whole(rules, thrown, 0, row, col)
        and _whole(rules, thrown, 0, row, col + 1)
    ):
        return 1
    along_u, along_v = thrown[0, row, col + 1] - thrown[0, row, col], thrown[1, row, col + 1] - thrown[1, row, col]
    down_u, down_v = thrown[0, row + 1, col] - thrown[0, row, col], thrown[1, row + 1, col] - thrown[1, row, col]
    if not (ONE + along_u) * (ONE + down_v) > along_v * down_u:
        return 1
    return 4 if most > rules.far_apart**2 else 2


@compiled()
def _put_between(
    out: Field, n: int, thrown: Field, carried: Field, own: Field, row: int, col: int, a: int, b: int, many: int
) -> None:
    """Point n: the one at the share (a, b) / many of a cell."""
    y, x = np.float32(a / many), np.float32(b / many)
    s0, s1, s2, s3 = (ONE - y) * (ONE - x), (ONE - y) * x, y * (ONE - x), y * x
    r, c = row + 1, col + 1
    for k in range(2):
        far = s0 * thrown[k, row, col] + s1 * thrown[k, row, c] + s2 * thrown[k, r, col] + s3 * thrown[k, r, c]
        out[n, X - k] = far + (np.float32(col) + x if k == 0 else np.float32(row) + y)
        borne = s0 * carried[k, row, col] + s1 * carried[k, row, c] + s2 * carried[k, r, col] + s3 * carried[k, r, c]
        out[n, U + k] = borne
    out[n, OWN] = s0 * own[row, col] + s1 * own[row, c] + s2 * own[r, col] + s3 * own[r, c]


@compiled()
def _gather(rules: Rules, thrown: Field, carried: Field, own: Field, rest: Mask) -> Any:
    """What is thrown, and what goes between where that stretches: (n, 5)."""
    height, width = rest.shape
    denser = np.ones((height, width), np.uint8)
    count = 0
    for row in range(height):
        for col in range(width):
            count += not rest[row, col]
            if row + 1 < height and col + 1 < width:
                denser[row, col] = _denser(rules, thrown, row, col)
                count += denser[row, col] ** 2 - 1
    out = np.empty((count, 5), np.float32)
    n = 0
    for row in range(height):
        for col in range(width):
            if not rest[row, col]:
                out[n, Y], out[n, X] = thrown[1, row, col] + np.float32(row), thrown[0, row, col] + np.float32(col)
                out[n, U], out[n, V], out[n, OWN] = carried[0, row, col], carried[1, row, col], own[row, col]
                n += 1
    if n == count:
        return out
    for row in range(height):
        for col in range(width):
            many = denser[row, col]
            for place in range(1, many * many):  # the cell's first corner is thrown anyway
                _put_between(out, n, thrown, carried, own, row, col, place // many, place % many, many)
                n += 1
    return out


@compiled()
def _before(at: Any, size: int) -> Any:
    """The grid point before a position, and the share of the one after; what is far out is just out."""
    held = at if at > np.float32(-1) else np.float32(-1)  # so that what is not a number is out of the picture, too
    held = held if held < np.float32(size) else np.float32(size)
    low = np.floor(held)
    return int(low), held - low


@compiled()
def _add_up(thrown: Field, sums: Sums) -> None:
    """Sums (h, w, 4) of what landed: how much, U, V, U² + V², each by its bilinear share."""
    height, width, _ = sums.shape
    for n in range(thrown.shape[0]):
        low_y, fy = _before(thrown[n, Y], height)
        low_x, fx = _before(thrown[n, X], width)
        u, v = thrown[n, U], thrown[n, V]
        energy = u * u + v * v
        for row in range(max(low_y, 0), min(low_y + 2, height)):
            part = ONE - fy if row == low_y else fy
            for col in range(max(low_x, 0), min(low_x + 2, width)):
                share = part * (ONE - fx if col == low_x else fx)
                sums[row, col, 0] += share
                sums[row, col, 1] += share * u
                sums[row, col, 2] += share * v
                sums[row, col, 3] += share * energy


@compiled()
def _average(
    rules: Rules,
    sums: Sums,
    carried: Field,
    rest: Mask,
    borne: Field,
    stride: float,
    field: Field,
    number: NDArray[np.int32],
) -> Any:
    """Means of what landed and what rests. Returns how many places have unlike ones; `number` is each one's, or −1."""
    _, height, width = carried.shape
    least, ripple = (rules.apart * stride) ** 2, rules.ripple**2
    count = 0
    for row in range(height):
        for col in range(width):
            landed = sums[row, col, 0]
            total, u, v, energy = landed, sums[row, col, 1], sums[row, col, 2], sums[row, col, 3]
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
            if landed > 0:
                own = (u - borne[0, row, col]) ** 2 + (v - borne[1, row, col]) ** 2
                if energy * share - u * u - v * v > max(least, ripple * own):
                    number[row, col] = count
                    count += 1
    return count


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
def _touching(thrown: Field, number: NDArray[np.int32], out: NDArray[np.uint32]) -> Any:
    """How many points land beside any numbered place; `out` is told which."""
    height, width = number.shape
    beside = np.zeros((height + 2, width + 2), np.bool_)  # at row − 1, column − 1
    for row in range(height):
        for col in range(width):
            if number[row, col] >= 0:
                beside[row, col] = beside[row, col + 1] = beside[row + 1, col] = beside[row + 1, col + 1] = True
    count = 0
    for n in range(thrown.shape[0]):
        row, _ = _before(thrown[n, Y], height)
        col, _ = _before(thrown[n, X], width)
        if beside[row + 1, col + 1]:
            out[count] = n
            count += 1
    return count


@compiled()
def _arrivals(
    thrown: Field, number: NDArray[np.int32], who: NDArray[np.uint32], where: NDArray[np.int32], shares: Field
) -> Any:
    """How often a point comes to a numbered place; the others are told which, where, and by what share.

    By the four corners that a point shares itself among first, the order in which NumPy adds them up.
    """
    height, width = number.shape
    points = np.empty(thrown.shape[0], np.uint32)
    touching = _touching(thrown, number, points)
    count = 0
    for corner in range(4):
        for k in range(touching):
            n = points[k]
            row, fy = _before(thrown[n, Y], height)
            col, fx = _before(thrown[n, X], width)
            row, part = (row + 1, fy) if corner // 2 else (row, ONE - fy)
            col, share = (col + 1, part * fx) if corner % 2 else (col, part * (ONE - fx))
            if 0 <= row < height and 0 <= col < width and number[row, col] >= 0 and share > 0:
                who[count], where[count], shares[count] = n, number[row, col], share
                count += 1
    return count


@compiled()
def _resolve(
    rules: Rules,
    thrown: Field,
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
    who = np.empty(4 * thrown.shape[0], np.uint32)
    where, shares = np.empty(who.size, np.int32), np.empty(who.size, np.float32)
    arrivals = _arrivals(thrown, number, who, where, shares)
    best, winner = np.empty(count, np.float32), np.zeros((count, 2), np.float64)
    for place in range(count):
        best[place] = -1
    for k in range(arrivals):
        n = who[k]
        _contend(best, winner, where[k], _far(thrown[n, OWN]) + shares[k], thrown[n, U], thrown[n, V])
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
        _side_with(winner, within, total, where[k], shares[k], thrown[n, U], thrown[n, V])
    for row in range(height):
        for col in range(width):
            place = number[row, col]
            if place < 0:
                continue
            if rest[row, col]:
                _side_with(winner, within, total, place, ONE, carried[0, row, col], carried[1, row, col])
            share = 1 / max(total[place, 0], rules.epsilon)
            field[0, row, col], field[1, row, col] = total[place, 1] * share, total[place, 2] * share


@compiled(
    types.void(
        types.NamedUniTuple(types.float64, len(RULES), Rules),
        array("floats", 3), array("floats", 3), array("floats", 2), array("flags", 2), array("floats", 3),
        types.float64, array("floats", 3, True), array("doubles", 3, True),
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
    sums: Sums,
) -> None:
    points = _gather(rules, thrown, carried, own, rest)
    _add_up(points, sums)
    number = np.empty(rest.shape, np.int32)
    count = _average(rules, sums, carried, rest, borne, stride, field, number)
    if count:
        _resolve(rules, points, carried, own, rest, borne, stride, number, count, field)


def splat(points: Points, rest: Mask, borne: Field, stride: float) -> tuple[Field, Sums]:
    """See `magfilter.splat.splat`."""
    thrown, carried, own = (np.ascontiguousarray(part, np.float32) for part in points)
    field, sums = np.empty_like(carried), np.zeros((*rest.shape, 4))
    ground = np.ascontiguousarray(np.broadcast_to(borne, field.shape), np.float32)
    _splat(RULES, thrown, carried, own, np.ascontiguousarray(rest), ground, float(stride), field, sums)
    return field, np.ascontiguousarray(sums[:, :, 0])
