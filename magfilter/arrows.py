"""Arrows, smooth at the edges, as shares of pixels covered; see `magfilter.paint`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from magfilter.paint import Cover

__all__ = ["add_arrow", "arrow_width"]

Point = NDArray[np.float32]

HEAD, HEAD_ANGLE = 0.38, math.radians(26)  # barbs: share of the arrow's length, angle to the shaft
RIM = 0.75  # how dark an arrow's rim is


def arrow_width(length: float, pen: float) -> int:
    """px across an arrow of `length` px, its rim included."""
    return math.ceil(2 * HEAD * length * math.sin(HEAD_ANGLE) + 4 * pen) + 2


def add_arrow(line: Cover, rim: Cover, tail: Point, vector: Point, pen: float, opacity: float = 1.0) -> None:
    """Add an arrow to the covers (H, W) of lines and of their dark rims; what lies outside is left out.

    Args:
        tail: (x, y) px; vector: (dx, dy) px from there to the tip.
        pen: half the width of the line in px; the rim is about as wide again.
        opacity: 0..1.
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
    x = np.arange(left, right, dtype=np.float32)[None, :] - tip[0]
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - tip[1]
    distance = np.full((bottom - top, right - left), np.inf, np.float32)
    for end in ends:  # shaft and barbs, all from the tip
        dx, dy = (end - tip).tolist()
        along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        np.minimum(distance, np.hypot(x - along * dx, y - along * dy), out=distance)
    for cover, radius, most in ((line, pen, 1.0), (rim, 2 * pen + 0.5, RIM)):
        part = cover[top:bottom, left:right]
        np.maximum(part, np.clip(radius + 0.5 - distance, 0, 1) * np.float32(most * opacity), out=part)
