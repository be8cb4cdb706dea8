"""Labels on a picture: light text, and perhaps a drawing, on a dim box, upright as shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from magfilter.media import Frame
from magfilter.media.frame import Plane
from magfilter.media.orientation import Orientation
from magfilter.media.text import GLYPH, render_text
from magfilter.paint import BLACK, WHITE, Cover, Rgb, ink, paint

__all__ = ["Corner", "draw_label", "text_scale"]

Corner = tuple[Literal["top", "bottom"], Literal["left", "right"]]

DIM = 0.65  # how much of the picture the box takes away
LINES = 360  # px of height for which the font is used as it is; it is repeated for more
PAD = 4  # px of the font's own, around text and between a box and the picture's edge


def text_scale(size: tuple[int, int]) -> int:
    """How often a pixel of the font is repeated on a picture of (width, height) as shown."""
    return max(1, round(min(size) / LINES))


def draw_label(
    planes: Sequence[Plane],
    like: Frame,
    orientation: Orientation,
    text: str,
    corner: Corner,
    drawings: Sequence[tuple[Cover, Rgb]] = (),
) -> None:
    """Write `text` into the planes of a picture, in place; what does not fit is cut off.

    Args:
        planes: writable, as stored, of the size of `like`, which says what they mean.
        orientation: how they are shown.
        corner: of the shown picture.
        drawings: left of the text: covers (h, w) 0..1 of one shape, as shown, and their colours, the first undermost.
    """
    size = orientation.size((like.width, like.height))
    scale = text_scale(size)
    pad = PAD * scale
    room = size[0] - 2 * pad - (drawings[0][0].shape[1] + pad if drawings else 0)
    while scale > 1 and len(text) * GLYPH[0] * scale > room - 2 * pad:
        scale -= 1
    pad = PAD * scale
    glyphs = np.repeat(np.repeat(render_text(text), scale, 0), scale, 1).astype(np.float32)
    left = pad + (drawings[0][0].shape[1] + pad if drawings else 0)
    height = max(glyphs.shape[0], *(cover.shape[0] for cover, _ in drawings), 0)
    box = np.full((height + 2 * scale, left + glyphs.shape[1] + pad), DIM, np.float32)
    layers = [(box, BLACK)]
    for cover, colour in drawings:
        layers.append((_placed(cover, box.shape, pad), colour))
    layers.append((_placed(glyphs, box.shape, left), WHITE))
    margin = min(pad, max(0, (size[0] - box.shape[1]) // 2))
    rows, columns = min(box.shape[0], size[1]), min(box.shape[1], size[0])
    x = margin if corner[1] == "left" else size[0] - margin - columns
    y = min(pad, size[1] - rows) if corner[0] == "top" else max(0, size[1] - pad - rows)
    at = orientation.stored_corner((x, y), (columns, rows), size)
    for cover, colour in layers:
        samples = ink(colour, like.layout, like.colour, like.height)
        paint(planes, like.layout, samples, orientation.stored(cover[:rows, :columns]), at)


def _placed(cover: Cover, shape: tuple[int, int], left: int) -> Cover:
    """`cover` in a box of `shape`, in the middle between top and bottom."""
    out = np.zeros(shape, np.float32)
    top = (shape[0] - cover.shape[0]) // 2
    out[top : top + cover.shape[0], left : left + cover.shape[1]] = cover
    return out
