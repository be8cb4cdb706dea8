"""Files joined end to end: their times fall back where the next one begins, and are moved to go on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from . import probe
from .streams import is_picture

__all__ = ["Joins"]

_FALL = Fraction(1, 2)  # seconds; less is the untidiness of a muxer
_WAIT = 2  # seconds of the new part within which all streams should have begun
_MOST_WAITING = 1000  # packets
_MOV = "mov"  # its times are what its index and edit lists say, and cannot fall


@dataclass
class _Track:
    """A stream's times as demuxed, in seconds: of its last packet, and where that ends; and of the part that begins,
    if it has come to it, the first and the latest, and how many packets."""

    last: Fraction
    end: Fraction
    begin: Fraction | None = None
    now: Fraction | None = None
    count: int = 0


class Joins:
    """Moves packets that come after a fall of the demuxed times, of all streams alike.

    Where a stream's decoding time and presentation time both lie well before its last decoding time, which no
    reordering brings about, a new part begins. Packets are held back until every stream has come to it, so that all are
    moved by the same and none lies over its own end. A single stray time is no part.

    Attributes:
        count: parts that were moved; at: where the first of them begins, in seconds; fall: by how much it fell.
    """

    def __init__(self, format: str) -> None:
        self._possible = _MOV not in format.split(",")
        self._tracks: dict[int, _Track] = {}
        self._offset = Fraction(0)
        self._fallen: int | None = None  # the stream that began the new part
        self._waiting: list[tuple[Any, bool]] = []  # packets, and whether they are of the new part
        self.count = 0
        self.at = self.fall = 0.0

    def __call__(self, packet: Any) -> list[Any]:
        """The packets that are to go on, with times that go on."""
        if not self._possible or is_picture(packet.stream):
            return [packet]
        time = _time(packet)
        if time is None:
            if self._fallen is None:
                return [packet]
            self._waiting.append((packet, self._waiting[-1][1]))
            return []
        if self._fallen is None:
            if not self._falls(packet, time):
                self._note(packet, time)
                return [self._moved(packet)]
            self._fallen = packet.stream.index
        elif packet.stream.index == self._fallen and self._returns(time):
            self._note(packet, time)  # it is where it would have been: only one time was wrong
            self._waiting.append((packet, False))
            return self._forgotten()
        self._wait(packet, time)
        return self._decided() if self._enough() else []

    def rest(self) -> list[Any]:
        """What is still held back, at the end."""
        return self._decided() if self._fallen is not None else []

    def warnings(self, name: str) -> list[str]:
        """What to say of the input of this name, once all of it was read."""
        if not self.count:
            return []
        what = f"{name}: times fall back by {self.fall:.2f} seconds at {self.at:.2f}"
        what += f", and {self.count} times in all" if self.count > 1 else ""
        return [f"{what}, as in files joined end to end; what comes after is moved to go on from there"]

    def _falls(self, packet: Any, time: Fraction) -> bool:
        track = self._tracks.get(packet.stream.index)
        if track is None or packet.dts is None:
            return False
        return max(time, _seconds(packet, packet.pts) or time) < track.last - _FALL

    def _returns(self, time: Fraction) -> bool:
        """Whether the stream that began the new part leaps back to where it would be without."""
        assert self._fallen is not None
        track = self._tracks[self._fallen]
        return time > track.last - _FALL and track.now is not None and time > track.now + _FALL

    def _note(self, packet: Any, time: Fraction) -> None:
        """Remember where a stream of picture or sound has come to."""
        if packet.stream.type not in ("video", "audio") or packet.dts is None:
            return
        track = self._tracks.setdefault(packet.stream.index, _Track(time, time))
        length = _seconds(packet, packet.duration) or max(time - track.last, Fraction(0))
        track.last, track.end = time, max(track.end, time + length)

    def _wait(self, packet: Any, time: Fraction) -> None:
        """Hold a packet back, as one of the part whose present time it is nearer to."""
        assert self._fallen is not None
        track = self._tracks.get(packet.stream.index)
        first = self._tracks[self._fallen]
        now = time if first.now is None else first.now
        old = track.last if track else max(each.last for each in self._tracks.values())
        new = packet.stream.index == self._fallen or abs(time - now) < abs(time - old)
        if track and track.begin is not None:
            new = True
        if new and track:
            track.begin = time if track.begin is None else min(track.begin, time)
            track.now = time
            track.count += 1
        elif not new:
            self._note(packet, time)
        self._waiting.append((packet, new))

    def _enough(self) -> bool:
        """Whether all streams have come to the new part, or will not be waited for."""
        assert self._fallen is not None
        first = self._tracks[self._fallen]
        assert first.begin is not None
        assert first.now is not None
        if len(self._waiting) > _MOST_WAITING:
            return True
        through = all(track.begin is not None for track in self._tracks.values())
        return first.count > 1 and (through or first.now - first.begin > _WAIT)

    def _decided(self) -> list[Any]:
        """Move what was held back, and what comes after it."""
        assert self._fallen is not None
        begun = [track for track in self._tracks.values() if track.begin is not None]
        by = max(track.end - (track.begin or 0) for track in begun)
        if not self.count:
            first = self._tracks[self._fallen]
            assert first.begin is not None
            self.at, self.fall = float(first.begin + by + self._offset), float(first.end - first.begin)
        self.count += 1
        waiting, self._waiting, self._fallen = self._waiting, [], None
        moved = [self._moved(packet) for packet, new in waiting if not new]
        self._offset += by
        self._tracks.clear()
        for packet, new in waiting:
            if new:
                if (time := _time(packet)) is not None:
                    self._note(packet, time)
                moved.append(self._moved(packet))
        return moved

    def _forgotten(self) -> list[Any]:
        """Let what was held back go on as it came."""
        waiting, self._waiting, self._fallen = self._waiting, [], None
        for track in self._tracks.values():
            track.begin = track.now = None
            track.count = 0
        return [self._moved(packet) for packet, _ in waiting]

    def _moved(self, packet: Any) -> Any:
        base = probe.fraction(packet.time_base)
        if self._offset and base:
            ticks = round(self._offset / base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        return packet


def _time(packet: Any) -> Fraction | None:
    """When a packet is decoded, or else shown, in seconds as demuxed."""
    return _seconds(packet, packet.pts if packet.dts is None else packet.dts)


def _seconds(packet: Any, ticks: int | None) -> Fraction | None:
    base = probe.fraction(packet.time_base)
    return None if base is None or ticks is None else ticks * base
