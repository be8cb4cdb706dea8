"""x–t slices: one line of the picture over time, the classic way to show magnified motion.

Time runs to the right, the line from top (its first point) to bottom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import InputError, OptionError
from magfilter.media import Frame
from magfilter.media.colour import resolved_matrix
from magfilter.media.orientation import Orientation
from magfilter.media.text import render_text

__all__ = ["Line", "Sampler", "check_line", "enlarged", "sheet", "slice_of"]

Line = tuple[float, float, float, float]
"""(x0, y0, x1, y1) px of the picture as shown; whole numbers are the centres of pixels."""
Picture = NDArray[np.uint8]

BLOCK = 4  # px; the coarsest chroma
INK, PAPER = 30, 255
GAP = 8  # px between the parts of a sheet


def check_line(line: Line, size: tuple[int, int], name: str) -> None:
    """Raise OptionError if the line leaves a picture of (width, height); `name` is whose picture it is."""
    x0, y0, x1, y1 = line
    width, height = size
    if not (0 <= min(x0, x1) <= max(x0, x1) <= width - 1 and 0 <= min(y0, y1) <= max(y0, y1) <= height - 1):
        raise OptionError(
            f"line {x0:g},{y0:g},{x1:g},{y1:g} leaves the picture of {width}x{height} in {name}; "
            f"x goes from 0 to {width - 1}, y to {height - 1}"
        )


class Sampler:
    """The pixels along a line, one for each pixel of its length, bilinear.

    Args:
        line: of the picture as shown.
        size: (width, height) of the picture as stored.
        orientation: how it is shown.
        name: what messages call the picture.

    Raises:
        OptionError: the line leaves the picture.
    """

    def __init__(
        self,
        line: Line,
        size: tuple[int, int],
        orientation: Orientation = Orientation(),  # noqa: B008 (it is frozen)
        name: str = "the frames",
    ) -> None:
        self.size = size
        shown = orientation.size(size)
        check_line(line, shown, name)
        x0, y0, x1, y1 = line
        count = max(2, round(math.hypot(x1 - x0, y1 - y0)) + 1)
        x, y = orientation.stored_points(np.linspace(x0, x1, count), np.linspace(y0, y1, count), shown)
        # Only what lies around the line is converted to RGB; a block more, for chroma in between.
        self._left, self._right = _around(x, size[0])
        self._top, self._bottom = _around(y, size[1])
        self._x, self._y = x - self._left, y - self._top

    def __call__(self, frame: Frame) -> Picture:
        """The line of a frame, (length, 3) RGB; deeper than 8 bit is rounded.

        Raises:
            ValueError: the frame has another size.
        """
        if (frame.width, frame.height) != self.size:
            raise ValueError(f"expected a frame of {self.size[0]}x{self.size[1]}, got {frame.width}x{frame.height}")
        rgb = self._crop(frame).to_rgb()
        high, wide = rgb.shape[:2]
        x, y = np.minimum(np.floor(self._x), wide - 1).astype(int), np.minimum(np.floor(self._y), high - 1).astype(int)
        u, v = (self._x - x)[:, None], (self._y - y)[:, None]
        right, below = np.minimum(x + 1, wide - 1), np.minimum(y + 1, high - 1)
        upper = rgb[y, x] * (1 - u) + rgb[y, right] * u
        lower = rgb[below, x] * (1 - u) + rgb[below, right] * u
        mixed: NDArray[np.float64] = upper * (1 - v) + lower * v
        return np.rint(mixed / (257 if rgb.dtype == np.uint16 else 1)).astype(np.uint8)

    def _crop(self, frame: Frame) -> Frame:
        layout = frame.layout
        planes = []
        for i, plane in enumerate(frame.planes):
            chroma = layout.kind == "yuv" and i in (1, 2)
            down, across = (layout.log2_chroma_h, layout.log2_chroma_w) if chroma else (0, 0)
            rows = slice(self._top >> down, -(-self._bottom >> down))
            planes.append(np.ascontiguousarray(plane[rows, self._left >> across : -(-self._right >> across)]))
        # Where the matrix is unspecified it goes by the size, which is another now.
        matrix = resolved_matrix(frame.colour, frame.height)
        return Frame(tuple(planes), layout, replace(frame.colour, matrix=matrix))


def _around(points: NDArray[np.float64], length: int) -> tuple[int, int]:
    """The whole blocks (begin, end) of 0..length that hold the points and their neighbours."""
    begin = (math.floor(points.min()) // BLOCK - 1) * BLOCK
    end = (math.floor(points.max()) // BLOCK + 2) * BLOCK
    return max(0, begin), min(end, length)


def slice_of(frames: Iterable[NDArray[Any]], line: Line, name: str = "the frames") -> Picture:
    """The pixels along `line` of each of `frames` (H, W, 3) RGB: (length, time, 3) uint8.

    Only the line of each frame is kept.

    Raises:
        OptionError: the line leaves the picture. InputError: there is no frame. `name` is whose.
    """
    columns: list[Picture] = []
    sampler: Sampler | None = None
    for array in frames:
        frame = Frame.from_rgb(array)
        if sampler is None or sampler.size != (frame.width, frame.height):
            sampler = Sampler(line, (frame.width, frame.height), name=name)
        columns.append(sampler(frame))
    if not columns:
        raise InputError(f"no frame in {name}")
    return np.stack(columns, 1)


def enlarged(picture: Picture, time: int, along: int) -> Picture:
    """Every pixel of a slice `time` times in time and `along` times along the line: nothing that was not there."""
    return np.repeat(np.repeat(picture, along, 0), time, 1)


def sheet(slices: Mapping[str, Picture]) -> Picture:
    """Slices {title: (length, time, 3)} under each other on white, the same moment in the same column."""
    parts: list[Picture] = []
    for title, picture in slices.items():
        mask = render_text(title)
        letters = np.where(mask, INK, PAPER).astype(np.uint8)
        parts += [np.repeat(letters[..., None], 3, 2), picture, np.full((GAP, 1, 3), PAPER, np.uint8)]
    width = max(part.shape[1] for part in parts[:-1])
    wide = [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=PAPER) for part in parts[:-1]]
    return np.pad(np.concatenate(wide), ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=PAPER)
