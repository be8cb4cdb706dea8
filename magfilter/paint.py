"""Drawing into native planes: an ink, and how much of each pixel it covers. No conversion of what is not covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.media.colour import from_rgb_float, resolved_matrix
from magfilter.media.frame import Colour, Frame, PixelLayout, Plane

__all__ = ["BLACK", "WHITE", "YELLOW", "Cover", "Rgb", "ink", "paint"]

Cover = NDArray[np.float32]
Rgb = tuple[float, float, float]

BLACK, WHITE, YELLOW = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.85, 0.1)
# The code values of a sheet of paper (ITU-R BT.2408): full scale in PQ would be a 10 000 nit lamp.
_PAPER = {16: 0.58, 18: 0.75}
_SIDE = 4  # px; a whole block of the coarsest chroma


@cache
def ink(rgb: Rgb, layout: PixelLayout, colour: Colour, height: int) -> tuple[int, ...]:
    """The samples, one for each plane, that show `rgb` (0..1, 1 as bright as paper); opaque.

    Args:
        height: of the picture, by which an unspecified matrix is told.
    """
    matrix = resolved_matrix(colour, height)
    planes = tuple(np.zeros(layout.plane_shape(i, _SIDE, _SIDE), layout.dtype) for i in range(layout.plane_count))
    like = Frame(planes, layout, replace(colour, matrix=matrix))
    light = np.array(rgb, np.float32) * np.float32(_PAPER.get(colour.transfer, 1.0))
    filled = from_rgb_float(np.broadcast_to(light[:, None, None], (3, _SIDE, _SIDE)), like).planes
    samples = [int(plane[0, 0]) for plane in filled]
    if layout.alpha:
        samples[-1] = layout.peak
    return tuple(samples)


def paint(
    planes: Sequence[Plane], layout: PixelLayout, samples: Sequence[int], cover: Cover, corner: tuple[int, int]
) -> None:
    """Mix an ink into a frame's planes, in place; where `cover` is 0 they keep their bits.

    Args:
        planes: writable, of one frame of `layout`.
        samples: of the ink, from `ink`.
        cover: (h, w) 0..1, stored pixels, what share of each the ink covers; within the picture.
        corner: (x, y) of its upper left pixel.
    """
    x, y = corner
    reduced: dict[tuple[int, int], tuple[int, int, Cover]] = {}
    full = planes[0].shape
    for plane, sample in zip(planes, samples, strict=True):
        step = (1, 1) if plane.shape == full else (1 << layout.log2_chroma_h, 1 << layout.log2_chroma_w)
        if step not in reduced:
            reduced[step] = (y // step[0], x // step[1], _blocks(cover, (y % step[0], x % step[1]), step))
        top, left, share = reduced[step]
        part: Any = plane[top : top + share.shape[0], left : left + share.shape[1]]
        share = share[: part.shape[0], : part.shape[1]]
        part[:] = np.rint(part + (np.float32(sample) - part) * share)


def _blocks(cover: Cover, lead: tuple[int, int], step: tuple[int, int]) -> Cover:
    """Means of the cover over the blocks of a coarser grid, which begin `lead` px before it."""
    if step == (1, 1):
        return cover
    rows, columns = (lead[i] + cover.shape[i] for i in (0, 1))
    padded = np.pad(cover, ((lead[0], -rows % step[0]), (lead[1], -columns % step[1])))
    height, width = padded.shape
    out: Cover = padded.reshape(height // step[0], step[0], width // step[1], step[1]).mean((1, 3), dtype=np.float32)
    return out
