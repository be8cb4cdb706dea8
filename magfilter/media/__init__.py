"""Video in and out: PyAV is used here and nowhere else."""

from __future__ import annotations

from .encoders import EncodeOptions
from .frame import Colour, Frame, PixelLayout
from .packets import CopiedPacket
from .probe import MediaInfo, StreamInfo
from .reader import VideoReader
from .writer import VideoWriter

__all__ = [
    "Colour",
    "CopiedPacket",
    "EncodeOptions",
    "Frame",
    "MediaInfo",
    "PixelLayout",
    "StreamInfo",
    "VideoReader",
    "VideoWriter",
]
