"""The numbers that are kept while a video is measured, and what they say about time and trust."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import InputError
from magfilter.measure.register import Patch
from magfilter.measure.result import Timing
from magfilter.measure.survey import Pattern
from magfilter.media import MediaInfo

__all__ = ["Tracks", "find_timing", "grown_by", "keeps_most", "notes_on"]

Floats = NDArray[np.float64]

UNEVEN = 0.1  # of a frame's time, by which times may be off an even beat
FROZEN = 0.3  # share of unchanged pixels from which on an encoder is said to have frozen them


class Tracks:
    """The numbers that are kept: a few for every frame and region."""

    def __init__(self, patches: list[Patch], parts: list[NDArray[np.bool_]]) -> None:
        self.patches, self.parts = patches, parts
        self.last = [np.zeros(2) for _ in patches]
        self.times = array("d")
        self._vectors = [array("d") for _ in patches]
        self._residues = [array("f") for _ in patches]
        self._lost = [0 for _ in patches]
        self._frozen = [(0.0, 0) for _ in patches]

    def __len__(self) -> int:
        return len(self.times)

    def add(self, k: int, vector: Floats, noise: float, lost: bool, frozen: float) -> None:
        self._vectors[k].extend(vector)
        self._residues[k].append(noise)
        self._lost[k] += lost
        if frozen >= 0:
            total, number = self._frozen[k]
            self._frozen[k] = (total + frozen, number + 1)

    def of(self, k: int) -> tuple[Floats, Floats, int, float]:
        """Vectors (n, 2) px, residues (n,), frames lost, mean share of pixels that did not change."""
        total, number = self._frozen[k]
        vectors = np.array(self._vectors[k]).reshape(-1, 2)
        return vectors, np.array(self._residues[k], np.float64), self._lost[k], total / max(number, 1)


def find_timing(info: MediaInfo, times: Floats, fps: float | None, warnings: list[str]) -> Timing:
    """When frames were taken, from their times (n,) s, NaN where unknown; `fps` wins over what the input says.

    Times that stray from an even beat by no more than a tenth of it, or by the grain that the container rounds to,
    are even. `warnings` is added to where they are not.

    Raises:
        InputError: times do not go on.
    """
    numbers = np.arange(len(times))
    if fps is not None:
        return Timing(numbers / fps, fps, True)
    rate = float(info.rate or 0)
    if not np.isfinite(times).all() or len(times) < 2:
        return Timing(numbers / (rate or 1.0), rate or 1.0, True)
    times = times - times[0]
    slope = float(np.polyfit(numbers, times, 1)[0])
    if slope <= 0:
        raise InputError(f"{info.source} has frames whose times do not go on; give the true rate with --fps RATE")
    off = np.abs(times - slope * numbers - np.mean(times - slope * numbers)).max()
    grain = 1.01 * float(info.time_base)  # Matroska counts milliseconds
    if off <= max(UNEVEN * slope, grain):
        mean = rate if rate and abs(slope * rate - 1) < max(1e-3, grain / times[-1]) else 1 / slope
        return Timing(numbers / mean, mean, True)
    mean = (len(times) - 1) / times[-1]
    warnings.append(
        f"{info.source} has a variable frame rate, {mean:.4g} on average; the spectrum is made of the true times "
        f"and ends at {mean / 2:.4g} Hz"
    )
    return Timing(times, mean, False)


def notes_on(patch: Patch, pattern: Pattern, lost: int, total: int, frozen: float) -> list[str]:
    """What a user should know about a region: `lost` of `total` frames, a share of `frozen` pixels in a lossy clip."""
    notes = []
    if not len(patch.axes):
        notes.append("has no texture to measure by; its displacement is left empty (NaN)")
    elif len(patch.axes) == 1:
        notes.append("shows only edges of one direction; motion along them cannot be told and is left empty (NaN)")
    if pattern.against:
        notes.append("has parts that move against each other; only those that move together the most are measured")
    if lost:
        notes.append(f"was not found again in {lost} of {total} frames, which are left empty (NaN)")
    if frozen > FROZEN:
        notes.append(
            f"{frozen:.0%} of its pixels do not change from frame to frame: the encoder has frozen them, and "
            "motion below some 0.3 px is lost or too small; use a recording with less compression"
        )
    return notes


def grown_by(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """A mask grown by `reach` px along both axes."""
    for axis in (0, 1):
        grown = mask.copy()
        for by in range(1, reach + 1):
            ahead, behind = (slice(by, None), slice(None, -by))
            if axis == 0:
                grown[ahead] |= mask[behind]
                grown[behind] |= mask[ahead]
            else:
                grown[:, ahead] |= mask[:, behind]
                grown[:, behind] |= mask[:, ahead]
        mask = grown
    return mask


def keeps_most(part: NDArray[Any], whole: NDArray[Any], strength: NDArray[Any]) -> bool:
    """Whether a part of the weights (h, w) keeps half of the texture, whose strength is (h, w)."""
    return float((part * strength).sum()) >= 0.5 * float((whole * strength).sum())
