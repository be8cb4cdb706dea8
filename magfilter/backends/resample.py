"""Moving a plane's samples on the CPU: what every engine does that has no device of its own for it."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.compiled import kernels
from magfilter.forks import start_here
from magfilter.interpolate import Curved, mirrored

__all__ = ["Resampler"]

Array = NDArray[np.float32]

BAND = 64  # rows at once


class Resampler:
    """Catmull-Rom interpolation where a displacement says, bands of rows side by side.

    Args:
        threads: bands of a plane computed side by side; 0 for all cores.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads or os.cpu_count() or 1
        start_here(self)

    def start(self) -> None:
        """See `magfilter.forks`."""
        self._pool = ThreadPoolExecutor(self.threads, "resample")

    def settle(self) -> None:
        """Nothing goes on in them unless `__call__` does, which waits."""

    def __call__(self, plane: NDArray[Any], displacement: Array, step: tuple[float, float], peak: int) -> NDArray[Any]:
        """See `magfilter.backends.Engine.resample`."""
        height, rows = plane.shape[0], displacement.shape[1]
        active = np.flatnonzero((displacement != 0).any((0, 2)))
        out = plane.copy()
        if not len(active):
            return out
        # Only the rows that move, one grid row more on either side, since interpolation reaches there.
        ratio = height / rows
        first = max(0, math.floor((active[0] - 1) * ratio))
        last = min(height, math.ceil((active[-1] + 2) * ratio))
        # Narrow bands, so that what is computed for one fits a cache and not what is for all a memory.
        bands = max(1, (last - first) // BAND)
        edges = [first + (last - first) * k // bands for k in range(bands + 1)]
        fast = kernels()
        work = fast.move if fast and plane.dtype in (np.uint8, np.uint16) else _move

        def band(top: int, bottom: int) -> None:
            work(displacement, step, plane, peak, (top, bottom), out)

        list(self._pool.map(band, edges[:-1], edges[1:]))
        return out


def _move(
    field: Array,
    step: tuple[float, float],
    plane: NDArray[Any],
    peak: int,
    span: tuple[int, int],
    out: NDArray[Any],
) -> None:
    """As `magfilter.compiled.pixels.move`, with NumPy."""
    top, bottom = span
    scaled = field / np.asarray(step, np.float32).reshape(2, 1, 1)
    d = _enlarge(scaled, (plane.shape[0], plane.shape[1]), top, bottom)
    y = mirrored(np.arange(top, bottom, dtype=np.float32)[:, None] + d[1], plane.shape[0])
    x = mirrored(np.arange(plane.shape[1], dtype=np.float32) + d[0], plane.shape[1])
    # Prepared for the rows that this band looks at: for all of a plane it would take four floats a sample.
    moved = Curved(plane, float(y.min()), float(y.max()))(y, x)
    np.rint(moved, out=moved)
    np.clip(moved, 0, peak, out=moved)
    still = (d[0] == 0) & (d[1] == 0)
    out[top:bottom] = np.where(still, plane[top:bottom], moved.astype(plane.dtype))


def _enlarge(field: Array, size: tuple[int, int], top: int, bottom: int) -> Array:
    """Rows top..bottom of the field resized bilinearly to `size`: (2, bottom − top, W)."""
    rows, cols = field.shape[1:]

    def taps(out: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        at = np.clip(out, 0, count - 1)
        low = np.floor(at).astype(np.intp)
        return low, np.minimum(low + 1, count - 1), (at - low).astype(np.float32)

    if size == (rows, cols):
        return field[:, top:bottom]
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5) * np.float32(rows / size[0]) - np.float32(0.5)
    above, below, fy = taps(y, rows)
    tall = field[:, above] + (field[:, below] - field[:, above]) * fy[:, None]
    if size[1] % cols == 0:
        return _times(tall, size[1] // cols)
    x = (np.arange(size[1], dtype=np.float32) + 0.5) * np.float32(cols / size[1]) - np.float32(0.5)
    left, right, fx = taps(x, cols)
    edge = tall[:, :, left]
    out: Array = edge + (tall[:, :, right] - edge) * fx
    return out


def _times(tall: Array, times: int) -> Array:
    """Every row of (2, n, w) bilinearly resized to `times` as many samples, without an index for each of them."""
    cols = tall.shape[2]
    padded = np.pad(tall, ((0, 0), (0, 0), (1, 1)), mode="edge")
    step = padded[:, :, 1:] - padded[:, :, :-1]
    out = np.empty((*tall.shape[:2], cols * times), np.float32)
    for phase in range(times):
        at = (phase + 0.5) / times + 0.5  # from the sample to the left of the one that it lies in
        low = int(at)
        out[:, :, phase::times] = padded[:, :, low : low + cols] + step[:, :, low : low + cols] * np.float32(at - low)
    return out
