"""The flow that the judge's verdict makes of what there is to choose from; as `MotionCell.choose` of
`magfilter.networks.warp`.

Every kernel does the rows first..last of the grid, so that threads can share them.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled
from magfilter.compiled.pyramid import CONTRACT, ROWS, fill, held
from magfilter.networks import constants
from magfilter.networks.constants import CHOICES, DOUBLINGS, HERE, VERDICTS

__all__ = ["choose", "refine"]

Array = NDArray[np.float32]

DOUBT = np.float32(constants.DOUBT)


@compiled()
def _exponentials(line: Array, bits: NDArray[np.int32], powers: Array) -> None:
    """e to what a line holds, in place; several at a time, as the system's own function is not.

    `bits` is room for as many, and `powers` the same room read as float32.
    """
    one, half = np.float32(127), np.float32(127.5)
    log2e, most = np.float32(1.4426950408889634), np.float32(126)
    c1, c2, c3 = np.float32(0.6931471806), np.float32(0.2402265070), np.float32(0.0555041087)
    c4, c5, c6 = np.float32(0.0096181291), np.float32(0.0013333558), np.float32(0.0001540353)
    for k in range(line.size):
        y = line[k] * log2e
        y = y if y < most else most
        y = y if y > -most else -most
        whole = np.int32(y + half)
        r = y - (np.float32(whole) - one)  # −½..½, of which Taylor's series of 2^r takes seven terms
        bits[k] = whole << 23
        line[k] = np.float32(1) + r * (c1 + r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * c6)))))
    for k in range(line.size):
        line[k] *= powers[k]


@compiled()
def _line(one: Array, other: Array, row: int, reach: int, out: Array) -> None:
    """A row of the sum of two fields (h, w), with its ends repeated `reach` times."""
    width = one.shape[1]
    for k in range(width):
        out[k + reach] = one[row, k] + other[row, k]
    for k in range(reach):
        out[k], out[width + reach + k] = out[reach], out[width + reach - 1]


@compiled(
    types.void(
        array("floats", 1), array("floats", 3), array("floats", 3), array("floats", 4), array("floats", 2),
        array("floats", 3), *ROWS, array("floats", 3, True),
    ),
    fastmath=CONTRACT,
)  # fmt: skip
def choose(
    prior: Array, verdict: Array, flow: Array, found: Array, speed: Array, errors: Array, first: int, last: int,
    chosen: Array,
) -> None:  # fmt: skip
    """The flow (2, h, w) chosen among the candidates.

    Args:
        prior: (CHOICES,).
        verdict: (VERDICTS, h, w).
        flow: (2, h, w), so far; found: (3, 2, h, w), the solutions; speed: (h, w).
        errors: (2, h, w), squared differences that the flow leaves, and that no motion leaves.
    """
    _, height, width = flow.shape
    one, two, five = np.float32(1), np.float32(2), np.float32(5)
    bits = np.empty(width, np.int32)
    powers = bits.view(np.float32)
    shares, total = np.empty((CHOICES, width), np.float32), np.empty(width, np.float32)
    line, wide = np.empty(width + 2, np.float32), np.empty(width + 4, np.float32)
    for row in range(first, last):
        fill(total, np.float32(0))
        for n in range(CHOICES):
            share = shares[n]
            for k in range(width):
                share[k] = verdict[n, row, k] * np.float32(0.4)
            _exponentials(share, bits, powers)
            for k in range(width):  # 5 tanh(v / 5): bounded, so that the sum needs no care
                share[k] = five * (one - two / (share[k] + one)) + prior[n]
            _exponentials(share, bits, powers)
            for k in range(width):
                total[k] += share[k]
        for k in range(width):
            total[k] = one / total[k]
        # What is said to rest, though the flow explains it better, moves as its own solution says.
        for k in range(width):
            rests = min((errors[0, row, k] + DOUBT) / (errors[1, row, k] + DOUBT), one)
            for _ in range(DOUBLINGS):
                rests *= rests
            shares[HERE, k] += shares[CHOICES - 1, k] * (one - rests)
        for axis in range(2):
            out = chosen[axis, row]
            for k in range(width):
                out[k] = (
                    shares[18, k] * (flow[axis, row, k] + found[2, axis, row, k]) + shares[19, k] * flow[axis, row, k]
                )
            for step in range(3):
                _line(flow[axis], found[0, axis], held(row + step - 1, height), 1, line)
                _line(flow[axis], found[1, axis], held(row + 2 * step - 2, height), 2, wide)
                for n in range(3):
                    near, far = shares[3 * step + n], shares[9 + 3 * step + n]
                    for k in range(width):
                        out[k] += near[k] * line[k + n] + far[k] * wide[k + 2 * n]
            for k in range(width):
                out[k] = out[k] * total[k] + verdict[VERDICTS - 2 + axis, row, k] * speed[row, k] * np.float32(0.1)


@compiled(
    types.void(array("floats", 1), array("floats", 3), array("floats", 3), *ROWS, array("floats", 3, True)),
    fastmath=CONTRACT,
)
def refine(near: Array, verdict: Array, chosen: Array, first: int, last: int, fine: Array) -> None:
    """The chosen flow (2, h, w) at twice its resolution (2, 2h, 2w): convex sums of neighbours.

    Args:
        near: (36,), prior; verdict: (VERDICTS, h, w).
    """
    _, height, width = chosen.shape
    bits = np.empty(width, np.int32)
    powers = bits.view(np.float32)
    shares = np.empty((9, width), np.float32)
    most, total = np.empty(width, np.float32), np.empty(width, np.float32)
    lines = np.empty((2, 3, width + 2), np.float32)
    sums = np.empty((2, 2, width), np.float32)
    for row in range(first, last):
        for axis in range(2):
            for step in range(3):
                r = held(row + step - 1, height)
                line = lines[axis, step]
                for k in range(width):
                    line[k + 1] = chosen[axis, r, k]
                line[0], line[width + 1] = line[1], line[width]
        for place in range(4):
            fill(most, np.float32(-1e30))
            for n in range(9):
                share, base = shares[n], CHOICES + 9 * place + n
                for k in range(width):
                    share[k] = verdict[base, row, k] + near[9 * place + n]
                    most[k] = max(most[k], share[k])
            fill(total, np.float32(0))
            for n in range(9):
                share = shares[n]
                for k in range(width):
                    share[k] -= most[k]
                _exponentials(share, bits, powers)
                for k in range(width):
                    total[k] += share[k]
            for k in range(width):
                total[k] = np.float32(1) / total[k]
            for axis in range(2):
                out = sums[axis, place % 2]
                fill(out, np.float32(0))
                for n in range(9):
                    share, line = shares[n], lines[axis, n // 3]
                    for k in range(width):
                        out[k] += share[k] * line[k + n % 3]
                for k in range(width):
                    out[k] *= total[k]
            if place % 2:
                for axis in range(2):
                    for k in range(width):
                        fine[axis, 2 * row + place // 2, 2 * k] = sums[axis, 0, k]
                        fine[axis, 2 * row + place // 2, 2 * k + 1] = sums[axis, 1, k]
