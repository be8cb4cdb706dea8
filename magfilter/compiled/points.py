"""Points that are thrown: the rules of `magfilter.splat`, and where a point lands."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from magfilter.compiled.compiler import compiled
from magfilter.splat import ALIKE, APART, EPSILON, FAR_APART, RIPPLE, SAME, STRETCHED, SUDDEN, TORN

__all__ = ["ONE", "OWN", "RULES", "Canvas", "Field", "Mask", "Rules", "Sums", "U", "V", "X", "Y", "before"]

Field = NDArray[np.float32]
Sums = NDArray[np.float64]
Canvas = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Rules(NamedTuple):
    """That module's numbers, as arguments: what a kernel read from elsewhere would stay in what is kept of it."""

    apart: float
    ripple: float
    same: float
    alike: float
    stretched: float
    torn: float
    sudden: float
    far_apart: float
    epsilon: float


RULES = Rules(APART, RIPPLE, SAME, ALIKE, STRETCHED, TORN, SUDDEN, FAR_APART, EPSILON)
ONE = np.float32(1)
Y, X, U, V, OWN = range(5)  # of a point that is thrown


@compiled()
def before(at: Any, size: Any) -> Any:
    """The grid point before a position, and the share of the one after; what is far out is just out."""
    held = at if at > np.float32(-1) else np.float32(-1)  # so that what is not a number is out of the picture, too
    held = held if held < np.float32(size) else np.float32(size)
    low = np.float32(np.int32(held + ONE)) - ONE
    low = low if low <= held else low - ONE
    return np.int32(low), held - low
