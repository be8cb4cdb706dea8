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
REGULAR = 0.8  # share of the frames that must be shown about as often as the others
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
    that an encoder has frozen does at random. Nor where pictures come back later, as those of a drawn clip can, which
    may stand still at a turning point.
    """
    seen = np.asarray(prints, np.int64)
    everything = np.ones(len(seen), bool)
    kept = everything.copy()
    kept[1:] = seen[1:] != seen[:-1]
    begins = np.flatnonzero(kept)
    if not OFTEN <= 1 - len(begins) / len(seen) < NEARLY_ALL:
        return everything
    shown = np.diff([*begins, len(seen)])  # times that each is
    usual = len(seen) / len(begins)
    regular = (shown >= np.floor(usual)) & (shown <= np.ceil(usual))
    anew = len(np.unique(seen[kept])) / len(begins)
    return kept if shown[regular].sum() >= REGULAR * len(seen) and anew > ANEW else everything


def thinned(values: array[float], kept: NDArray[np.bool_]) -> array[float]:
    """Of values that hold as many numbers for every frame, those of the frames (n,) that are kept."""
    return array(values.typecode, np.array(values).reshape(len(kept), -1)[kept].ravel().tolist())
