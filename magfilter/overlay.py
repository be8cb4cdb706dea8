"""The measured motion, drawn over a picture as arrows on a grid.

Each arrow begins at a point of the reference and points to where that has moved; a key says how long an arrow is
drawn for how many px. The scale only ever grows while the reference stays, in steps of 1, 2, 5, so that arrows of one
length mean one motion and nothing pulses. Motion that cannot be told from noise gets no arrow, and arrows come and go
by fading: nothing flickers where nothing moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magfilter.arrows import add_arrow, arrow_width
from magfilter.exposure import Stretch
from magfilter.label import Corner, draw_label, text_scale
from magfilter.media import Frame
from magfilter.media.colour import luma
from magfilter.media.frame import Plane
from magfilter.media.orientation import Orientation
from magfilter.paint import BLACK, YELLOW, Cover, Rgb, ink, paint

__all__ = ["FAINT", "ArrowGrid", "FlowOverlay", "beside", "most_noise", "scale_for", "sums_over"]

Field = NDArray[np.float32]
Numbers = NDArray[np.intp]

ACROSS = 28  # arrows along the longer side of the picture
CLOSEST = 16  # px between arrows; of a small picture there are fewer
LONGEST = 1.3  # cells; the arrow of full scale
FLOOR = 0.005  # px per px between points of the flow; a slower arrow is not drawn
FAINT = 0.08  # of the scale; nor is one too short to tell which way it points
# The change of brightness that an arrow's motion brings about in its cell, rms, over the noise of a pixel. In a
# still clip with noise of 1/255 it is below 0.15 in 999 of 1000 cells, in a beam that swings by 0.3 px above 0.3.
EVIDENT = 0.25
NOISE = 0.7 / 255  # the least that is assumed; a codec smooths the noise away and leaves errors of its own
DEVIATION = 0.6745  # standard deviations, the median of what normal noise measures
SMALLEST = 0.05  # px; the scale begun with


def scale_for(motion: float) -> float:
    """The least of …, 0.05, 0.1, 0.2, 0.5, 1, … px that is not below `motion` px, 0.05 or more."""
    if motion <= SMALLEST:
        return SMALLEST
    unit = 10.0 ** math.floor(math.log10(motion) + 1e-9)
    return next(float(f"{step * unit:g}") for step in (1, 2, 5, 10) if step * unit >= motion * (1 - 1e-6))


def _cell(height: int, width: int) -> float:
    """px from arrow to arrow, about."""
    return max(CLOSEST, max(height, width) / ACROSS)


def _drawn(height: int, width: int) -> tuple[float, float]:
    """px: how long the arrow of full scale is drawn, and half the width of its line."""
    return LONGEST * _cell(height, width), max(0.8, min(height, width) / 540)


@dataclass(frozen=True)
class ArrowGrid:
    """The cells that have an arrow each.

    Args:
        shape: (h, w) of the flow.
        stride: px of the picture per point of the flow.
        height, width: of the picture.
    """

    shape: tuple[int, int]
    stride: int
    height: int
    width: int

    @property
    def edges(self) -> tuple[Numbers, Numbers]:
        """Points of the flow at which cells begin and the last one ends: of rows, of columns."""
        size = max(1, round(_cell(self.height, self.width) / self.stride))
        counts = [max(1, length // size) for length in self.shape]
        spans = [
            (length - count * min(size, length)) // 2 + min(size, length) * np.arange(count + 1)
            for length, count in zip(self.shape, counts, strict=True)
        ]
        return spans[0], spans[1]

    @property
    def tails(self) -> Field:
        """(x, y) px where arrows begin, the middles of their cells: (2, rows, columns)."""
        y, x = ((edges[1:] + edges[:-1]) / 2 * self.stride - 0.5 for edges in self.edges)
        x, y = np.minimum(x, self.width - 1), np.minimum(y, self.height - 1)
        return np.stack(np.broadcast_arrays(x, y[:, None])).astype(np.float32)

    def motion(self, flow: Field) -> Field:
        """What arrows show of a flow (2, h, w) px: (2, rows, columns) px.

        A mean over the cell in which each point counts as much as it moves: a string that fills a tenth
        of the cell is seen at its own speed, and noise, which points anywhere, cancels.
        """
        rows, columns = self.edges
        cells = flow[:, rows[0] : rows[-1], columns[0] : columns[-1]]
        weight = np.hypot(cells[0], cells[1])
        sums = sums_over(np.stack([*(cells * weight), weight]), rows - rows[0], columns - columns[0])
        return (sums[:2] / np.where(sums[2] > 0, sums[2], 1)).astype(np.float32)

    def arrows(self, motion: Field, solid: Field, scale: float) -> list[tuple[Cover, Rgb]]:
        """Covers (H, W) of the arrows' rims and of their lines, and the colours of both.

        Args:
            motion: (2, rows, columns) px.
            solid: (rows, columns) 0..1, how opaque each is.
            scale: px of motion that the longest arrow stands for.
        """
        line, rim = (np.zeros((self.height, self.width), np.float32) for _ in range(2))
        tails, (longest, pen) = self.tails, _drawn(self.height, self.width)
        for row, column in np.argwhere(solid > 0):
            vector = motion[:, row, column] * np.float32(longest / scale)
            add_arrow(line, rim, tails[:, row, column], vector, pen, float(solid[row, column]))
        return [(rim, BLACK), (line, YELLOW)]

    def evidence(self, motion: Field, light: Field, most: float = math.inf) -> Field:
        """How far motion (2, rows, columns) px shows in the picture: the rms change of brightness that it
        brings about in each cell, over the noise of a pixel.

        Args:
            light: (H, W) luma, 0..1.
            most: what the noise is known not to exceed. Fine texture looks like noise.
        """
        # Every other pixel is enough to know the texture of a cell.
        centre, left, right = light[1:-1:2, 1:-1:2], light[1:-1:2, :-2:2], light[1:-1:2, 2::2]
        above, below = light[:-2:2, 1:-1:2], light[2::2, 1:-1:2]
        if not centre.size:
            return np.zeros(motion.shape[1:], np.float32)
        columns = centre.shape[1]
        gx, gy = (right[:, :columns] - left[:, :columns]) / 2, (below - above) / 2
        # What curves differently across than down is noise, mostly (Immerkær 1996, at a pixel's four neighbours).
        bend = left[:, :columns] + right[:, :columns] - above - below
        noise = max(NOISE, min(most, float(np.median(np.abs(bend))) / DEVIATION / 2))
        edges = [np.minimum(span * self.stride // 2, limit) for span, limit in zip(self.edges, gx.shape, strict=True)]
        xx, xy, yy, count = sums_over(np.stack([gx * gx, gx * gy, gy * gy, np.ones_like(gx)]), *edges)
        own = noise * noise / 2 * count  # what noise adds to the squares
        dx, dy = motion
        change = dx * dx * np.maximum(xx - own, 0) + 2 * dx * dy * xy + dy * dy * np.maximum(yy - own, 0)
        found: Field = np.sqrt(np.maximum(change, 0) / np.maximum(count, 1)) / np.float32(noise)
        return found.astype(np.float32)


def sums_over(fields: Field, rows: Numbers, columns: Numbers) -> Field:
    """Sums of (n, H, W) over cells that begin and end at `rows` and `columns`; an empty one's is 0."""
    total = np.zeros((len(fields), fields.shape[1] + 1, fields.shape[2] + 1))
    total[:, 1:, 1:] = fields.cumsum(1, dtype=np.float64).cumsum(2)
    corners = total[:, rows][:, :, columns]
    out: Field = np.diff(np.diff(corners, axis=1), axis=2).astype(np.float32)
    return out


