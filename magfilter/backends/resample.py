"""Moving a plane's samples on the CPU: what every engine does that has no device of its own for it."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.backends.sessions import open_session
from magfilter.models import RESAMPLER

__all__ = ["Resampler"]

Array = NDArray[np.float32]


class Resampler:
    """Catmull-Rom interpolation by ONNX Runtime's GridSample.

    Args:
        threads: bands of a plane computed side by side; 0 for all cores.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads or os.cpu_count() or 1
        # GridSample runs on one core per call, so a plane is cut into bands that run side by side. Their size
        # is another at every frame; memory kept for each would grow for ever.
        self._session = open_session(RESAMPLER, ["CPUExecutionProvider"], 1, keep_memory=False)
        self._pool = ThreadPoolExecutor(self.threads, "resample")

    def __call__(self, plane: NDArray[Any], displacement: Array, step: tuple[float, float], peak: int) -> NDArray[Any]:
        """See `magfilter.backends.Engine.resample`."""
        height, width = plane.shape
        rows = displacement.shape[1]
        # Displacements are in px of the picture; a subsampled plane has fewer.
        scaled = displacement / np.asarray(step, np.float32).reshape(2, 1, 1)
        active = np.flatnonzero((displacement != 0).any((0, 2)))
        out = plane.copy()
        if not len(active):
            return out
        # Only the rows that move, one grid row more on either side, since interpolation reaches there.
        ratio = height / rows
        first = max(0, math.floor((active[0] - 1) * ratio))
        last = min(height, math.ceil((active[-1] + 2) * ratio))
        source = _with_curvature(plane)[None]
        bands = max(1, min(self.threads, (last - first) // 32))
        edges = [first + (last - first) * k // bands for k in range(bands + 1)]

        def band(top: int, bottom: int) -> None:
            d = _enlarge(scaled, (height, width), top, bottom)
            y = np.arange(top, bottom, dtype=np.float32)[:, None] + d[1]
            x = np.arange(width, dtype=np.float32) + d[0]
            grid = np.stack([x * np.float32(2 / max(width - 1, 1)), y * np.float32(2 / max(height - 1, 1))], -1)
            grid -= 1
            value, along, across, both = self._session.run(None, {"plane": source, "grid": grid[None]})[0][0]
            cx, cy = _bulge(x, width), _bulge(y, height)
            moved = value - cx * along - cy * across + (cx * cy) * both
            np.rint(moved, out=moved)
            np.clip(moved, 0, peak, out=moved)
            still = (d[0] == 0) & (d[1] == 0)
            out[top:bottom] = np.where(still, plane[top:bottom], moved.astype(plane.dtype))

        if bands == 1:
            band(first, last)
        else:
            list(self._pool.map(band, edges[:-1], edges[1:]))
        return out


def _with_curvature(plane: NDArray[Any]) -> Array:
    """The plane and its second differences along x, along y and along both: (4, h, w).

    Between samples, Catmull-Rom's cubic is the line through both neighbours less t(1 − t)/2 times the
    line through their second differences. So two linear look-ups, which every engine has, give the
    interpolator whose slope is right; the engines' own bicubic (a = −0.75) moves a picture by half as
    much again as it was told when the displacement is small.
    """
    height, width = plane.shape
    out = np.empty((4, height, width), np.float32)
    out[0] = plane
    for source, target, axis in ((0, 1, 1), (0, 2, 0), (1, 3, 0)):
        padded = np.pad(out[source], [(1, 1) if n == axis else (0, 0) for n in (0, 1)], mode="edge")
        low, high = (padded[:, :-2], padded[:, 2:]) if axis else (padded[:-2], padded[2:])
        np.add(low, high, out=out[target])
        out[target] -= 2 * out[source]
    return out


def _bulge(at: Array, size: int) -> Array:
    """t(1 − t)/2 of positions between samples; the border is repeated."""
    at = np.clip(at, 0, size - 1)
    t = at - np.floor(at)
    out: Array = t * (1 - t) * np.float32(0.5)
    return out


def _enlarge(field: Array, size: tuple[int, int], top: int, bottom: int) -> Array:
    """Rows top..bottom of the field resized bilinearly to `size`: (2, bottom − top, W)."""
    rows, cols = field.shape[1:]

    def taps(out: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        at = np.clip(out, 0, count - 1)
        low = np.floor(at).astype(np.intp)
        return low, np.minimum(low + 1, count - 1), (at - low).astype(np.float32)

    y = (np.arange(top, bottom, dtype=np.float32) + 0.5) * np.float32(rows / size[0]) - np.float32(0.5)
    x = (np.arange(size[1], dtype=np.float32) + 0.5) * np.float32(cols / size[1]) - np.float32(0.5)
    above, below, fy = taps(y, rows)
    left, right, fx = taps(x, cols)
    tall = field[:, above] + (field[:, below] - field[:, above]) * fy[:, None]
    edge = tall[:, :, left]
    out: Array = edge + (tall[:, :, right] - edge) * fx
    return out
