"""How a player turns the stored picture before it shows it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame import Frame, PixelLayout
from .probe import MediaInfo

__all__ = ["HOLDING", "Orientation", "orient", "resized"]

HOLDING = ("mp4", "mov", "ipod", "3gp", "3g2", "matroska", "webm")  # containers that say how a picture is turned

_ONE = 1 << 16  # the display matrix counts in 65536ths


@dataclass(frozen=True)
class Orientation:
    """Quarter turns and mirroring, from the display matrix.

    The shown picture is the stored one, transposed if `transposed`; then its columns reversed if
    `flip_x`, its rows if `flip_y`.
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @staticmethod
    def of(info: MediaInfo) -> Orientation:
        """The input's; turns by other angles than quarters count as none, as for masks."""
        if info.display_matrix is None:
            return Orientation()
        a, b, _, c, d = info.display_matrix[:5]  # (p, q) is shown at (a·p + c·q, b·p + d·q)
        a, b, c, d = (round(value / _ONE) for value in (a, b, c, d))
        if abs(a) == abs(d) == 1 and not (b or c):
            return Orientation(False, a < 0, d < 0)
        if abs(b) == abs(c) == 1 and not (a or d):
            return Orientation(True, c < 0, b < 0)
        return Orientation()

    def shown(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The stored `plane` (rows, columns, …) as it is shown; a view."""
        out = plane.swapaxes(0, 1) if self.transposed else plane
        return out[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def stored(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The shown `plane` (rows, columns, …) as it is stored; a view."""
        out = plane[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return out.swapaxes(0, 1) if self.transposed else out

    def fits(self, layout: PixelLayout) -> bool:
        """Whether a picture of this layout can be turned: chroma that is coarser one way cannot become so the other."""
        return not self.transposed or layout.log2_chroma_w == layout.log2_chroma_h

    def turned(self, frame: Frame) -> Frame:
        """The stored frame as it is shown."""
        return frame.replace(planes=tuple(np.ascontiguousarray(self.shown(plane)) for plane in frame.planes))

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) the other way: of the stored picture as shown, or of the shown as stored."""
        return (size[1], size[0]) if self.transposed else size

    def axis(self, across: bool) -> tuple[int, bool]:
        """The stored axis that is shown `across` (else down), and whether it is shown reversed."""
        return int(across != self.transposed), self.flip_x if across else self.flip_y

    def stored_points(
        self, x: NDArray[np.float64], y: NDArray[np.float64], shown: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points of the shown picture, px with whole numbers at the centres, in the stored one.

        Args:
            shown: (width, height) of the shown picture.
        """
        x = shown[0] - 1 - x if self.flip_x else x
        y = shown[1] - 1 - y if self.flip_y else y
        return (y, x) if self.transposed else (x, y)

    def stored_corner(self, corner: tuple[int, int], box: tuple[int, int], shown: tuple[int, int]) -> tuple[int, int]:
        """(x, y) of the upper left stored pixel of a box that is shown with its upper left pixel at `corner`.

        Args:
            box: (width, height) of the box as shown; shown: of the picture.
        """
        x = shown[0] - corner[0] - box[0] if self.flip_x else corner[0]
        y = shown[1] - corner[1] - box[1] if self.flip_y else corner[1]
        return (y, x) if self.transposed else (x, y)


def orient(info: MediaInfo, format: str) -> tuple[Fraction | None, Orientation | None, list[str]]:
    """The pixels' aspect ratio; how the picture has to be turned, since the container cannot say so; warnings."""
    if not info.display_matrix or format in HOLDING:
        return info.sar, None, []
    turn = Orientation.of(info)
    if turn == Orientation() or not turn.fits(info.layout):
        what = f"{format} cannot say how the picture is to be turned"
        return info.sar, None, [f"{what}, and it is left lying; write .mp4, .mov or .mkv to keep that"]
    sar = 1 / info.sar if info.sar and turn.transposed else info.sar
    return sar, turn, [f"the picture is turned upright, since {format} cannot say that it has to be"]


def resized(info: MediaInfo, size: tuple[int, int]) -> tuple[int, ...]:
    """The input's matrix for a picture of another size. Its last row moves the turned picture into view."""
    matrix, (width, height) = info.display_matrix, size
    assert matrix is not None
    wide, high = (height, width) if matrix[0] == matrix[4] == 0 else (width, height)
    was_wide, was_high = (info.height, info.width) if matrix[0] == matrix[4] == 0 else (info.width, info.height)
    return (*matrix[:6], matrix[6] * wide // was_wide, matrix[7] * high // was_high, matrix[8])
