"""Blocks of pixels that a proxy averages: how large they are, and their means. Needs nothing but NumPy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_means", "block_side"]

Array = NDArray[np.float32]


def block_side(height: int, width: int, megapixels: float) -> int:
    """Side, px, of the blocks of pixels to average so that at most so many megapixels are left; 0 is no limit."""
    return max(1, math.ceil(math.sqrt(height * width / (megapixels * 1e6)) - 1e-9)) if megapixels else 1


def block_means(image: Array, k: int) -> Array:
    """Means of k × k blocks of an image (C, H, W); the border is repeated where the size is no multiple of k."""
    height, width = image.shape[1:]
    rows, cols = -height % k, -width % k
    if rows or cols:
        image = np.pad(image, ((0, 0), (0, rows), (0, cols)), mode="edge")
    # Summing strided views is several times faster than a reduction over short axes.
    tall = image[:, ::k].copy()
    for n in range(1, k):
        tall += image[:, n::k]
    out = tall[:, :, ::k].copy()
    for n in range(1, k):
        out += tall[:, :, n::k]
    out *= np.float32(1 / (k * k))
    return out
