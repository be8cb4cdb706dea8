"""How often an animation plays, which libav does not tell of an input: read from the file, and said to the muxer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO

__all__ = ["loop_options", "plays"]

_MOST = 65535  # what muxers take
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def plays(name: str, format: str) -> int | None:
    """How many times an animation plays, 0 for ever; None of what is no animation, or cannot be read twice.

    Args:
        format: libav's name of the input's format.
    """
    read = _READERS.get(format)
    if read is None or not os.path.isfile(name):
        return None
    try:
        with open(name, "rb") as file:
            return read(file)
    except (OSError, IndexError):
        return None


def loop_options(format: str, times: int | None) -> dict[str, str]:
    """What to tell the muxer so that its file plays so many times; nothing where it is not known, or is no animation.

    GIF counts repetitions and has no count at all if it plays once; the others count how often it plays.
    """
    if times is None or format not in ("gif", "apng", "webp"):
        return {}
    if format == "gif":
        return {"loop": str(0 if times == 0 else -1 if times == 1 else min(times - 1, _MOST))}
    return {"plays" if format == "apng" else "loop": str(min(times, _MOST))}


def _of_gif(file: IO[bytes]) -> int | None:
    """From the application's block NETSCAPE2.0, which stands before the first picture."""
    head = file.read(13)
    if head[:3] != b"GIF":
        return None
    if head[10] & 0x80:
        file.seek(3 << ((head[10] & 7) + 1), os.SEEK_CUR)  # the table of colours
    while file.read(1) == b"!":
        kind = file.read(1)
        blocks = []
        while size := file.read(1)[0]:
            blocks.append(file.read(size))
        named = kind == b"\xff" and blocks and blocks[0] in (b"NETSCAPE2.0", b"ANIMEXTS1.0")
        if named and len(blocks) > 1 and blocks[1][0] == 1:
            times = int.from_bytes(blocks[1][1:3], "little")
            return times + 1 if times else 0
    return 1


def _of_png(file: IO[bytes]) -> int | None:
    """From the chunk acTL, which stands before the first picture; without it there is a single picture."""
    if file.read(8) != _PNG_HEAD:
        return None
    while head := file.read(8):
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"acTL":
            return int.from_bytes(file.read(8)[4:], "big")
        if kind == b"IDAT":
            return None
        file.seek(size + 4, os.SEEK_CUR)
    return None


_READERS: dict[str, Callable[[IO[bytes]], int | None]] = {"gif": _of_gif, "apng": _of_png}
