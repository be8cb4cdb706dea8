"""Numbers that are arguments: what is none, or out of range, is refused in one line that names it."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from magfilter.errors import OptionError

__all__ = ["MOST_ALPHA", "MOST_THREADS", "check_factor", "check_number", "check_threads"]

MOST_ALPHA = 1_000_000  # moves a thousandth of a px by a thousand; far beyond, float32 overflows
MOST_THREADS = 512  # more is a slip of the finger that engines and encoders answer with a crash


def check_number(name: str, value: Any, expected: str, fits: Callable[[Any], bool]) -> float:
    """The value as a float; numpy's numbers become Python's.

    Raises:
        OptionError: it is no finite number, or does not fit: "NAME must be EXPECTED; got VALUE".
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not fits(value) or not math.isfinite(value):
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        raise OptionError(f"{name} must be {expected}; got {shown}")
    return float(value)


def check_factor(name: str, value: Any) -> float:
    """A magnification factor, as `check_number`."""
    expected = f"a number of 0 or more, at most {MOST_ALPHA}; 1 leaves motion as it is"
    return check_number(name, value, expected, lambda x: 0 <= x <= MOST_ALPHA)


def check_threads(value: Any) -> int:
    """A number of threads.

    Raises:
        OptionError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) <= MOST_THREADS:
        raise OptionError(f"threads must be 0 (all cores) to {MOST_THREADS}, got {value!r}")
    return int(value)
