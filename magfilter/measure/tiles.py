"""Leaving out the tiles of a large patch that tell next to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["thin_out"]

TILE = 32  # px; of a large patch, tiles that tell next to nothing are left out,
PLENTY = 0.98  # as long as the rest tells this share,
MOST_TILES = 256  # and more than so many are not needed


def thin_out(weights: NDArray[Any], slopes: list[Any]) -> tuple[NDArray[Any], list[tuple[int, int, int, int]]]:
    """The weights without tiles that tell next to nothing, and what is left as boxes (top, left, rows, columns)."""
    height, width = weights.shape
    if height * width <= 4 * TILE * TILE:
        return weights, [(0, 0, height, width)]
    rows, cols = -(-height // TILE), -(-width // TILE)
    worth = np.zeros((rows, cols))
    for slope in slopes:
        strength = np.zeros((rows * TILE, cols * TILE), np.float32)
        strength[:height, :width] = weights * slope**2
        told = strength.reshape(rows, TILE, cols, TILE).sum((1, 3), dtype=np.float64)
        worth += told / max(float(told.sum()), 1e-20)
    order = np.argsort(-worth.ravel(), kind="stable")
    told = np.cumsum(worth.ravel()[order])
    count = min(int(np.searchsorted(told, PLENTY * told[-1])) + 1, MOST_TILES)
    kept = np.zeros(rows * cols, bool)
    kept[order[:count]] = True
    kept = kept.reshape(rows, cols)
    boxes: list[tuple[int, int, int, int]] = []
    for row in range(rows):
        col = 0
        while col < cols:
            begin = col
            while col < cols and kept[row, col]:
                col += 1
            if col > begin:  # neighbours in a row are one box
                top, left = row * TILE, begin * TILE
                boxes.append((top, left, min(TILE, height - top), min(col * TILE, width) - left))
            col += 1
    return weights * np.kron(kept, np.ones((TILE, TILE), bool))[:height, :width], boxes
