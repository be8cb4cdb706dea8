"""Text as pixels, without a font file: libav draws it, in the VGA font that its player of ANSI art carries.

FFmpeg's drawtext is not in PyAV's wheels and would need a font of the user's machine.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["GLYPH", "render_text"]

GLYPH = (8, 16)  # (width, height) px of every character
# What code page 437 lacks and looks alike in 8 × 16 px.
_ALIKE = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-", "‑": "-", "…": "."})


def render_text(line: str) -> NDArray[np.bool_]:
    """`line` as (16, 8·len(line)) bool; True is ink. What the font (code page 437) lacks is shown as "?"."""
    width, height = GLYPH
    # Control characters would move the cursor.
    shown = "".join(c if c.isprintable() else "?" for c in line.translate(_ALIKE))
    if not shown:
        return np.zeros((height, 0), np.bool_)
    decoder: Any = av.CodecContext.create("ansi", "r")
    # One column more than there is text: after the last one the screen would be scrolled.
    decoder.width, decoder.height = width * (len(shown) + 1), height
    plane = decoder.decode(av.Packet(shown.encode("cp437", "replace")))[0].planes[0]
    screen = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    ink: NDArray[np.bool_] = screen[:height, : width * len(shown)] != 0
    return ink
