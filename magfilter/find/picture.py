"""Vibrations as a picture: how the parts of the scene are displaced when they are displaced the most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from magfilter.find.vibrations import Found, Vibration
from magfilter.measure.scale import PX, Scale
from magfilter.overlay import FAINT
from magfilter.slices import sheet

__all__ = ["PICTURED", "at_its_most", "draw_vibrations"]

Picture = NDArray[np.uint8]

PICTURED = 4  # vibrations
FADED = 0.45  # how much of the picture is taken away under the arrows


def at_its_most(phasors: NDArray[np.complex128]) -> NDArray[np.float32]:
    """Displacements (2, rows, columns) px at the moment at which, all together, they are largest.

    Parts that move against each other at that moment point opposite ways.
    """
    turn = np.exp(-0.5j * np.angle((phasors**2).sum()))
    out: NDArray[np.float32] = (phasors * turn).real.astype(np.float32)
    return out


def draw_vibrations(found: Found, vibrations: Sequence[Vibration] = (), scale: Scale | None = None) -> Picture:
    """The reference, paler, once for each of the first four vibrations, with an arrow for each of its cells: RGB.

    Args:
        vibrations: those to draw; the clear ones by default.
        scale: of what is told of the arrows; px without one.
    """
    chosen = list(vibrations or found.vibrations)[:PICTURED]
    return sheet({title(vibration, scale): _panel(found, vibration) for vibration in chosen})


def title(vibration: Vibration, scale: Scale | None = None) -> str:
    """2.98 Hz, longest arrow 0.27 px"""
    unit, per_px = scale or PX
    longest = float(np.hypot(*at_its_most(vibration.phasors)).max())
    return f"{vibration.frequency:.4g} Hz, longest arrow {longest * per_px:.2g} {unit}"


def _panel(found: Found, vibration: Vibration) -> Picture:
    grey = found.picture.astype(np.float32).mean(-1, keepdims=True).repeat(3, -1) * np.float32(1 - FADED)
    motion = at_its_most(vibration.phasors)
    speed = np.hypot(motion[0], motion[1])
    solid = (speed > FAINT * speed.max()).astype(np.float32)  # shorter arrows do not tell which way they point
    for cover, colour in found.grid.arrows(motion, solid, float(speed.max())):
        grey += (255 * np.asarray(colour, np.float32) - grey) * cover[..., None]
    out: Picture = np.rint(grey).astype(np.uint8)
    return out
