"""How far a proxy is reduced, and the reduction. Needs nothing but NumPy."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_side", "reduced"]

Array = NDArray[np.float32]
TILE = 16  # samples; longer ones multiply more zeros


def block_side(height: int, width: int, megapixels: float) -> int:
    """Side, px, of the blocks of pixels that become one so that at most so many megapixels are left; 0 is no limit."""
    return max(1, math.ceil(math.sqrt(height * width / (megapixels * 1e6)) - 1e-9)) if megapixels else 1


def reduced(image: Array, k: int) -> Array:
    """An image (C, H, W) at a k-th of its resolution, the border repeated as far as that is needed.

    Low-passed first, by a sinc of that resolution under a window of two lobes (Duchon 1979): the plain mean of a
    block lets pass what the coarser grid shows as a texture that moves another way. Sample (y, x) lies where the
    centre of its block of k × k pixels does, and there are as many as blocks, the last ones cut off by the border
    included. White noise is reduced to 0.81 / k of its deviation (a mean: to 1 / k).
    """
    height, width = image.shape[1:]
    rows, columns = -(-height // k), -(-width // k)
    tall = np.empty((len(image), rows, width), np.float32)
    for start, weights, at in _tiles(height, k):
        np.matmul(weights, image[:, at], out=tall[:, start : start + len(weights)])
    out = np.empty((len(image), rows, columns), np.float32)
    for start, weights, at in _tiles(width, k):
        np.matmul(tall[:, :, at], weights.T, out=out[:, :, start : start + len(weights)])
    return out


@lru_cache(maxsize=8)  # the same for every frame
def _tiles(size: int, k: int) -> list[tuple[int, Array, slice | NDArray[np.int64]]]:
    """One axis in stretches, each a small product of matrices: the first sample, the weights, what they apply to.

    That is several times as fast as adding up shifted views, and the image need not be copied for its border.
    """
    weights = _low_pass(k)
    before, count = (len(weights) - k) // 2, -(-size // k)
    tiles: list[tuple[int, Array, slice | NDArray[np.int64]]] = []
    for start in range(0, count, TILE):
        many = min(TILE, count - start)
        first, reach = start * k - before, (many - 1) * k + len(weights)
        product = np.zeros((many, reach), np.float32)
        for n in range(many):
            product[n, n * k : n * k + len(weights)] = weights
        inside = first >= 0 and first + reach <= size
        at = slice(first, first + reach) if inside else np.clip(np.arange(first, first + reach), 0, size - 1)
        tiles.append((start, product, at))
    return tiles


def _low_pass(k: int) -> Array:
    """Weights of the pixels around the centre of a block of k, (4k - 1,) or, where k is even, (4k,)."""
    reach = 2 * k
    away = np.arange(1 - reach, reach) if k % 2 else np.arange(-reach, reach) + 0.5
    weights = np.sinc(away / k) * np.sinc(away / reach)
    return np.asarray(weights / weights.sum(), np.float32)
