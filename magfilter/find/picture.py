"""Vibrations as a picture: how the parts of the scene are displaced when they are displaced the most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from magfilter.arrows import add_arrow
from magfilter.find.vibrations import Found, Vibration
from magfilter.overlay import LONGEST
from magfilter.slices import sheet

__all__ = ["PICTURED", "at_its_most", "draw_vibrations"]

Picture = NDArray[np.uint8]

PICTURED = 4  # vibrations
FADED = 0.45  # how much of the picture is taken away under the arrows
ARROW, RIM = np.array([255, 220, 26], np.float32), np.zeros(3, np.float32)
FAINT = 0.08  # of the longest arrow; shorter ones do not tell which way they point


def at_its_most(phasors: NDArray[np.complex128]) -> NDArray[np.float32]:
    """Displacements (2, rows, columns) px at the moment at which, all together, they are largest.

    Parts that move against each other at that moment point opposite ways.
    """
    turn = np.exp(-0.5j * np.angle((phasors**2).sum()))
    out: NDArray[np.float32] = (phasors * turn).real.astype(np.float32)
    return out


def draw_vibrations(found: Found, vibrations: Sequence[Vibration] = ()) -> Picture:
    """The reference, paler, once for each of the first four vibrations, with an arrow for each of its cells: RGB.

    Args:
        vibrations: those to draw; the clear ones by default.
    """
    chosen = list(vibrations or found.vibrations)[:PICTURED]
    return sheet({title(vibration): _panel(found, vibration) for vibration in chosen})


def title(vibration: Vibration) -> str:
    """2.98 Hz, longest arrow 0.27 px"""
    longest = float(np.hypot(*at_its_most(vibration.phasors)).max())
    return f"{vibration.frequency:.4g} Hz, longest arrow {longest:.2g} px"


def _panel(found: Found, vibration: Vibration) -> Picture:
    grey = found.picture.astype(np.float32).mean(-1, keepdims=True).repeat(3, -1) * np.float32(1 - FADED)
    motion = at_its_most(vibration.phasors)
    speed = np.hypot(motion[0], motion[1])
    rows, columns = found.grid.edges
    cell = min(int(rows[1] - rows[0]), int(columns[1] - columns[0])) * found.grid.stride
    scale = LONGEST * cell / float(speed.max())
    pen = max(0.8, min(grey.shape[:2]) / 540)
    line, rim = (np.zeros(grey.shape[:2], np.float32) for _ in range(2))
    tails = found.grid.tails
    for row, column in np.argwhere(speed > FAINT * speed.max()):
        add_arrow(line, rim, tails[:, row, column], motion[:, row, column] * np.float32(scale), pen)
    for cover, colour in ((rim, RIM), (line, ARROW)):
        grey += (colour - grey) * cover[..., None]
    out: Picture = np.rint(grey).astype(np.uint8)
    return out
