"""Packets in file order, with times that go on, whatever the file is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av.error

from .joins import Joins

__all__ = ["Demuxed"]

# After this many failures in a row without a packet, the rest of the file is given up.
_RETRIES = 8


class Demuxed:
    """The packets of an open container. After a read error demuxing goes on until nothing comes any more.

    Attributes:
        errors: reads that failed so far; reached: s, where the last packet so far ends.
    """

    def __init__(self, container: Any) -> None:
        self._container = container
        self._joins = Joins(container.format.name)
        self.errors = 0
        self.reached = 0.0

    def __iter__(self) -> Iterator[Any]:
        failures = 0
        while failures < _RETRIES:
            try:
                for packet in self._container.demux():
                    if packet.size == 0 and packet.dts is None:
                        continue  # PyAV's mark that a stream has ended
                    failures = 0
                    yield from self._noted(self._joins(packet))
                break
            except av.error.FFmpegError:
                self.errors += failures == 0
                failures += 1
        yield from self._noted(self._joins.rest())

    def _noted(self, packets: list[Any]) -> Iterator[Any]:
        for packet in packets:
            if packet.pts is not None and packet.time_base:
                self.reached = max(self.reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            yield packet

    def warnings(self, name: str) -> list[str]:
        """What to say of the input of this name, once all of it was read."""
        return self._joins.warnings(name)
