"""Bounds of settings, checked in one place."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

__all__ = ["MOST", "check"]

MOST = sys.float_info.max  # without a bound, but infinity is none


def check(settings: object, bounds: Mapping[str, tuple[float, float]]) -> None:
    """See that fields lie in their bounds, which are allowed themselves.

    Args:
        bounds: field → (least, most).

    Raises:
        ValueError: names the first field that does not, or is no number.
    """
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        if not least <= value <= most:  # nor is NaN
            wanted = f"of {least:g} or more" if most >= MOST else f"in {least:g}..{most:g}"
            finite = ", and finite" if math.isinf(value) and value > 0 else ""
            raise ValueError(f"Expected {name} {wanted}{finite}, got {value!r}.")
