"""The measured motion, drawn over a picture as arrows on a grid.

Each arrow begins at a point of the reference and points where that has moved. How long an arrow is drawn for how many
px of motion stands in a key. The scale only ever grows while the reference stays, in steps of 1, 2, 5, so that
arrows of one length mean one motion and nothing pulses; arrows of next to no motion fade away instead of flickering.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from magfilter.label import Corner, draw_label, text_scale
from magfilter.media import Frame
from magfilter.media.frame import Plane
from magfilter.media.orientation import Orientation
from magfilter.paint import BLACK, YELLOW, Cover, Rgb, ink, paint

__all__ = ["FlowOverlay", "arrow_grid", "scale_for"]

Field = NDArray[np.float32]

ACROSS = 28  # arrows along the longer side of the picture
LONGEST = 1.3  # cells; the arrow of full scale
FLOOR = 0.01  # px per px between points of the flow; less than this is noise, see RESULTS.md on still clips
FAINT = 0.07  # of the scale; less than this is too short an arrow to tell which way it points
SMALLEST = 0.05  # px; the scale begun with
HEAD, HEAD_ANGLE = 0.38, math.radians(26)  # barbs: share of the arrow's length, angle to the shaft
RIM = 0.75  # how dark an arrow's rim is


def scale_for(motion: float) -> float:
    """The least of …, 0.05, 0.1, 0.2, 0.5, 1, … px that is not below `motion` px (0.05 or more)."""
    if motion <= SMALLEST:
        return SMALLEST
    unit = 10.0 ** math.floor(math.log10(motion) + 1e-9)
    return next(float(f"{step * unit:g}") for step in (1, 2, 5, 10) if step * unit >= motion * (1 - 1e-9))


def arrow_grid(flow: Field, stride: int, height: int, width: int) -> tuple[Field, Field]:
    """Where arrows begin and what motion they show.

    The motion is a mean over the arrow's cell in which each point counts as much as it moves: a string
    that fills a tenth of the cell is seen at its own speed, and noise, which points anywhere, cancels.

    Args:
        flow: (2, h, w) px of the picture, a point every `stride` px.
        height, width: of the picture.

    Returns:
        (x, y) px of the picture and (dx, dy) px of motion, both (2, rows, columns) float32.
    """
    size = max(1, round(max(height, width) / ACROSS / stride))  # points a cell
    rows, columns = max(1, flow.shape[1] // size), max(1, flow.shape[2] // size)
    high, wide = min(size, flow.shape[1]), min(size, flow.shape[2])
    top, left = (flow.shape[1] - rows * high) // 2, (flow.shape[2] - columns * wide) // 2
    cells = flow[:, top : top + rows * high, left : left + columns * wide].reshape(2, rows, high, columns, wide)
    weight = np.hypot(cells[0], cells[1])
    total = weight.sum((1, 3))
    motion = (cells * weight).sum((2, 4)) / np.where(total > 0, total, 1)
    y = ((np.arange(rows) + 0.5) * high + top) * stride - 0.5
    x = ((np.arange(columns) + 0.5) * wide + left) * stride - 0.5
    at = np.stack(np.broadcast_arrays(np.minimum(x, width - 1), np.minimum(y, height - 1)[:, None]))
    return at.astype(np.float32), motion.astype(np.float32)


class FlowOverlay:
    """Draws flow over the frames of one video, in order.

    Args:
        orientation: how the frames are shown.
        note: what the key says beside the scale, such as which part of the motion is shown.
        steady: keep the scale when a new reference is taken.
    """

    def __init__(self, orientation: Orientation, note: str = "", *, steady: bool = False) -> None:
        self.orientation, self.note, self.steady = orientation, note, steady
        self.scale = SMALLEST
        """Motion in px that an arrow of full length shows."""

    def draw(self, planes: tuple[Plane, ...], like: Frame, flow: Field | None, stride: int, corner: Corner) -> None:
        """Draw the flow and its key into the planes of a picture, in place.

        Args:
            planes: writable, as stored, of the size of `like`, which says what they mean.
            flow: (2, h, w) px; None for a frame that is itself the reference.
            stride: px of the picture per point of the flow.
            corner: of the shown picture, for the key.
        """
        if flow is None and not self.steady:
            self.scale = SMALLEST
        cell = max(like.height, like.width) / ACROSS
        pen = max(0.8, min(like.height, like.width) / 540)
        if flow is not None:
            at, motion = arrow_grid(flow, stride, like.height, like.width)
            speed = np.hypot(motion[0], motion[1])
            self.scale = max(self.scale, scale_for(float(speed.max())))
            faint = max(FLOOR * stride, FAINT * self.scale)
            solid = np.clip(speed / faint - 1, 0, 1)
            line, rim = (np.zeros((like.height, like.width), np.float32) for _ in range(2))
            for row, column in np.argwhere(solid > 0):
                where = (row, column)
                vector = motion[:, row, column] * (LONGEST * cell / self.scale)
                _add_arrow(line, rim, at[:, row, column], vector, pen, float(solid[where]))
            for cover, colour in ((rim, BLACK), (line, YELLOW)):
                _paint(planes, like, cover, colour)
        text = f"{self.scale:g} px" + (f" {self.note}" if self.note else "")
        draw_label(planes, like, self.orientation, text, corner, self._key(like, cell, pen))

    def _key(self, like: Frame, cell: float, pen: float) -> list[tuple[Cover, Rgb]]:
        """An arrow of full length, pointing to the right as shown."""
        length = LONGEST * cell
        height = math.ceil(2 * HEAD * length * math.sin(HEAD_ANGLE) + 4 * pen) + 2
        height = max(height, 8 * text_scale(self.orientation.size((like.width, like.height))))
        line, rim = (np.zeros((height, math.ceil(length + 4 * pen) + 1), np.float32) for _ in range(2))
        _add_arrow(
            line, rim, np.array([2 * pen, (height - 1) / 2], np.float32), np.array([length, 0], np.float32), pen, 1.0
        )
        return [(rim, BLACK), (line, YELLOW)]


def _paint(planes: tuple[Plane, ...], like: Frame, cover: Cover, colour: Rgb) -> None:
    """Paint where there is cover, and look at nothing else of the picture."""
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    if not rows.size:
        return
    part = cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    samples = ink(colour, like.layout, like.colour, like.height)
    paint(planes, like.layout, samples, part, (int(columns[0]), int(rows[0])))


def _add_arrow(line: Cover, rim: Cover, tail: Field, vector: Field, pen: float, opacity: float) -> None:
    """Add an arrow to the covers (H, W) of its line and of its dark rim, smooth at the edges.

    Args:
        tail: (x, y) px; vector: (dx, dy) px to its tip.
        pen: half the width of the line in px; the rim is as wide again.
    """
    tip = tail + vector
    ends = [tail]
    for side in (HEAD_ANGLE, -HEAD_ANGLE):
        turn = np.array([[math.cos(side), -math.sin(side)], [math.sin(side), math.cos(side)]], np.float32)
        ends.append(tip - HEAD * (turn @ vector))
    reach = 2 * pen + 1
    low = np.floor(np.min([tip, *ends], 0) - reach).astype(int)
    high = np.ceil(np.max([tip, *ends], 0) + reach).astype(int) + 1
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, (line.shape[1], line.shape[0]))
    if left >= right or top >= bottom:
        return
    x, y = np.arange(left, right, dtype=np.float32)[None, :], np.arange(top, bottom, dtype=np.float32)[:, None]
    distance = np.full((bottom - top, right - left), np.inf, np.float32)
    for end in ends:  # shaft and barbs, all from the tip
        dx, dy = (end - tip).tolist()
        u, v = x - tip[0], y - tip[1]
        along = np.clip((u * dx + v * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        np.minimum(distance, np.hypot(u - along * dx, v - along * dy), out=distance)
    for cover, radius, most in ((line, pen, 1.0), (rim, 2 * pen + 0.5, RIM)):
        part = cover[top:bottom, left:right]
        np.maximum(part, np.clip(radius + 0.5 - distance, 0, 1) * np.float32(most * opacity), out=part)
