"""A stream's frames are of one size and layout, that of its first."""

from __future__ import annotations

from typing import Any

import av

from ..errors import InputError
from . import opacity
from .convert import Cousin, see_through, taken_in

__all__ = ["Uniform"]

FEWEST = 2  # frames that are worth being written


class Uniform:
    """Tells how each frame of a stream is read, all of them alike.

    Attributes:
        warnings: lines for the user about what is lost by reading them so, or not at all.
    """

    def __init__(self, name: str, stream: Any) -> None:
        self.warnings: list[str] = []
        self._name, self._stream = name, stream
        self._how: Cousin | None = None
        self._size = (0, 0)
        self._told_opacity = False
        self._read = 0

    @property
    def begun(self) -> bool:
        """Whether the first frame has come."""
        return self._how is not None

    def __call__(self, frame: av.VideoFrame, number: int, time: float) -> Cousin | None:
        """How frame `number`, counted from 0, at so many seconds is read; None if it cannot be, nor what follows it.

        Raises:
            InputError: it is of another size or layout than the only frame before it, or on a device.
        """
        how, size = taken_in(frame, self._how), (frame.width, frame.height)
        if how is None:
            raise InputError(f"{self._name}: pixel format {frame.format.name} is not in memory; decode without a GPU")
        if self._how is None:
            self._how, self._size = how, size
            if not how.lossless:
                self.warnings.append(f"pixel format {frame.format.name} is read as {how.layout.name}, not losslessly")
            if opacity.promised(self._stream) and not how.layout.alpha:
                self.warnings.append(opacity.lost(self._name, self._stream))
        elif how.layout != self._how.layout or size != self._size:
            change = (
                f"{self._name}: frame {number} changes from {self._size[0]}x{self._size[1]} {self._how.layout.name} "
                f"to {frame.width}x{frame.height} {how.layout.name}, at {time:.2f} seconds; "
            )
            advice = "cut the file there, or make it uniform first with ffmpeg -vf scale"
            if self._read < FEWEST:
                raise InputError(change + advice)
            self.warnings.append(f"{change}it ends there, and the rest is lost: {advice}")
            return None
        elif not how.layout.alpha and not self._told_opacity and see_through(frame):
            self._told_opacity = True
            self.warnings.append(
                f"{self._name}: opacity is lost from frame {number} on: the palettes before it had none; "
                "make the file uniform first with ffmpeg -pix_fmt rgba"
            )
        self._read += 1
        return how
