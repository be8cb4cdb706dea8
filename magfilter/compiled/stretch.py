"""Points that are put between others where these are thrown apart; as `magfilter.splat` does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.compiled.compiler import compiled
from magfilter.compiled.points import ONE, OWN, Field, Rules, U, X

__all__ = ["between"]


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
def _putbetween(
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
def between(rules: Rules, thrown: Field, carried: Field, own: Field) -> Any:
    """What is thrown between the grid's own points where that stretches: (n, 5)."""
    height, width = own.shape
    denser = np.ones((height, width), np.uint8)
    out = np.empty((_stretch(rules, thrown, denser) if min(height, width) > 1 else 0, 5), np.float32)
    n, row = 0, 0
    while n < out.shape[0]:
        for col in range(width):
            many = denser[row, col]
            for place in range(1, many * many):  # the cell's first corner is thrown anyway
                _putbetween(out, n, thrown, carried, own, row, col, place // many, place % many, many)
                n += 1
        row += 1
    return out
