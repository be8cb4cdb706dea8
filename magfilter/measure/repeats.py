"""Frames that repeat the one before: of 30 frames a second in a container of 60, which shows each of them twice.

Left in, they make motion jump and stand still, which reads as a vibration that nothing does.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from magfilter.media import Frame

__all__ = ["distinct", "fingerprint", "thinned"]

OFTEN = 0.1  # share of repeats from which on they are no accident
NEARLY_ALL = 0.9  # share from which on a clip stands still, or an encoder has frozen it
FEW = 8  # repeats; fewer may be regular by chance
STRETCH = 16  # frames in turn that take as long as any others,
REGULAR = 0.9  # in this share of the clip: there may be a slip
ANEW = 0.9  # share of the frames left that must differ from all others, as those of a camera do


def fingerprint(frame: Frame) -> int:
    """A number that two frames share if all of their samples are equal, and else next to never."""
    number = 0
    for plane in frame.planes:
        number = zlib.crc32(plane.data, number)
    return number


def distinct(prints: Sequence[int]) -> NDArray[np.bool_]:
    """Which frames (n,) are not repeats to be left out, by their fingerprints in order.

    None are left out unless repeats come regularly: a clip that stands still for a while repeats itself too, and one
    whose encoder saves bits does at random. Nor where pictures come back later, as those of a drawn clip can, which
    may stand still at a turning point.
    """
    seen = np.asarray(prints, np.int64)
    everything = np.ones(len(seen), bool)
    kept = everything.copy()
    kept[1:] = seen[1:] != seen[:-1]
    begins = np.flatnonzero(kept)
    repeats = len(seen) - len(begins)
    if repeats < FEW or not OFTEN * len(seen) <= repeats < NEARLY_ALL * len(seen):
        return everything
    stretch = min(STRETCH, len(begins) // 2)
    lasted = begins[stretch:] - begins[:-stretch]
    regular = np.abs(lasted - stretch * len(seen) / len(begins)) < 1.1
    anew = len(np.unique(seen[kept])) / len(begins)
    return kept if regular.mean() >= REGULAR and anew > ANEW else everything


def thinned(values: array[float], kept: NDArray[np.bool_]) -> array[float]:
    """Of values that hold as many numbers for every frame, those of the frames (n,) that are kept."""
    return array(values.typecode, np.array(values).reshape(len(kept), -1)[kept].ravel().tolist())
