"""Input and output in one picture, in native planes: beside each other, one above the other, or half of each.

Planes are put together, never converted, so every sample stays what it was. "Left" and "above" are as a player shows
the picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from magfilter.media.colour import resolved_matrix
from magfilter.media.frame import Colour, Frame, PixelLayout, Plane
from magfilter.media.orientation import Orientation
from magfilter.paint import BLACK, WHITE, ink

__all__ = ["COMPARISONS", "Composer"]

COMPARISONS = ("side", "stack", "split")
LINE = 540  # px of height for which each half of the line of "split", dark and light, is 1 px wide
UNSPECIFIED = 2


class Composer:
    """Puts pairs of frames of one size and layout together.

    Args:
        how: "side", "stack" or "split".
        orientation: how frames are shown.
        size: (width, height) of each frame as stored.
        layout, colour: of the frames.

    Attributes:
        size: (width, height) of the whole as stored. Along the side that is joined, pictures are first
            extended to whole blocks of chroma by repeating their border: 65 px wide ones in 4:2:0 to 66.
        colour: tags of the whole.
    """

    def __init__(
        self, how: str, orientation: Orientation, size: tuple[int, int], layout: PixelLayout, colour: Colour
    ) -> None:
        self.how, self.orientation, self._layout, self._single = how, orientation, layout, size
        self.axis, self.reversed = orientation.axis(how != "stack")  # that is joined or cut
        self._block = 1 << (layout.log2_chroma_w if self.axis else layout.log2_chroma_h)
        length = size[0] if self.axis else size[1]
        self._pad = 0 if how == "split" else -length % self._block
        joined = length if how == "split" else 2 * (length + self._pad)
        self.size = (joined, size[1]) if self.axis else (size[0], joined)
        self.colour = self._tags(colour)

    def _tags(self, colour: Colour) -> Colour:
        """Where the input does not say its matrix, players go by the size, which must not change their guess."""
        guessed = self._layout.kind == "yuv" and colour.matrix == UNSPECIFIED
        if not guessed or _large(self._single) or not _large(self.size):
            return colour
        return replace(colour, matrix=resolved_matrix(colour, self._single[1]))

    def __call__(self, before: Frame, after: Frame) -> Frame:
        """The two in one frame, which has the time of `after`; `before` is shown left or above."""
        join = self._split if self.how == "split" else self._join
        planes = []
        for i, pair in enumerate(zip(before.planes, after.planes, strict=True)):
            first, second = reversed(pair) if self.reversed else pair
            chroma = self._layout.kind == "yuv" and i in (1, 2)
            planes.append(np.ascontiguousarray(join(first, second, i, chroma)))
        return after.replace(planes=tuple(planes), colour=self._tags(after.colour))

    def _join(self, first: Plane, second: Plane, number: int, chroma: bool) -> Plane:
        if self._pad and not chroma:
            wider: Any = ((0, 0), (0, self._pad)) if self.axis else ((0, self._pad), (0, 0))
            first, second = np.pad(first, wider, mode="edge"), np.pad(second, wider, mode="edge")
        return np.concatenate([first, second], self.axis)

    def _split(self, first: Plane, second: Plane, number: int, chroma: bool) -> Plane:
        out: Plane = second.copy()
        first, joined = (first, out) if self.axis else (first.T, out.T)
        step = self._block if chroma else 1
        width, height = self._single
        length = width if self.axis else height
        cut = max(self._block, round(length / 2 / self._block) * self._block)
        half = -(-max(1, round(min(width, height) / LINE)) // self._block) * self._block
        joined[:, : cut // step] = first[:, : cut // step]
        dark, light = (ink(rgb, self._layout, self.colour, height)[number] for rgb in (BLACK, WHITE))
        joined[:, max(0, cut - half) // step : cut // step] = dark
        joined[:, cut // step : (cut + half) // step] = light
        return out


def _large(size: tuple[int, int]) -> bool:
    """Whether a player takes a picture of (width, height) for HDTV, BT.709, if nothing says so."""
    return size[0] >= 1280 or size[1] > 576
