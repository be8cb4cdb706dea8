"""What a frame carries past the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["FrameExtra"]


@dataclass(frozen=True)
class FrameExtra:
    """What bypasses the network.

    Attributes:
        interlaced: the frame's own flag.
        source: the libav frame, kept only if it carries closed captions.
    """

    interlaced: bool
    source: Any | None
