"""Between FFmpeg's frames and native planes, without losing a bit.

Planar little-endian formats are read and written plane by plane. Any other
format is repacked by swscale to the planar cousin that holds the same samples
(nv12 to yuv420p, p010 to yuv420p10le, rgb24 to gbrp).
"""

from __future__ import annotations

from functools import cache

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from .frame import PixelLayout, Plane

__all__ = [
    "ACCURATE",
    "Cousin",
    "allocate",
    "cousin",
    "fill_planes",
    "packed_twins",
    "read_planes",
    "see_through",
    "taken_in",
]

# swscale's default flags lose a luma step in round trips; these do not.
ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

_COUSINS = {
    "yuv420p": "nv12 nv21",
    "yuv422p": "nv16 yuyv422 uyvy422 yvyu422",
    "yuv444p": "nv24 nv42 vuyx vyu444",
    "yuv411p": "uyyvyy411",
    "yuva444p": "vuya ayuv uyva",
    "yuv420p10le": "p010le p010be",
    "yuv420p12le": "p012le p012be",
    "yuv420p16le": "p016le p016be",
    "yuv422p10le": "nv20le nv20be p210le p210be y210le y210be",
    "yuv422p12le": "p212le p212be y212le y212be",
    "yuv422p16le": "p216le p216be y216le y216be",
    "yuv444p10le": "p410le p410be xv30le xv30be v30xle v30xbe",
    "yuv444p12le": "p412le p412be xv36le xv36be",
    "yuv444p16le": "p416le p416be xv48le xv48be",
    "yuva444p16le": "ayuv64le ayuv64be",
    "gray": "monow monob",
    "gbrp": "rgb24 bgr24 rgb0 0rgb bgr0 0bgr pal8 rgb8 bgr8 rgb4 bgr4 rgb4_byte bgr4_byte"
    " rgb565le rgb565be bgr565le bgr565be rgb555le rgb555be bgr555le bgr555be"
    " rgb444le rgb444be bgr444le bgr444be",
    "gbrap": "rgba bgra argb abgr ya8",
    "gbrp10le": "x2rgb10le x2rgb10be x2bgr10le x2bgr10be",
    "gbrp16le": "rgb48le rgb48be bgr48le bgr48be",
    "gbrap16le": "rgba64le rgba64be bgra64le bgra64be ya16le ya16be",
}
# RGB of 15 and 16 bits a pixel: on the way to planes swscale only shifts, and white becomes 0xf8; on the way to rgb24
# it spreads 5 and 6 bits over 8 as they should be, if the bytes are in the order of little-endian machines.
_SPREAD = tuple(f"{order}{bits}{end}" for order in ("rgb", "bgr") for bits in (555, 565) for end in ("le", "be"))
_BY_SOURCE = {source: target for target, sources in _COUSINS.items() for source in sources.split()}


class Cousin:
    """How a pixel format is taken in.

    Attributes:
        layout: the planar layout it becomes.
        full_range: True for the yuvj formats, whose name carries the range.
        repack: whether swscale has to move samples.
        lossless: whether every sample survives.
    """

    def __init__(self, layout: PixelLayout, full_range: bool, repack: bool, lossless: bool) -> None:
        self.layout = layout
        self.full_range = full_range
        self.repack = repack
        self.lossless = lossless


@cache
def cousin(name: str) -> Cousin | None:
    """How the pixel format `name` is taken in; None for formats without samples in memory (cuda, vaapi)."""
    layout = PixelLayout.from_name(name)
    if layout:
        return Cousin(layout, False, False, True)
    if name.startswith("yuvj"):
        layout = PixelLayout.from_name(name.replace("yuvj", "yuv"))
        return Cousin(layout, True, False, True) if layout else None
    target = _BY_SOURCE.get(name)
    lossless = target is not None
    if target is None and name.endswith("be"):
        target = name[:-2] + "le"
        lossless = PixelLayout.from_name(target) is not None
    layout = PixelLayout.from_name(target) if target else None
    if layout is None:
        layout, lossless = _nearest(name), False
    return Cousin(layout, False, True, lossless) if layout else None


