"""The camera's motion, from that of patches of the ground: affine where there are enough of them, else a shift."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AFFINE", "camera_of", "moves_by", "uncertain", "unknowns"]

Floats = NDArray[np.float64]

LIKE = 0.05  # px; patches that differ by less from the camera's motion count in full
ROW = 0.2  # width over length, below which patches lie in a row
AFFINE = 6  # patches from which on turn and zoom are told


def unknowns(at: Floats) -> int:
    """How many numbers a way the motion has that patches at these places (p, 2) tell: one, a shift, where they are few
    or lie in a row, across which a turn cannot be told."""
    if len(at) < AFFINE:
        return 1
    length, width = np.linalg.svd(at - at.mean(0), compute_uv=False)
    return 3 if width >= ROW * length else 1


def camera_of(at: Floats, off: Floats, weights: Floats) -> Floats:
    """The motion that most of the patches follow, as (3, 2): at (0, 0), per px right, per px down.

    Args:
        at: (p, 2) px, where the patches are; off: (p, 2) px, how far they have moved, NaN where one was not seen.
        weights: (p,) how much each tells; one that moves otherwise counts for next to nothing.
    """
    affine = unknowns(at) > 1
    seen = np.isfinite(off).all(1)
    at, off, weights = at[seen], off[seen], weights[seen]
    out = np.zeros((3, 2))
    if not len(at):
        return np.full((3, 2), np.nan)
    middle = at.mean(0)
    basis = np.column_stack([np.ones(len(off)), at - middle])[:, : 3 if affine else 1]
    scale = max(float(np.abs(at - middle).max()), 1.0)
    basis[:, 1:] /= scale
    motion = np.zeros((basis.shape[1], 2))
    motion[0] = np.median(off, 0)
    for _ in range(6):
        far = np.hypot(*(off - basis @ motion).T)
        counts = weights / (1 + (far / max(LIKE, float(np.median(far)))) ** 2) ** 2
        weighted: Any = basis * counts[:, None]
        motion = np.linalg.solve(weighted.T @ basis + 1e-9 * counts.sum() * np.eye(len(motion)), weighted.T @ off)
    out[: len(motion)] = motion
    out[1:] /= scale
    out[0] -= middle @ out[1:]
    return out


def moves_by(camera: Floats, at: Floats) -> Floats:
    """(…, 2) px that a camera's motion moves points (…, 2)."""
    return np.asarray(camera[0] + at @ camera[1:])


def uncertain(at: Floats, weights: Floats, where: Floats) -> float:
    """Variance of `camera_of` at a point (2,), for patches that are each off by a variance of 1.

    Patches that tell no turn and zoom tell of none there either: it may be off by as much as they are among themselves.
    """
    affine = unknowns(at) > 1
    middle = np.average(at, axis=0, weights=weights)
    basis = np.column_stack([np.ones(len(at)), at - middle])[:, : 3 if affine else 1]
    here = np.concatenate([[1.0], where - middle])[: basis.shape[1]]
    row = here @ np.linalg.pinv(basis * np.sqrt(weights)[:, None], rcond=1e-6) * np.sqrt(weights)
    return float((row**2).sum()) + (0.0 if affine else 1.0)
