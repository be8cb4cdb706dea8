"""Frames as the network sees them: native planes, their meaning, their time.

A :class:`Frame` holds the picture exactly as it was decoded, plane by plane and
bit by bit, so that what is not magnified can be written back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Colour", "Frame", "PixelLayout", "Plane"]

Plane = NDArray[Any]

# FFmpeg's planar, little-endian, integer formats; e.g. yuva422p10le, gbrp, gray12le.
_NAME = re.compile(r"(?:(yuv)(a?)(410|411|420|422|440|444)p|(gbr)(a?)p|(gray))(?:(9|10|12|14|16)le)?")
_SUBSAMPLING = {"410": (2, 2), "411": (2, 0), "420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}


@dataclass(frozen=True)
class PixelLayout:
    """What the planes of a frame mean.

    Attributes:
        name: FFmpeg's name of the planar little-endian format, "yuv420p10le".
        kind: "yuv", "rgb" (planes in FFmpeg's order G, B, R) or "gray".
        depth: significant bits of a sample, 8 to 16, aligned to the low end.
        log2_chroma_w: how often chroma is halved horizontally (1 for 4:2:0).
        log2_chroma_h: how often chroma is halved vertically (1 for 4:2:0).
        alpha: whether the last plane is opacity.
    """

    name: str
    kind: Literal["yuv", "rgb", "gray"]
    depth: int
    log2_chroma_w: int
    log2_chroma_h: int
    alpha: bool

    @staticmethod
    def from_name(name: str) -> PixelLayout | None:
        """The layout of an FFmpeg pixel format, or None if it is not planar LE integer of 8 to 16 bit."""
        return _layout(name)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The type of a sample: uint8 up to 8 bit, otherwise uint16."""
        return np.uint8 if self.depth <= 8 else np.uint16

    @property
    def peak(self) -> int:
        """The largest sample value: 255 for 8 bit, 1023 for 10 bit."""
        return (1 << self.depth) - 1

    @property
    def plane_count(self) -> int:
        return (1 if self.kind == "gray" else 3) + self.alpha

    def plane_shape(self, index: int, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of plane `index` in a frame of `height` × `width`; odd chroma sizes round up."""
        if not 0 <= index < self.plane_count:
            raise IndexError(f"{self.name} has planes 0 to {self.plane_count - 1}, not {index}")
        if self.kind == "yuv" and index in (1, 2):
            return -(-height >> self.log2_chroma_h), -(-width >> self.log2_chroma_w)
        return height, width


@cache
def _layout(name: str) -> PixelLayout | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    yuv, yuv_alpha, ratio, rgb, rgb_alpha, _, bits = match.groups()
    depth = int(bits or 8)
    if yuv:
        return PixelLayout(name, "yuv", depth, *_SUBSAMPLING[ratio], bool(yuv_alpha))
    if rgb:
        return PixelLayout(name, "rgb", depth, 0, 0, bool(rgb_alpha))
    return PixelLayout(name, "gray", depth, 0, 0, False)


@dataclass(frozen=True)
class Colour:
    """The four colour tags as FFmpeg's enum values; what the input leaves unspecified stays so.

    Attributes:
        range: AVColorRange: 0 unspecified, 1 limited (16..235), 2 full.
        matrix: AVColorSpace: 0 RGB, 1 BT.709, 2 unspecified, 5 and 6 BT.601, 9 BT.2020.
        primaries: AVColorPrimaries, 2 unspecified.
        transfer: AVColorTransferCharacteristic, 2 unspecified, 16 PQ, 18 HLG.
    """

    range: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2


@dataclass
class Frame:
    """One picture with its time and colour.

    Attributes:
        planes: native planes in FFmpeg's order, 2-D C-contiguous, uint8 or uint16 as
            `layout.dtype` says, of true width (no padding).
        layout: what the planes mean.
        colour: the colour tags.
        pts: presentation time in units of `time_base`, or None.
        time_base: seconds per unit of pts, or None.
        duration: display time in units of `time_base`, or None if unknown.
        extra: what the reader hands to the writer past the network (captions, the
            interlaced flag); pass it on untouched.
    """

    planes: tuple[Plane, ...]
    layout: PixelLayout
    colour: Colour = Colour()
    pts: int | None = None
    time_base: Fraction | None = None
    duration: int | None = None
    extra: object | None = None

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def time(self) -> float | None:
        """Presentation time in seconds, or None if the frame has no time."""
        if self.pts is None or self.time_base is None:
            return None
        return float(self.pts * self.time_base)

    def step(self, plane: Plane) -> tuple[int, int]:
        """Px of the picture per sample of one of its planes, (x, y): (2, 2) for chroma of 4:2:0."""
        if plane.shape == (self.height, self.width):
            return 1, 1
        # Subsampled chroma has fewer samples in either direction, rounded up where the size is odd.
        return 1 << self.layout.log2_chroma_w, 1 << self.layout.log2_chroma_h

    def replace(self, **changes: Any) -> Frame:
        """A copy with the given attributes changed and everything else kept.

        Raises:
            ValueError: if new planes do not have the shape and type that the layout asks for.
        """
        new = replace(self, **changes)
        if "planes" in changes or "layout" in changes:
            new.check()
        return new

    def check(self) -> None:
        """Raise ValueError unless the planes have the number, shape and type that the layout asks for."""
        layout = self.layout
        if len(self.planes) != layout.plane_count:
            raise ValueError(f"{layout.name} needs {layout.plane_count} planes, got {len(self.planes)}")
        for i, plane in enumerate(self.planes):
            shape = layout.plane_shape(i, self.height, self.width)
            if plane.shape != shape or plane.dtype != layout.dtype:
                raise ValueError(
                    f"plane {i} of a {self.width}x{self.height} {layout.name} frame must be "
                    f"{np.dtype(layout.dtype).name} {shape}, got {plane.dtype} {plane.shape}"
                )

    @staticmethod
    def from_rgb(array: Plane) -> Frame:
        """A full-range RGB frame (gbrp or gbrp16le) without a time.

        Args:
            array: (H, W, 3) uint8 or uint16.

        Raises:
            ValueError: for another shape or type.
        """
        if not isinstance(array, np.ndarray):
            raise ValueError(
                f"expected an (H, W, 3) uint8 or uint16 array of NumPy, got {type(array).__name__}; "
                "numpy.asarray makes one of most things"
            )
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"expected an (H, W, 3) uint8 or uint16 array, got {array.dtype} of shape {array.shape}")
        if not array.size:
            raise ValueError(f"expected a picture, got an array of shape {array.shape} without a pixel")
        layout = PixelLayout.from_name("gbrp" if array.dtype == np.uint8 else "gbrp16le")
        assert layout is not None
        planes = tuple(np.ascontiguousarray(array[..., i]) for i in (1, 2, 0))
        return Frame(planes, layout, Colour(range=2, matrix=0))

    def to_rgb(self) -> Plane:
        """The picture as (H, W, 3) RGB: uint8 for 8 bit, uint16 (0..65535) for deeper frames.

        RGB frames are reordered (deeper ones than 8 but less than 16 bit are stretched to 16);
        others are converted with the frame's own matrix and range. Opacity is left out.
        """
        from . import colour

        if self.layout.kind == "rgb" and self.layout.depth in (8, 16):
            return np.stack([self.planes[i] for i in (2, 0, 1)], axis=-1)
        rgb = colour.to_rgb_float(self)
        dtype: DTypeLike = self.layout.dtype
        peak = 255 if self.layout.depth == 8 else 65535
        return np.clip(np.rint(rgb * peak), 0, peak).astype(dtype).transpose(1, 2, 0).copy()


def same_picture(a: Sequence[Plane], b: Sequence[Plane]) -> bool:
    """Whether two frames' planes are equal to the bit."""
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
