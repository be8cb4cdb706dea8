"""TIFF beyond what libav tells: how many pages there are, of which it reads one, and how samples are stored.

Only the chain of directories is read, and a few tags of the first, so a stack of many GB costs a few reads.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["Tiff", "look"]

MOST_PAGES = 100_000  # a chain that is longer is told as so many
_MOST_ENTRIES = 65535  # of a directory
_MOST_TEXT = 4096  # bytes of a description that are read; ImageJ's begins with what counts

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION = 254, 255, 256, 257, 258, 259
_DESCRIPTION, _SAMPLES, _SAMPLE_FORMAT = 270, 277, 339
_UNCOMPRESSED = 1
_FLOAT = 3  # SampleFormat
_REDUCED = 2  # SubfileType: a thumbnail
_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_STACK = re.compile(rb"\AImageJ=[^\n]*\n(?:.*\n)*?images=(\d{1,9})\b")

Tags = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class Tiff:
    """What a TIFF file holds.

    Attributes:
        pages: pictures in it, thumbnails not counted; at most 100000 are counted.
        bits: of a sample of the first; 1 if it does not say.
        floating: whether those are floating-point numbers.
        compression: of the first, TIFF's number; 1 for none.
        big: whether it is a BigTIFF, with offsets of 64 bit.
    """

    pages: int
    bits: int
    floating: bool
    compression: int
    big: bool

    @property
    def unreadable(self) -> str:
        """Why libav decodes no picture of it, as far as can be told, and the remedy."""
        if self.floating or self.bits >= 32:
            kind = f"{self.bits}-bit {'float ' if self.floating else ''}pictures"
            return f"{kind} cannot be read; convert them to 16 bit (in ImageJ Image > Type > 16-bit)"
        if self.big:
            return "BigTIFF cannot be read; save it as ordinary TIFF, below 4 GB"
        return (
            f"no picture of this TIFF ({self.bits} bits a sample, compression {self.compression}) could be decoded; "
            "copy it again if it is damaged, or else save it uncompressed with 8 or 16 bits"
        )


def look(path: str) -> Tiff | None:
    """What the TIFF file (classic or BigTIFF) at `path` holds; None if it is none, or cannot be read."""
    if not os.path.isfile(path):  # what is read only once must be left to libav
        return None
    try:
        with open(path, "rb") as file:
            return _Chain(file).tiff()
    except (OSError, ValueError, struct.error):
        return None


class _Chain:
    """The directories of an open file, one after the other.

    Raises:
        ValueError: it is no TIFF.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        start = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(start[:2])
        version = struct.unpack(f"{order}H", start[2:4])[0] if order and len(start) >= 8 else 0
        if version not in (42, 43):
            raise ValueError("no TIFF")
        self._order = order
        self._big = version == 43
        self._offset = "Q" if self._big else "I"
        self._first = self._unpack(self._offset, start[8:] if self._big else start[4:8])[0]

    def tiff(self) -> Tiff:
        """All of it."""
        pages, at, seen = 0, self._first, set[int]()
        tags: Tags = {}
        described = 0
        # A damaged chain may lead back to where it was, or outside.
        while at and at not in seen and pages < MOST_PAGES:
            seen.add(at)
            try:
                found, text, at = self._directory(at, first=not pages)
            except struct.error:
                break
            if _is_thumbnail(found):
                continue
            pages += 1
            if pages == 1:
                tags, described = found, self._described(found, text)
        bits = max(tags.get(_BITS, (1,)))
        compression = tags.get(_COMPRESSION, (_UNCOMPRESSED,))[0]
        return Tiff(max(pages, described), bits, _FLOAT in tags.get(_SAMPLE_FORMAT, ()), compression, self._big)

    def _directory(self, at: int, first: bool) -> tuple[Tags, bytes, int]:
        """(tags, description if it is the `first`, where the next one lies or 0) of the one at byte `at`.

        Raises:
            struct.error: it does not lie within the file.
        """
        count_code, entry_size = ("Q", 20) if self._big else ("H", 12)
        count = self._unpack(count_code, self._read(at, struct.calcsize(count_code)))[0]
        at += struct.calcsize(count_code)
        if count > _MOST_ENTRIES:
            raise struct.error("more entries than there are tags")
        wanted = {_NEW_SUBFILE_TYPE, _SUBFILE_TYPE}
        if first:
            wanted |= {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _DESCRIPTION, _SAMPLES, _SAMPLE_FORMAT}
        data = self._read(at, count * entry_size + struct.calcsize(self._offset))
        tags: Tags = {}
        text = b""
        for start in range(0, count * entry_size, entry_size):
            entry = data[start : start + entry_size]
            tag, kind = self._unpack("HH", entry[:4])
            if tag not in wanted:
                continue
            if tag == _DESCRIPTION:
                text = self._value(kind, entry)[0]
            elif kind in _CODES:
                value, number = self._value(kind, entry)
                if number:
                    tags[tag] = self._unpack(_CODES[kind] * number, value)
        return tags, text, self._unpack(self._offset, data[count * entry_size :])[0]

    def _value(self, kind: int, entry: bytes) -> tuple[bytes, int]:
        """(the bytes of an entry's value, how many numbers those are), cut to `_MOST_TEXT` bytes."""
        room = struct.calcsize(self._offset)
        count = self._unpack(self._offset, entry[4 : 4 + room])[0]
        width = _WIDTHS.get(kind, 1)
        number = min(count, _MOST_TEXT // width)
        if count * width <= room:
            return entry[4 + room :][: number * width], number
        return self._read(self._unpack(self._offset, entry[4 + room :])[0], number * width), number

    def _described(self, tags: Tags, text: bytes) -> int:
        """Pictures of a stack of which ImageJ wrote one directory, as it does above 4 GB: they lie one after another.

        0 unless the file has room for them: programs that write one picture of a stack may keep its description.
        """
        match = _STACK.match(text)
        if match is None or tags.get(_COMPRESSION, (_UNCOMPRESSED,))[0] != _UNCOMPRESSED:
            return 0
        pixels = tags.get(_WIDTH, (0,))[0] * tags.get(_HEIGHT, (0,))[0] * tags.get(_SAMPLES, (1,))[0]
        bytes_each = pixels * max(tags.get(_BITS, (1,))) // 8
        return int(match[1]) if 0 < bytes_each * int(match[1]) <= self._size else 0

    def _read(self, at: int, size: int) -> bytes:
        """Bytes from `at` on. Raises struct.error where the file ends before."""
        if at + size > self._size:
            raise struct.error("outside the file")
        self._file.seek(at)
        return self._file.read(size)

    def _unpack(self, codes: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(f"{self._order}{codes}", data)


def _is_thumbnail(tags: Tags) -> bool:
    return bool(tags.get(_NEW_SUBFILE_TYPE, (0,))[0] & 1) or tags.get(_SUBFILE_TYPE, (0,))[0] == _REDUCED
