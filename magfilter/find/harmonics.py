"""Which of the vibrations found are multiples of another, and so may be nobody's own."""

from __future__ import annotations

from collections.abc import Sequence

from magfilter.find.vibrations import Vibration

__all__ = ["multiple"]

HIGHEST = 9  # times the other's frequency
SMALL = 0.2  # of its amplitude, at most; larger ones are taken for the thing's own


def multiple(one: Vibration, others: Sequence[Vibration], resolution: float) -> tuple[int, Vibration] | None:
    """The vibration of which another is a small multiple, and how many times its frequency it is.

    Where something swings far, its measured motion is not quite in proportion to the true one: at an outline one or
    the other thing is measured, and the network measures a little more of small motion than of large. That makes
    overtones which the thing does not have. `magfilter.measure_motion`, which registers the thing itself, tells.

    Args:
        resolution: Hz that can be told apart.

    Returns:
        (2 to 9, the strongest such vibration); None if there is none.
    """
    for other in sorted(others, key=lambda each: -each.amplitude):
        times = round(one.frequency / other.frequency)
        near = abs(one.frequency - times * other.frequency) < resolution
        if 2 <= times <= HIGHEST and near and one.amplitude <= SMALL * other.amplitude:
            return times, other
    return None
