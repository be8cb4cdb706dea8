"""Filling the gaps of a field by reflection at their rims; as `magfilter.displace` does with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from magfilter.compiled.compiler import array, compiled

__all__ = ["reflect"]

Field = NDArray[np.float32]


@compiled(
    types.void(
        array("floats", 3), array("flags", 2), array("floats", 3), types.float64, types.float64, types.int64,
        types.int64, array("floats", 3, True), array("flags", 2, True),
    )
)  # fmt: skip
def _reflect(
    field: Field,
    gap: NDArray[np.bool_],
    behind: Field,
    stride: float,
    still: float,
    beyond: int,
    longest: int,
    filled: Field,
    left_over: NDArray[np.bool_],
) -> None:
    height, width = gap.shape
    for row in range(height):
        for col in range(width):
            if not gap[row, col]:
                continue
            left_over[row, col] = True
            way_x, way_y = behind[0, row, col], behind[1, row, col]
            length = np.hypot(way_x, way_y)
            if not length > np.float32(still):
                continue
            step_x, step_y = way_x / max(length, np.float32(1e-6)), way_y / max(length, np.float32(1e-6))
            for k in range(1, min(int(length) + beyond, longest)):
                y, x = int(np.rint(row + np.float32(k) * step_y)), int(np.rint(col + np.float32(k) * step_x))
                if y < 0 or y >= height or x < 0 or x >= width:
                    break
                if gap[y, x]:
                    continue
                # As far behind the rim as the point lies before it; the rim itself where that is no ground either.
                far_y, far_x = (
                    int(np.rint(row + np.float32(2 * k) * step_y)),
                    int(np.rint(col + np.float32(2 * k) * step_x)),
                )
                if 0 <= far_y < height and 0 <= far_x < width and not gap[far_y, far_x]:
                    y, x = far_y, far_x
                filled[0, row, col] = (x - col) * stride + field[0, y, x]
                filled[1, row, col] = (y - row) * stride + field[1, y, x]
                left_over[row, col] = False
                break


def reflect(
    field: Field, gap: NDArray[np.bool_], behind: Field, stride: float, still: float, beyond: int, longest: int
) -> tuple[Field, NDArray[np.bool_]]:
    """The field (2, h, w) px with its gaps filled as far as that goes, and where it does not (h, w).

    Args:
        field, gap: what is known, and where nothing is.
        behind: (2, h, w) grid px, the way to walk to the rim.
        stride: px per grid point.
        still: grid px; a way no longer than that leads nowhere.
        beyond: grid px; what lies so much farther than the way is long is not looked for.
        longest: grid px; what lies farther is not looked for.
    """
    filled, left_over = np.array(field, np.float32, order="C"), np.zeros(gap.shape, bool)
    parts: list[Any] = [np.ascontiguousarray(part) for part in (field, gap, behind)]
    _reflect(*parts, float(stride), float(still), beyond, longest, filled, left_over)
    return filled, left_over
