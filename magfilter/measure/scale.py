"""The scale at what is measured: a length for a pixel."""

from __future__ import annotations

from typing import NamedTuple

from magfilter.checks import check_number
from magfilter.errors import OptionError

__all__ = ["PX", "Scale", "scale_of"]

SCALES = (1e-12, 1e12)  # of either unit: from atoms to the sky
METRES = {"mm": 1e-3, "um": 1e-6}


class Scale(NamedTuple):
    """A unit, and how many of it a pixel is.

    Attributes:
        unit: "px", "mm" or "um", the micrometre, in ASCII because tables and terminals are read by all sorts.
        per_px: of that a pixel.
    """

    unit: str
    per_px: float

    @property
    def metres(self) -> float:
        """Metres a pixel. Of a known scale only."""
        return self.per_px * METRES[self.unit]

    def __str__(self) -> str:
        return f"{self.per_px:g} {self.unit} a pixel"


PX = Scale("px", 1.0)


def scale_of(mm_per_px: float | None, um_per_px: float | None) -> Scale | None:
    """The scale that one of two options gives; None if neither does.

    Raises:
        OptionError: both do, or it is not more than 0.
    """
    if mm_per_px is not None and um_per_px is not None:
        raise OptionError("mm_per_px and um_per_px are both a scale; give one of --mm-per-px and --um-per-px")
    for unit, value in (("mm", mm_per_px), ("um", um_per_px)):
        if value is not None:
            expected = f"more than 0 {unit} a pixel, {SCALES[0]:g} to {SCALES[1]:g}"
            return Scale(unit, check_number(f"{unit}_per_px", value, expected, lambda x: SCALES[0] <= x <= SCALES[1]))
    return None