def beside(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells (…, rows, columns) with one of these to the left, to the right, above or below."""
    padded = np.pad(cells, [(0, 0)] * (cells.ndim - 2) + [(1, 1), (1, 1)])
    out: NDArray[np.bool_] = padded[..., :-2, 1:-1] | padded[..., 2:, 1:-1]
    out |= padded[..., 1:-1, :-2] | padded[..., 1:-1, 2:]
    return out


def most_noise(light: Field, reference: Field) -> float:
    """What the noise of a pixel does not exceed: the change from a reference to another frame, (H, W) 0..1 each."""
    return float(np.median(np.abs(light[::2, ::2] - reference[::2, ::2]))) / DEVIATION / 2**0.5


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

    def draw(self, planes: tuple[Plane, ...], frame: Frame, flow: Field | None, stride: int, corner: Corner) -> None:
        """Draw the flow and its key into the planes of a picture, in place.

        Args:
            planes: writable, as stored, of the size and layout of `frame`.
            frame: in which the flow was measured.
            flow: (2, h, w) px; None for a frame that is itself the reference.
            stride: px of the picture per point of the flow.
            corner: of the shown picture, for the key.
        """
        if flow is not None:
            self._draw_arrows(planes, frame, flow, stride)
        elif not self.steady:
            self.scale = SMALLEST
        text = f"{self.scale:g} px" + (f" {self.note}" if self.note else "")
        draw_label(planes, frame, self.orientation, text, corner, self._key(frame))

    def _draw_arrows(self, planes: tuple[Plane, ...], frame: Frame, flow: Field, stride: int) -> None:
        grid = ArrowGrid((flow.shape[1], flow.shape[2]), stride, frame.height, frame.width)
        motion = grid.motion(flow)
        speed = np.hypot(motion[0], motion[1])
        light = luma(frame)
        light = Stretch.of(light, frame.layout.depth)(light)
        evident = np.clip(grid.evidence(motion, light) / EVIDENT - 1, 0, 1)
        self.scale = max(self.scale, scale_for(float((speed * (evident > 0)).max())))
        solid = evident * np.clip(speed / max(FLOOR * stride, FAINT * self.scale) - 1, 0, 1)
        for cover, colour in grid.arrows(motion, solid, self.scale):
            _paint(planes, frame, cover, colour)

    def _key(self, frame: Frame) -> list[tuple[Cover, Rgb]]:
        """An arrow of full length, pointing to the right as shown."""
        length, pen = _drawn(frame.height, frame.width)
        scale = text_scale(self.orientation.size((frame.width, frame.height)))
        height, width = max(arrow_width(length, pen), 8 * scale), math.ceil(length + 4 * pen) + 1
        line, rim = (np.zeros((height, width), np.float32) for _ in range(2))
        tail = np.array([2 * pen, (height - 1) / 2], np.float32)
        add_arrow(line, rim, tail, np.array([length, 0], np.float32), pen)
        return [(rim, BLACK), (line, YELLOW)]


def _paint(planes: tuple[Plane, ...], like: Frame, cover: Cover, colour: Rgb) -> None:
    """Paint where there is cover, and look at nothing else of the picture."""
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    if not rows.size:
        return
    part = cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    samples = ink(colour, like.layout, like.colour, like.height)
    paint(planes, like.layout, samples, part, (int(columns[0]), int(rows[0])))