def see_through(frame: av.VideoFrame) -> bool:
    """Whether a picture with a palette has entries that are not opaque."""
    if frame.format.name != "pal8":
        return False
    indices, entries = (memoryview(plane) for plane in frame.planes)
    palette = np.frombuffer(entries, np.uint32)
    clear = palette >> 24 != 255
    if not clear.any():
        return False
    if palette[clear].any():
        return True
    # All that is clear is 0, and so are entries that no file has filled: it counts if a pixel has it.
    rows = np.frombuffer(indices, np.uint8).reshape(frame.height, -1)[:, : frame.width]
    return bool(clear[np.unique(rows)].any())


def taken_in(frame: av.VideoFrame, before: Cousin | None) -> Cousin | None:
    """How a frame is taken in; as `cousin`, but a palette with opacity keeps it.

    Args:
        before: how the frames before it were. Palettes may become clear or opaque; the layout stays.
    """
    how = cousin(frame.format.name)
    if how is None or frame.format.name != "pal8":
        return how
    clear = cousin("rgba")
    if before is not None and clear is not None and before.layout in (how.layout, clear.layout):
        return before
    return clear if see_through(frame) else how


def _nearest(name: str) -> PixelLayout | None:
    """16-bit RGB for float, Bayer and other formats that no integer planar format matches."""
    try:
        components = av.VideoFormat(name).components
    except ValueError:
        return None
    if not components:
        return None
    grey = len(components) == 1 and not name.startswith("bayer")
    return PixelLayout.from_name("gray16le" if grey else "gbrp16le")


def read_planes(frame: av.VideoFrame, how: Cousin, reformatter: VideoReformatter) -> tuple[Plane, ...]:
    """Copies of the frame's planes, 2-D C-contiguous, without padding."""
    if frame.format.name in _SPREAD:
        if frame.format.name.endswith("be"):
            frame = reformatter.reformat(frame, format=frame.format.name[:-2] + "le", interpolation=ACCURATE)
        frame = reformatter.reformat(frame, format="rgb24", interpolation=ACCURATE)
    if how.repack:
        frame = reformatter.reformat(frame, format=how.layout.name, interpolation=ACCURATE)
    layout, planes = how.layout, []
    for i, plane in enumerate(frame.planes):
        rows, columns = layout.plane_shape(i, frame.height, frame.width)
        planes.append(np.array(_view(plane, layout, rows)[:, :columns], order="C"))
    return tuple(planes)


def _view(plane: av.video.plane.VideoPlane, layout: PixelLayout, rows: int) -> Plane:
    """The plane's memory as (rows, padded columns); bottom-up pictures are turned upright."""
    samples = np.frombuffer(plane, layout.dtype)  # type: ignore[call-overload]
    table: Plane = samples.reshape(rows, abs(plane.line_size) // np.dtype(layout.dtype).itemsize)
    return table[::-1] if plane.line_size < 0 else table


def allocate(width: int, height: int, name: str) -> av.VideoFrame:
    """A new frame in the format `name`."""
    return av.VideoFrame(width, height, name)


def fill_planes(frame: av.VideoFrame, planes: tuple[Plane, ...], layout: PixelLayout) -> None:
    """Write native planes into a frame of the same layout (or its yuvj twin), padding left alone.

    Raises:
        ValueError: if a plane has another shape than the frame's.
    """
    for i, (target, source) in enumerate(zip(frame.planes, planes, strict=True)):
        rows, columns = layout.plane_shape(i, frame.height, frame.width)
        _view(target, layout, rows)[:, :columns] = source


# Packed formats with fewer or more samples than their cousin: they hold it no longer exactly.
_NOT_TWINS = ("pal8", "mono", "ya", "rgb4", "bgr4", "rgb5", "bgr5", "rgb8", "bgr8")


@cache
def packed_twins(name: str) -> tuple[str, ...]:
    """Packed formats that hold exactly the samples of the planar format `name`."""
    return tuple(
        twin
        for twin in _COUSINS.get(name, "").split()
        if not twin.startswith(_NOT_TWINS) or twin in ("rgb48le", "bgr48le")
    )
