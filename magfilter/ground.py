"""What a picture's ground does: the affine motion (a camera's: shift, turn, zoom) that most of its rim follows.

What surrounds a picture is mostly behind what is in its middle, so the ground is looked for at the rim, by
least squares with weights that fall off for what moves otherwise (Geman and McClure).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESTING", "SMALLEST", "global_motion", "ground", "rim"]

Field = NDArray[np.float32]
Indices = NDArray[np.intp]
Floats = NDArray[np.floating[Any]]

RIM = 1 / 6  # of the picture's sides: where the ground is looked for
RESTING = 0.25  # share of the rim that must rest for the ground to rest
SMALLEST = 8  # points a side; a smaller field has no rim to speak of
LIKE = 0.05  # px; what differs by less from the global motion counts with it in full: the noise of an estimate


def ground(flow: Field, scale: Field) -> Field:
    """The ground's flow, (2, h, w) or (2, 1, 1), px of the full picture; zero where it rests or there is none to tell.

    If enough of the rim rests, the ground does. Otherwise it is the affine motion of most of the rim, if most
    does follow one. `scale` (h, w) is grid px thrown per px of flow.
    """
    _, height, width = flow.shape
    none = np.zeros((2, 1, 1), np.float32)
    if min(height, width) < SMALLEST:
        return none
    y, x = rim(height, width)
    seen, scale = flow[:, y, x].astype(np.float64), scale[y, x]
    far = np.sqrt(_square(seen)) * scale
    if np.mean(far < 0.5) > RESTING:
        return none
    motion, off = _fit(y, x, seen, scale, (height, width), 0.5)
    if np.mean(off < max(1.0, 0.25 * float(np.median(far)))) < 0.5:
        return none
    return _spread(motion, height, width)


def global_motion(flow: Field) -> Field:
    """The affine motion nearest to that of most of the rim, (2, h, w) or (2, 1, 1) float32, in the flow's px.

    However small it is, unlike `ground`'s: what is left of the flow (2, h, w) is what does not follow it.
    """
    _, height, width = flow.shape
    if min(height, width) < SMALLEST:
        return np.median(flow, (1, 2), keepdims=True).astype(np.float32)
    y, x = rim(height, width)
    seen = flow[:, y, x].astype(np.float64)
    motion, _ = _fit(y, x, seen, np.ones(len(y), np.float32), (height, width), LIKE)
    return _spread(motion, height, width)


def rim(height: int, width: int) -> tuple[Indices, Indices]:
    """Rows and columns of points of the rim, about 2000 of which are plenty."""
    step = max(1, int(np.sqrt(height * width / 4000)))
    y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    rim = (np.minimum(y, height - 1 - y) < RIM * height) | (np.minimum(x, width - 1 - x) < RIM * width)
    return y[rim], x[rim]


def _fit(
    y: Indices, x: Indices, seen: Floats, scale: Floats, size: tuple[int, int], like: float
) -> tuple[Floats, Floats]:
    """The affine motion (3, 2) of most of the points (m,), and how far off (m,) each is, scaled.

    `seen` (2, m) px is their flow; what is off by less than `like`, scaled, or than the median counts for most.
    """
    height, width = size
    basis = np.stack([np.ones(len(y)), x / width - 0.5, y / height - 0.5], 1)
    motion = np.zeros((3, 2))
    motion[0] = np.median(seen, 1)
    for _ in range(6):
        off = np.sqrt(_square(seen - (basis @ motion).T)) * scale
        weights = 1 / (1 + (off / max(like, float(np.median(off)))) ** 2) ** 2
        weighted = basis * weights[:, None]
        motion = np.linalg.solve(weighted.T @ basis + 1e-6 * np.eye(3), weighted.T @ seen.T)
    return motion, np.sqrt(_square(seen - (basis @ motion).T)) * scale


def _spread(motion: Floats, height: int, width: int) -> Field:
    """An affine motion (3, 2) at every point."""
    base, along, down = motion.astype(np.float32)[:, :, None, None]
    across_x = np.arange(width, dtype=np.float32) / np.float32(width) - np.float32(0.5)
    across_y = np.arange(height, dtype=np.float32)[:, None] / np.float32(height) - np.float32(0.5)
    affine: Field = base + along * across_x + down * across_y
    return affine


def _square(vectors: Any) -> Any:
    """Squared lengths (…) of vectors (2, …)."""
    return vectors[0] * vectors[0] + vectors[1] * vectors[1]
