"""Copied packets whose times do not rise: put a tick later, since muxers refuse them and the whole file with them."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from av.format import Flags

from ..errors import OutputError
from ..printable import quoted
from . import probe

__all__ = ["Rising", "beyond"]


class Rising:
    """Makes the decoding times of copied streams rise, in ticks of the output.

    Args:
        format: the output's muxer, as libav describes it; some take times that are the same.
    """

    def __init__(self, format: Any) -> None:
        self._same = bool(format.flags & Flags.ts_nonstrict.value)
        self._last: dict[int, int] = {}
        self._late: Counter[str] = Counter()

    def __call__(self, packet: Any, target: Any) -> None:
        """Correct a packet that goes to the stream `target` of an output whose header is written."""
        base, tick = probe.fraction(packet.time_base), probe.fraction(target.time_base)
        if base is None or tick is None or packet.dts is None:
            return
        dts = _rounded(packet.dts * base / tick)
        last = self._last.get(target.index)
        if last is not None:
            least = last if self._same or target.type not in ("audio", "video") else last + 1
            if dts < least:
                self._late[f"{target.type} stream #{target.index}"] += 1
                dts = least
                pts = dts if packet.pts is None else max(dts, _rounded(packet.pts * base / tick))
                packet.duration = _rounded((packet.duration or 0) * base / tick)
                packet.time_base, packet.pts, packet.dts = tick, pts, dts
            elif packet.pts is not None and packet.pts < packet.dts:
                packet.pts = packet.dts
        self._last[target.index] = dts

    @property
    def warnings(self) -> list[str]:
        """A line for every stream that was corrected."""
        return [
            f"{name}: the times of {count} packet{'s do' if count > 1 else ' does'} not rise; each is put one tick "
            "after the one before"
            for name, count in self._late.items()
        ]


def _rounded(value: Fraction) -> int:
    """To the nearest whole number as libav rounds: halves away from 0."""
    return int(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)


def beyond(name: str, source: str, format: str, seconds: float) -> OutputError:
    """What to raise where a muxer has no room for the time of a frame, of which libav says that it is not implemented.

    Args:
        name, format: of the output; source: of the input, whose time it is.
        seconds: the time.
    """
    return OutputError(
        f"{name} cannot be written: {format} does not hold the input's times, which jump to {seconds:.4g} seconds; "
        f"write .mkv, or give the frames regular times first: ffmpeg -i {quoted(source)} -vf setpts=N/FRAME_RATE/TB "
        "-c:v ffv1 regular.mkv"
    )
