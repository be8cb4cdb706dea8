"""By how much one motion is ahead of another, of which each goes to and fro or round.

What goes to and fro has a direction, and its phase is that along it. What goes round in a circle has none: along
whatever direction noise gives it, its phase is as accidental. Of such the whole motions are held against each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ahead", "is_straight"]

Floats = NDArray[np.float64]
Phasors = NDArray[np.complex128]

STRAIGHT = 0.2  # width over length of an ellipse, up to which it counts as to and fro
ALIKE = 0.9  # of 1: what two ellipses must have in common for one to be the other, earlier or later
LEAK = 0.1  # of a motion, below which its part along an axis may have leaked there from across


def is_straight(sides: Phasors, noise: Any = 0.0) -> NDArray[np.bool_]:
    """Whether motions (2, …) px, x first, go to and fro rather than round; `noise` px is what they stand in."""
    size = (np.abs(sides) ** 2).sum(0)
    turn = np.abs(2 * (sides[0].conj() * sides[1]).imag) / np.maximum(size, 1e-300)
    half = np.arcsin(np.minimum(turn, 1)) / 2
    length, width = np.sqrt(size) * np.cos(half), np.sqrt(size) * np.sin(half)
    return np.asarray(width <= np.maximum(STRAIGHT * length, noise))


def ahead(axis: str, mine: Phasors, theirs: Phasors, noise: Any = 0.0, leak: float = LEAK) -> Floats:
    """(…) degrees, −180 to 180, by which a motion is ahead of another; NaN where that cannot be said.

    Args:
        axis: "x", "y" or "along".
        mine, theirs: (3, …) px along x, along y and along its own main direction; NaN if not known.
        noise: px that either stands in.
        leak: share of a motion, less than which along the axis may have leaked there; nothing is said of it.
    """
    number = ("x", "y", "along").index(axis)
    turn = mine[number] * theirs[number].conj()
    known = np.isfinite(theirs[:2]).all(0) & np.isfinite(mine[:2]).all(0)
    size = [np.sqrt((np.abs(side[:2]) ** 2).sum(0)) for side in (mine, theirs)]
    leaks = [np.abs(side[number]) < leak * whole for side, whole in zip((mine, theirs), size, strict=True)]
    if axis == "along":
        common = (mine[:2] * theirs[:2].conj()).sum(0)
        round_ = known & ~(is_straight(mine[:2], noise) & is_straight(theirs[:2], noise))
        alike = np.abs(common) >= ALIKE * size[0] * size[1]
        turn = np.where(round_, np.where(alike, common, np.nan), turn)
        leaks = [few & ~round_ for few in leaks]
    return np.asarray(np.where(known & (leaks[0] | leaks[1]), np.nan, np.degrees(np.angle(turn))))
