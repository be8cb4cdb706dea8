"""The numbers that are kept while a video is measured, and what they say about trust."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.measure.register import Patch
from magfilter.measure.repeats import Repeats
from magfilter.measure.survey import Pattern
from magfilter.media import Frame, VideoReader

__all__ = ["Tracks", "compressed", "frozen_notes", "grown_by", "keeps_most", "notes_on"]

Floats = NDArray[np.float64]

FROZEN = 0.3  # share of unchanged pixels from which on an encoder is said to have frozen them


class Tracks:
    """The numbers that are kept: a few for every frame and region."""

    def __init__(self, patches: list[Patch], parts: list[NDArray[np.bool_]]) -> None:
        self.patches, self.parts = patches, parts
        self.last = [np.zeros(2) for _ in patches]
        self.times = array("d")
        self._vectors = [array("d") for _ in patches]
        self._residues = [array("f") for _ in patches]
        self._lost = [array("b") for _ in patches]
        self._frozen = [array("f") for _ in patches]
        self._repeats = Repeats()

    def __len__(self) -> int:
        return len(self.times)

    def add(self, k: int, vector: Floats, noise: float, lost: bool, frozen: float) -> None:
        """What was found of region number k in a frame; `frozen` is NaN in the first."""
        self._vectors[k].extend(vector)
        self._residues[k].append(noise)
        self._lost[k].append(int(lost))
        self._frozen[k].append(frozen)

    def end(self, frame: Frame) -> None:
        """A frame was looked at."""
        self.times.append(np.nan if frame.time is None else frame.time)
        self._repeats.add(frame)

    def distinct(self) -> NDArray[np.bool_]:
        """(n,) which frames do not only repeat the one before."""
        return self._repeats.distinct()

    def of(self, k: int, kept: NDArray[np.bool_]) -> tuple[Floats, Floats, int, float]:
        """Vectors (n, 2) px, residues (n,), frames lost, mean share of pixels that did not change: of those kept."""
        vectors = np.array(self._vectors[k]).reshape(-1, 2)[kept]
        frozen = np.array(self._frozen[k])[kept][1:]
        lost = int(np.array(self._lost[k])[kept].sum())
        return (
            vectors,
            np.array(self._residues[k], np.float64)[kept],
            lost,
            float(frozen.mean()) if len(frozen) else 0.0,
        )


def notes_on(patch: Patch, pattern: Pattern, lost: int, total: int, frozen: float) -> list[str]:
    """What a user should know about a region: `lost` of `total` frames, a share of `frozen` pixels in a lossy clip."""
    notes = []
    if not len(patch.axes):
        notes.append("has no texture to measure by; its displacement is left empty (NaN)")
    elif len(patch.axes) == 1:
        notes.append("shows only edges of one direction; motion along them cannot be told and is left empty (NaN)")
    if pattern.against:
        notes.append("has parts that move against each other; only those that move together the most are measured")
    if pattern.apart:
        notes.append(
            f"holds things that move differently, by {pattern.apart:.2g} px root mean square, and what is measured is "
            "neither's motion: draw it tighter around one of them, or, where the ground moves with the camera, "
            "measure with --detrend"
        )
    if lost:
        notes.append(f"was not found again in {lost} of {total} frames, which are left empty (NaN)")
    return [*notes, *frozen_notes(frozen)]


def frozen_notes(frozen: float) -> list[str]:
    """What a user should know of a lossy clip of whose pixels a share do not change from frame to frame."""
    if frozen <= FROZEN:
        return []
    return [
        f"{frozen:.0%} of its pixels do not change from frame to frame: the encoder has frozen them, and "
        "motion below some 0.3 px is lost or too small; use a recording with less compression"
    ]


def compressed(reader: VideoReader) -> bool:
    """Whether frames were compressed with loss."""
    return bool(reader.stream.codec_context.codec.lossy) and not reader.info.codec.startswith("rawvideo")


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
