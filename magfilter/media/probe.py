"""What an input holds, as plain data that outlives the open file."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.stream import Disposition

from .frame import Colour, PixelLayout
from .hdr import HdrMetadata
from .hdr import parse as parse_hdr

__all__ = [
    "FIELD_ORDERS",
    "MediaInfo",
    "StreamInfo",
    "describe",
    "describe_streams",
    "fraction",
    "frame_rate",
]

FIELD_ORDERS = ("unknown", "progressive", "tt", "bb", "tb", "bt")


@dataclass(frozen=True)
class StreamInfo:
    """One stream of the input.

    Attributes:
        index: position in the file.
        type: "video", "audio", "subtitle", "data", "attachment" or "unknown".
        codec: FFmpeg's codec name, or None if unknown.
        language, title: tags, or None.
        attached_pic: whether it is cover art.
    """

    index: int
    type: str
    codec: str | None
    language: str | None
    title: str | None
    attached_pic: bool

    def __str__(self) -> str:
        parts = [
            f"#{self.index} {'cover art' if self.attached_pic else self.type}",
            self.codec or "unknown codec",
        ]
        if self.language:
            parts.append(f"[{self.language}]")
        return " ".join(parts)


@dataclass(frozen=True)
class MediaInfo:
    """The input as a whole and the video stream that is filtered.

    Attributes:
        source: path, URL or "-".
        format: FFmpeg's name of the container ("mov,mp4,m4a,3gp,3g2,mj2").
        streams: every stream, in file order.
        video: index of the stream that is filtered.
        codec: its codec.
        width, height: size in samples, before rotation.
        pixel_format: as stored ("nv12"); `layout` is what frames are given in.
        rate: average frames a second, or None.
        time_base: seconds per unit of pts.
        frames: how many frames are to be expected, or None.
        frames_exact: whether the container counts them; otherwise duration × rate.
        duration: seconds, or None.
        start_time: seconds at which the container begins.
        rotation: degrees counter-clockwise that a player turns the picture.
        display_matrix: the nine integers of the display matrix, or None.
        sar: sample aspect ratio, or None if unspecified.
        colour: the colour tags.
        field_order: "progressive", "tt", "bb", "tb", "bt" or "unknown".
        interlaced: whether the first frame is interlaced.
        hdr: HDR10 static metadata, or None.
        metadata: the container's tags.
    """

    source: str
    format: str
    streams: tuple[StreamInfo, ...]
    video: int
    codec: str
    width: int
    height: int
    pixel_format: str
    layout: PixelLayout
    rate: Fraction | None
    time_base: Fraction
    frames: int | None
    frames_exact: bool
    duration: float | None
    start_time: float
    rotation: int
    display_matrix: tuple[int, ...] | None
    sar: Fraction | None
    colour: Colour
    field_order: str
    interlaced: bool
    hdr: HdrMetadata | None
    metadata: dict[str, str] = field(hash=False)


def fraction(value: Any) -> Fraction | None:
    """A Fraction from PyAV's rational (Fraction in 18, AVRational in 19), None if unset."""
    return Fraction(value.numerator, value.denominator) if value else None


def frame_rate(stream: Any) -> Fraction | None:
    """Average frames a second, or None; a rate that only mirrors the time base does not count."""
    for rate in (fraction(stream.average_rate), fraction(stream.guessed_rate), fraction(stream.base_rate)):
        if rate and rate <= 10000:
            return rate
    return None


def describe_streams(streams: Iterable[Any]) -> tuple[StreamInfo, ...]:
    """StreamInfo of every stream of an open container."""
    return tuple(
        StreamInfo(
            s.index,
            s.type,
            _codec_name(s),
            s.metadata.get("language"),
            s.metadata.get("title"),
            bool(s.disposition & Disposition.attached_pic),
        )
        for s in streams
    )


def _codec_name(stream: Any) -> str | None:
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    if stream.type == "attachment":
        name: str | None = stream.metadata.get("mimetype") or stream.metadata.get("filename")
        return name
    return getattr(stream, "name", None)


def expected_frames(stream: Any, duration: float | None, rate: Fraction | None) -> tuple[int | None, bool]:
    """(frames, exact): the container's own count if it keeps one, otherwise duration × rate."""
    if stream.frames:  # AVI counts the gaps of a variable rate as well
        return int(stream.frames), stream.container.format.name != "avi"
    tag = next((v for k, v in stream.metadata.items() if k.startswith("NUMBER_OF_FRAMES")), "")
    if tag.isdigit():
        return int(tag), True
    if duration and rate:
        return round(duration * rate), False
    return None, False


def side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """The frame's side data by libav's name, such as "DISPLAYMATRIX"."""
    try:
        carried: Any = frame.side_data  # PyAV 18 iterates over the data, 19 over their types
    except ValueError:  # one of a type that PyAV does not know, such as EXIF: it then shows none
        return {}
    entries = (entry if hasattr(entry, "type") else carried[entry] for entry in carried)
    return {entry.type.name: bytes(entry) for entry in entries}


def describe(
    source: str, container: Any, stream: Any, first: av.VideoFrame, layout: PixelLayout, colour: Colour
) -> MediaInfo:
    """MediaInfo of an open container, given the first decoded frame of the stream that is filtered."""
    context = stream.codec_context
    time_base = fraction(stream.time_base) or Fraction(1, 90000)
    rate = frame_rate(stream)
    seconds = None
    if stream.duration:
        seconds = float(stream.duration * time_base)
    elif container.duration:
        seconds = container.duration / 1e6
    frames, exact = expected_frames(stream, seconds, rate)
    side = side_data(first)
    matrix = side.get("DISPLAYMATRIX")
    order = int(context.field_order)
    return MediaInfo(
        source=source,
        format=container.format.name,
        streams=describe_streams(container.streams),
        video=stream.index,
        codec=context.codec.canonical_name,
        width=first.width,
        height=first.height,
        pixel_format=first.format.name,
        layout=layout,
        rate=rate,
        time_base=time_base,
        frames=frames,
        frames_exact=exact,
        duration=seconds,
        start_time=(container.start_time or 0) / 1e6,
        rotation=first.rotation,
        display_matrix=struct.unpack("=9i", matrix[:36]) if matrix else None,
        sar=fraction(stream.sample_aspect_ratio),
        colour=colour,
        field_order=FIELD_ORDERS[order] if 0 <= order < len(FIELD_ORDERS) else "unknown",
        interlaced=bool(first.interlaced_frame),
        hdr=parse_hdr(side.get("MASTERING_DISPLAY_METADATA"), side.get("CONTENT_LIGHT_LEVEL")),
        metadata=dict(container.metadata),
    )
