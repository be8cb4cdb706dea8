"""Files joined end to end: their times fall back where the next one begins, and are moved to go on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from . import probe
from .streams import is_picture

__all__ = ["Joins"]

_FALL = Fraction(1, 2)  # seconds; less is the untidiness of a muxer
_WAIT = 5  # seconds of the new part within which all streams should have begun
_MOST_WAITING = 1000  # packets
_MOST_REORDERED = 16  # pictures that may be decoded before one that is shown before them, in any codec
_MOV = "mov"  # its times are what its index and edit lists say, and cannot fall


@dataclass
class _Track:
    """A stream's times as demuxed, in seconds: of its last packet, and where that ends; of the last packets, when they
    are shown; and of the part that begins, if it has come to it, the first and the latest, and how many packets."""

    last: Fraction
    end: Fraction
    shown: deque[Fraction] = field(default_factory=lambda: deque(maxlen=_MOST_REORDERED + 1))
    begin: Fraction | None = None
    now: Fraction | None = None
    count: int = 0


class Joins:
    """Moves packets that come after a fall of the demuxed times, of all streams alike.

    Where a stream's decoding time and presentation time both lie well before its last decoding time, and a picture's
    before those of more pictures than are ever reordered, a new part begins. Packets are held back until every stream
    has come to it, so that all are moved by the same and none lies over its own end. A single stray time is no part.

    Attributes:
        count: parts that were moved; at: where the first of them begins, in seconds; fall: by how much it fell.
    """

    def __init__(self, format: str) -> None:
        self._possible = _MOV not in format.split(",")
        self._tracks: dict[int, _Track] = {}
        self._offset = self._before = Fraction(0)  # of the part that comes, and of the one before
        self._left: dict[int, Fraction] = {}  # last times of streams that had not come to it then
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
            if self._belated(packet, time):
                return [self._moved(packet, self._before)]
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
        shown = _shown(packet, time)
        if max(time, shown) >= track.last - _FALL:
            return False
        if packet.stream.type == "audio":
            return True
        # Of some containers libav guesses decoding times, and wrongly where pictures are few and reordered.
        return len(track.shown) > _MOST_REORDERED and shown < min(track.shown)

    def _returns(self, time: Fraction) -> bool:
        """Whether the stream that began the new part leaps back to where it would be without."""
        assert self._fallen is not None
        track = self._tracks[self._fallen]
        return time > track.last - _FALL and track.now is not None and time > track.now + _FALL

    def _belated(self, packet: Any, time: Fraction) -> bool:
        """Whether a packet is still of the part before, of a stream that was not waited for."""
        last = self._left.pop(packet.stream.index, None)
        if last is None or abs(time - last) >= self._distance(time):
            return False
        self._left[packet.stream.index] = time
        return True

    def _distance(self, time: Fraction) -> Fraction:
        """From a time to where the part that comes has got."""
        return min((abs(time - track.last) for track in self._tracks.values()), default=Fraction(0))

    def _note(self, packet: Any, time: Fraction) -> None:
        """Remember where a stream of picture or sound has come to."""
        if packet.stream.type not in ("video", "audio") or packet.dts is None:
            return
        track = self._tracks.setdefault(packet.stream.index, _Track(time, time))
        length = _seconds(packet, packet.duration) or max(time - track.last, Fraction(0))
        track.shown.append(_shown(packet, time))
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
        self._before, self._offset = self._offset, self._offset + by
        self._left = {index: track.last for index, track in self._tracks.items() if track.begin is None}
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

    def _moved(self, packet: Any, offset: Fraction | None = None) -> Any:
        base, offset = probe.fraction(packet.time_base), self._offset if offset is None else offset
        if offset and base:
            ticks = round(offset / base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        return packet


def _time(packet: Any) -> Fraction | None:
    """When a packet is decoded, or else shown, in seconds as demuxed."""
    return _seconds(packet, packet.pts if packet.dts is None else packet.dts)


def _shown(packet: Any, time: Fraction) -> Fraction:
    """When a packet is shown, if it says, else the time given."""
    shown = _seconds(packet, packet.pts)
    return time if shown is None else shown


def _seconds(packet: Any, ticks: int | None) -> Fraction | None:
    base = probe.fraction(packet.time_base)
    return None if base is None or ticks is None else ticks * base
