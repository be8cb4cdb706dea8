"""Packets of the streams that are not filtered: handed over as they are, with their times trimmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import probe
from .streams import is_picture
from .timing import Window

__all__ = ["CopiedPacket", "trimmed"]


@dataclass(frozen=True)
class CopiedPacket:
    """A packet of a stream that is not filtered, with its times already trimmed.

    Attributes:
        packet: the libav packet, in its input stream's time base.
        stream: index of its stream in the input.
        time: presentation time in seconds, or None.
    """

    packet: Any
    stream: int
    time: float | None


def trimmed(packet: Any, window: Window) -> CopiedPacket | None:
    """The packet with its times counted from the window's beginning, or None if it lies outside."""
    base = probe.fraction(packet.time_base) or probe.fraction(packet.stream.time_base)
    ticks = packet.pts if packet.pts is not None else packet.dts
    if base is None or ticks is None or (window.begin is None and window.end is None):
        return CopiedPacket(packet, packet.stream.index, None if base is None or ticks is None else float(ticks * base))
    if is_picture(packet.stream):
        return CopiedPacket(packet, packet.stream.index, None)
    if window.after(ticks, base):
        return None
    shift = window.shift(base)
    if window.before(ticks, base):
        left = ticks + (packet.duration or 0) - shift
        if packet.stream.type != "subtitle" or left <= 0:
            return None
        packet.pts = packet.dts = 0  # a subtitle that is on screen at the start stays there
        packet.duration = left
    else:
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
    return CopiedPacket(packet, packet.stream.index, float((ticks - shift) * base))
