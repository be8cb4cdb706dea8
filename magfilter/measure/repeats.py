"""Frames that repeat the one before: of 30 frames a second in a container of 60, which shows each of them twice.

Left in, they make motion jump and stand still, which reads as a vibration that nothing does.
"""

from __future__ import annotations

import zlib
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.media import Frame

__all__ = ["Repeats", "distinct", "fingerprint", "thinned", "unpaired"]

OFTEN = 0.1  # share of repeats from which on they are no accident
NEARLY_ALL = 0.9  # share from which on a clip stands still, or an encoder has frozen it
FEW = 8  # repeats; fewer may be regular by chance
STRETCH = 16  # frames in turn that take as long as any others,
REGULAR = 0.9  # in this share of the clip: there may be a slip
ANEW = 0.9  # share of the frames left that must differ from all others, as those of a camera do

# Of clips that a lossy encoder was given with every frame twice, and of some 200 at their true rate by other encoders,
# none of these comes near both: where changes are small in turn, it is by no less than 0.37 in 0.76 of the pairs.
SMALL = 0.2  # of the other frames' change, that of near repeats at most
IN_PAIRS = 0.85  # share of pairs in which the repeat changes less
PAIRS = 24  # at least
BACK = 4  # frames after which a vibration of a quarter of the rate, which can stand still in pairs, is back,
GONE = 1.0  # while slower ones are further off than that, of the change
SAMPLES = 40_000  # pixels that are compared, about


class Repeats:
    """Tells frames that repeat the one before, of all that it is shown in order. Memory holds some numbers for each,
    and some pixels of the last four."""

    def __init__(self) -> None:
        self._prints = array("q")
        self._changes = array("f")
        self._last: deque[NDArray[np.float32]] = deque(maxlen=BACK)

    def add(self, frame: Frame) -> None:
        """The next frame."""
        self._prints.append(fingerprint(frame))
        apart = max(1, int(np.sqrt(frame.planes[0].size / SAMPLES)))
        some = frame.planes[0][::apart, ::apart].astype(np.float32)
        for back in (1, BACK):
            known = len(self._last) >= back
            self._changes.append(float(np.abs(some - self._last[-back]).mean()) if known else np.nan)
        self._last.append(some)

    def distinct(self) -> NDArray[np.bool_]:
        """(n,) which frames do not only repeat the one before, to the bit or but for what an encoder lost."""
        kept = distinct(self._prints)
        return unpaired(np.array(self._changes).reshape(-1, 2)) if kept.all() else kept


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


def unpaired(changes: NDArray[Any]) -> NDArray[np.bool_]:
    """Which frames (n,) are not near repeats, by how much they differ (n, 2) from the one before and the fourth before.

    Some are left out only if every second one is, and beyond doubt, from the first to the last: an encoder can freeze
    a few frames in turn, and of slow motion little changes.
    """
    everything = np.ones(len(changes), bool)
    if len(changes) < 2 * PAIRS + 2:
        return everything
    back = float(np.median(changes[BACK:, 1]))
    for begin in (1, 2):
        few, many = changes[begin::2, 0], changes[3 - begin :: 2, 0]
        pairs = min(len(few), len(many))
        typical = float(np.median(many))
        less = np.mean(few[:pairs] < many[:pairs])
        if np.median(few) < SMALL * typical and less >= IN_PAIRS and back > GONE * typical:
            everything[begin::2] = False
            return everything
    return everything


def thinned(values: array[float], kept: NDArray[np.bool_]) -> array[float]:
    """Of values that hold as many numbers for every frame, those of the frames (n,) that are kept."""
    return array(values.typecode, np.array(values).reshape(len(kept), -1)[kept].ravel().tolist())
