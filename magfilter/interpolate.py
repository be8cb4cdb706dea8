"""Catmull-Rom interpolation of a plane at any positions, in NumPy.

Between samples, Catmull-Rom's cubic is the line through both neighbours less t(1 − t)/2 times the line through
their second differences. So four numbers a sample, kept side by side, and linear look-ups of all four at once
give the interpolator whose slope is right: the usual bicubic (a = −0.75) moves a picture by half as much again as
it was told when the displacement is small.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curved", "mirrored"]

Array = NDArray[np.float32]

AT_ONCE = 8192  # positions; their arrays stay in a core's own cache
ROWS = 64  # of the plane that are prepared at once


class Curved:
    """A plane ready to be looked up between its samples; outside, its border is repeated.

    Args:
        plane: (h, w) of any real type.
        first, last: px; positions will lie in these rows. What lies beyond is looked up at the nearer of them.
    """

    def __init__(self, plane: NDArray[Any], first: float = 0, last: float = math.inf) -> None:
        height, self.width = plane.shape
        self.top = min(max(first, 0.0), height - 1.0)
        self.bottom = min(max(last, self.top), height - 1.0)
        self.low = int(self.top)
        # One more sample to the right and below, so that every position has four neighbours.
        rows = np.arange(self.low - 1, int(self.bottom) + 3).clip(0, height - 1)
        padded = np.pad(plane[rows], ((0, 0), (1, 2)), mode="edge")
        samples = np.empty((len(rows) - 2, self.width + 1, 4), np.float32)
        for top in range(0, len(samples), ROWS):
            here = samples[top : top + ROWS]
            wide = padded[top : top + len(here) + 2].astype(np.float32)
            along = wide[:, :-2] + wide[:, 2:] - 2 * wide[:, 1:-1]
            here[..., 0] = wide[1:-1, 1:-1]
            here[..., 1] = along[1:-1]
            here[..., 2] = (wide[:-2] + wide[2:] - 2 * wide[1:-1])[:, 1:-1]
            here[..., 3] = along[:-2] + along[2:] - 2 * along[1:-1]
        self._samples = samples.reshape(-1, 4)

    def __call__(self, y: Array, x: Array) -> Array:
        """Values at positions y, x, both float32 of one shape, px; NumPy releases the interpreter meanwhile."""
        out = np.empty(y.size, np.float32)
        y_, x_ = np.clip(y, self.top, self.bottom).ravel(), np.clip(x, 0, self.width - 1).ravel()
        for start in range(0, y.size, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            self._look(y_[part], x_[part], out[part])
        return out.reshape(y.shape)

    def _look(self, y: Array, x: Array, out: Array) -> None:
        row, column = y.astype(np.intp), x.astype(np.intp)
        ty, tx = y - row.astype(np.float32), x - column.astype(np.float32)
        row -= self.low
        # Each share four times over: to multiply by a column would cost NumPy more than all the rest.
        down, right = np.repeat(ty, 4).reshape(-1, 4), np.repeat(tx, 4).reshape(-1, 4)
        at = row * (self.width + 1) + column
        above, beside = self._samples.take(at, 0), self._samples.take(at + 1, 0)
        at += self.width + 1
        below, across = self._samples.take(at, 0), self._samples.take(at + 1, 0)
        for near, far, share in ((above, beside, right), (below, across, right), (above, below, down)):
            far -= near
            far *= share
            near += far
        cx, cy = 0.5 * tx * (1 - tx), 0.5 * ty * (1 - ty)
        np.multiply(above[:, 3], cx, out=out)
        out -= above[:, 2]
        out *= cy
        out += above[:, 0]
        out -= cx * above[:, 1]


def mirrored(at: Array, size: int) -> Array:
    """Positions along an axis of `size` samples, those beyond its ends mirrored there, half a sample from the last.

    There every plane of a picture has its edge, however coarse it is, so luma and chroma are mirrored about one
    place. What lies more than `size` beyond comes to lie there anew, or beyond the first sample at last.
    """
    at = np.maximum(at, -1 - at)
    out: Array = np.minimum(at, 2 * size - 1 - at)
    return out
