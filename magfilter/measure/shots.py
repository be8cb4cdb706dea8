"""Which frames belong to the shot that is measured: a cut ends it, a flash or a stray frame only interrupts it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magfilter.cuts import CutDetector, thumbnail
from magfilter.media.colour import luma
from magfilter.media.frame import Frame

__all__ = ["OneShot", "told"]

Array = NDArray[np.float32]

LONGEST = 8  # frames of an interruption
ALIKE = CutDetector.ALIKE  # correlation, from which on the shot goes on after one
NOISE = 2e-3  # mean |difference| of thumbnails, full scale 1, up to which they may be noise of the same thing


class OneShot:
    """Follows a shot from its first frame on.

    Attributes:
        since: number and time in s of the frame from which on another shot is there, or may be; None while it is not.
        over: it is another shot for certain.
        skipped: how many frames only interrupted this one.
    """

    def __init__(self) -> None:
        self.since: tuple[int, float | None] | None = None
        self.over = False
        self.skipped = 0
        self._cuts = CutDetector(sudden=True)
        self._last: Array | None = None  # thumbnail of the shot's latest frame
        self._away = 0

    def follow(self, number: int, frame: Frame) -> bool:
        """Whether the next frame belongs to the shot."""
        small = thumbnail(luma(frame))
        if self.since is None:
            cut = self._cuts.follow(small, frame.layout.depth)
            if not cut or self._last is None or _little(small, self._last):
                self._last = small
                return True
            self.since, self._away = (number, frame.time), 1
            return False
        if self._last is not None and _same(small, self._last):
            self.skipped += self._away
            self.since, self._last = None, small
            self._cuts = CutDetector(sudden=True)
            self._cuts.follow(small, frame.layout.depth)
            return True
        self._away += 1
        self.over = self._away > LONGEST
        return False


def _little(one: Array, two: Array) -> bool:
    return one.shape == two.shape and float(np.abs(one - two).mean()) < NOISE


def _same(one: Array, two: Array) -> bool:
    """Whether two thumbnails show the same."""
    if one.shape != two.shape:
        return False
    a, b = one - one.mean(), two - two.mean()
    energy = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return energy > 0 and float((a * b).sum()) >= ALIKE * energy


def told(
    name: str, start: float, begun: float | None, cut: tuple[int, float | None] | None, skipped: int, frames: int
) -> list[str]:
    """What the user is to know of what was left out.

    Args:
        name: the input's. start: s, where reading it began.
        begun: s from there to the shot's first frame; None if that was the first of all.
        cut: number, and time in s from there, of the first frame beyond the shot; None if it lasts to the end.
        skipped: frames that interrupted it. frames: how many were measured.
    """
    lines, edges = [], []
    if skipped:
        lines.append(f"{name}: {skipped} frames that show something else, or in another light, were left out")
    if begun is not None:
        edges.append(f"before the shot cut at {start + begun:.7g} s")
    if cut:
        number, at = cut
        edges.append("from the shot cut at " + (f"frame {number}" if at is None else f"{start + at:.7g} s") + " on")
    if edges:
        lines.append(
            f"{name}: what comes {' and '.join(edges)} is another shot and was left out; the {frames} "
            "frames of the reference's shot were measured; choose another shot with -ss and -t"
        )
    return lines
