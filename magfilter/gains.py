"""The factor of every point: the alpha map of each reference, brought to the flow's grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import OptionError
from magfilter.masks import as_factors, reduce_factors

__all__ = ["AlphaMap", "Gains"]

Array = NDArray[np.float32]
AlphaMap = NDArray[Any] | Callable[[int], NDArray[Any]]


class Gains:
    """What `Magnifier` makes of its `alpha_map`.

    Args:
        given: a factor of 0 or more for every pixel (H, W), or a function of a reference's number that returns
            them; None for one factor everywhere.

    Attributes:
        now: factors (h, w) on the flow's grid, in force for the reference at hand; None for one factor everywhere.

    Raises:
        OptionError: if it is no alpha map.
    """

    def __init__(self, given: AlphaMap | None) -> None:
        self.now: Array | None = None
        self._given: AlphaMap | None = given
        self._from: NDArray[Any] | None = None  # the map that `now` was made of, in px of the picture
        self.ones = False
        """Whether it is known beforehand that nothing is magnified."""
        if given is not None and not callable(given):
            factors = as_factors(_array(given), "alpha_map")
            factors.flags.writeable = False
            self._given, self.ones = factors, bool((factors == 1).all())

    @property
    def idle(self) -> bool:
        """Whether nothing is magnified by the map in force."""
        now = self.now
        return now is not None and bool((now == 1).all())

    def check(self, height: int, width: int) -> None:
        """Compare what is known of the map with a frame's size.

        Raises:
            OptionError: if it is another.
        """
        if isinstance(self._given, np.ndarray):
            _fits(self._given, height, width)

    def take(self, number: int, height: int, width: int, stride: int) -> None:
        """Put the map of reference `number` in force, `stride` px for a point of the grid.

        Raises:
            OptionError: if it is no alpha map, or of another size than the frame.
        """
        if self._given is None:
            return
        given = _array(self._given(number)) if callable(self._given) else self._given
        # An array that may have been written to since may be another map.
        if given is not self._from or given.flags.writeable:
            factors = as_factors(given, "alpha_map")
            _fits(factors, height, width)
            self._from, self.now = given, reduce_factors(factors, stride)

    def drop(self) -> None:
        """Forget the map in force."""
        self._from = self.now = None


def _array(given: Any) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError:
        raise OptionError("alpha_map has rows of different lengths; an alpha map is (H, W) real numbers") from None


def _fits(factors: Array, height: int, width: int) -> None:
    if factors.shape != (height, width):
        raise OptionError(
            f"alpha_map is {factors.shape[1]}x{factors.shape[0]} and the frame {width}x{height}; "
            "give one factor for every pixel"
        )
