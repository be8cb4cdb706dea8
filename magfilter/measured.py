"""What is known of a frame between measuring and rendering it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from magfilter.media.frame import Frame

__all__ = ["Measured"]

Array = NDArray[np.float32]


class Measured(NamedTuple):
    """A frame on its way through a `Magnifier`.

    Attributes:
        frame: the frame; already finished where `flow` is None.
        flow: (2, h, w) float32, px of the full picture, from the reference to the frame.
        gain: the factor of every point (h, w) of the flow; None for `alpha` everywhere.
        part: (2, h, w) float32 px, what of the flow is magnified; None for all of it.
        alpha: the factor in force; None for the magnifier's own.
        left: (2, h, w) float32 px, what the last reference left behind and is magnified on while it fades, which is
            no motion of this frame; None for nothing.
    """

    frame: Frame
    flow: Array | None = None
    gain: Array | None = None
    part: Array | None = None
    alpha: float | None = None
    left: Array | None = None

    @property
    def shown(self) -> Array | None:
        """(2, h, w) float32 px, all that is magnified: the part, and what was left behind; None for the whole flow."""
        own = self.flow if self.part is None else self.part
        return self.part if own is None or self.left is None else own + self.left
