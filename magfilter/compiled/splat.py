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

__all__ = ["before", "splat"]

Field = NDArray[np.float32]
Sums = NDArray[np.float64]
Canvas = NDArray[np.float64]
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
U_ONE, TWO, FOUR = (np.uint64(n) for n in (1, 2, 4))  # unsigned, so that no place is taken to count from the end
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
def _stretch(rules: Rules, thrown: Field, denser: NDArray[np.uint8]) -> Any:
    """How densely each cell is to be thrown, see `_denser`; returns how many points that puts between the others."""
    _, height, width = thrown.shape
    limit = np.float32(rules.stretched**2)
    along, below, down = (np.empty(width - 1, np.float32), np.empty(width - 1, np.float32), np.empty(width, np.float32))
    count = 0
    _steps(thrown[0, 0], thrown[1, 0], below)
    for row in range(height - 1):
        for col in range(width - 1):
            along[col] = below[col]
        _steps(thrown[0, row + 1], thrown[1, row + 1], below)
        for col in range(width):
            u, v = thrown[0, row + 1, col] - thrown[0, row, col], thrown[1, row + 1, col] - thrown[1, row, col]
            down[col] = u * u + v * v
        found = 0
        for col in range(width - 1):
            found += max(max(along[col], below[col]), max(down[col], down[col + 1])) > limit
        if found:  # hardly any row has some
            for col in range(width - 1):
                many = _denser(rules, thrown, row, col)
                denser[row, col] = many
                count += many * many - 1
    return count


@compiled()
def _steps(u: Field, v: Field, out: Field) -> None:
    """How far the points of a row are thrown apart, squared."""
    for k in range(out.size):
        out[k] = (u[k + 1] - u[k]) * (u[k + 1] - u[k]) + (v[k + 1] - v[k]) * (v[k + 1] - v[k])


@compiled()
def _between(rules: Rules, thrown: Field, carried: Field, own: Field) -> Any:
    """What is thrown between the grid's own points where that stretches: (n, 5)."""
    height, width = own.shape
    denser = np.ones((height, width), np.uint8)
    out = np.empty((_stretch(rules, thrown, denser) if min(height, width) > 1 else 0, 5), np.float32)
    n, row = 0, 0
    while n < out.shape[0]:
        for col in range(width):
            many = denser[row, col]
            for place in range(1, many * many):  # the cell's first corner is thrown anyway
                _put_between(out, n, thrown, carried, own, row, col, place // many, place % many, many)
                n += 1
        row += 1
    return out


@compiled()
def before(at: Any, size: Any) -> Any:
    """The grid point before a position, and the share of the one after; what is far out is just out."""
    held = at if at > np.float32(-1) else np.float32(-1)  # so that what is not a number is out of the picture, too
    held = held if held < np.float32(size) else np.float32(size)
    low = np.float32(np.int32(held + ONE)) - ONE
    low = low if low <= held else low - ONE
    return np.int32(low), held - low


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
        extra: what `_between` puts between the points.
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
    landed_: Sums,
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
            landed = canvas[at]
            total, u, v, energy = landed, canvas[at + U_ONE], canvas[at + TWO], canvas[at + TWO + U_ONE]
            landed_[row, col] = landed
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
def _touching(
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
def _resolve(
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
    extra = _between(rules, thrown, carried, own)
    base, canvas = np.empty(rest.shape, np.uint32), np.zeros(4 * (height + 3) * (width + 3), np.float64)
    _add_up(thrown, carried, rest, extra, base, canvas)
    number = np.empty(rest.shape, np.int32)
    count = _average(rules, canvas, carried, rest, borne, stride, field, landed, number)
    if count:
        points = _touching(thrown, carried, own, rest, extra, base, number)
        _resolve(rules, points, carried, own, rest, borne, stride, number, count, field)


def splat(points: Points, rest: Mask, borne: Field, stride: float) -> tuple[Field, Sums]:
    """See `magfilter.splat.splat`."""
    thrown, carried, own = (np.ascontiguousarray(part, np.float32) for part in points)
    field, landed = np.empty_like(carried), np.empty(rest.shape)
    ground = np.ascontiguousarray(np.broadcast_to(borne, field.shape), np.float32)
    _splat(RULES, thrown, carried, own, np.ascontiguousarray(rest), ground, float(stride), field, landed)
    return field, landed
