"""Numbers that are arguments: what is none, or out of range, is refused in one line that names it."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from magfilter.errors import OptionError

__all__ = [
    "MOST_ALPHA",
    "MOST_SECONDS",
    "MOST_THREADS",
    "check_duration",
    "check_factor",
    "check_number",
    "check_proxy",
    "check_px",
    "check_rate",
    "check_start",
    "check_threads",
]

MOST_ALPHA = 1_000_000  # moves a thousandth of a px by a thousand; far beyond, float32 overflows
MOST_SECONDS = 1e9  # thirty years; far beyond, libav's clocks overflow
PX = (1e-6, 1e6)  # the least and the most, of lengths in the picture and of megapixels
RATES = (1e-9, 1e12)  # frames a second: a frame in thirty years, and more than the fastest camera takes
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


def check_start(value: Any) -> float:
    """Seconds to begin at, as `check_number`."""
    return check_number(
        "start", value, f"0 or more seconds, at most {MOST_SECONDS:g}", lambda x: 0 <= x <= MOST_SECONDS
    )


def check_duration(value: Any) -> float:
    """Seconds to go on for, as `check_number`."""
    expected = f"more than 0 seconds, at most {MOST_SECONDS:g}"
    return check_number("duration", value, expected, lambda x: 0 < x <= MOST_SECONDS)


def check_px(name: str, value: Any, *, none: bool = False) -> float:
    """A length in the picture, as `check_number`; with `none` it may be 0."""
    low, high = PX
    expected = f"0 or more px, at most {high:g}" if none else f"more than 0 px, {low:g} to {high:g}"
    return check_number(name, value, expected, lambda x: low <= x <= high or (none and x == 0))


def check_proxy(value: Any) -> float:
    """The size of what a network looks at, as `check_number`."""
    low, high = PX
    expected = f"0 (full size) or a number of megapixels, {low:g} to {high:g}"
    return check_number("proxy", value, expected, lambda x: low <= x <= high or x == 0)


def check_rate(value: Any) -> float:
    """True frames a second, as `check_number`."""
    low, high = RATES
    expected = f"more than 0 frames a second, {low:g} to {high:g}"
    return check_number("fps", value, expected, lambda x: low <= x <= high)


def check_threads(value: Any) -> int:
    """A number of threads.

    Raises:
        OptionError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) <= MOST_THREADS:
        raise OptionError(f"threads must be 0 (all cores) to {MOST_THREADS}, got {value!r}")
    return int(value)
