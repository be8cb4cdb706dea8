"""Why not a single frame of an input is of use, and what to do about it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import av
import av.error
import av.logging

from ..errors import InputError
from ..printable import quoted
from . import source
from .tiff import look

__all__ = ["decoders_words", "interlaced", "is_animated_webp", "no_frame"]

SHOWN = 200  # characters of what libav says
_SIZE = re.compile(r"Picture size (\d+x\d+) is invalid")
_ANIMATED = 0x02  # flag of WebP's VP8X chunk


def no_frame(name: str, picture: str, container: Any, stream: Any, errors: int, device: str | None) -> InputError:
    """The error to raise.

    Args:
        name: of the input; picture: the file that was read first, which of an image sequence is its first picture.
        container, stream: what is open.
        errors: packets that could not be decoded.
        device: on which it was to be decoded, if that was asked for.
    """
    if not errors:
        return InputError(f"{name}: video stream #{stream.index} holds no frame; check how it was made")
    if device is not None:
        return InputError(
            f"{name}: no frame of video stream #{stream.index} could be decoded on {device} "
            f"({errors} errors); use --hwaccel none, or auto"
        )
    if source.is_live(name) and "mp4" in container.format.name:
        return InputError(
            f"{name}: no frame could be decoded; in MP4 and MOV the index often stands at the end, to which "
            "a pipe cannot go and come back: name the file, or write it with ffmpeg -c copy -movflags +faststart"
        )
    if tiff := look(picture):
        return InputError(f"{name}: {tiff.unreadable}")
    if is_animated_webp(picture):
        return InputError(
            f"{name} is an animated WebP, which libav cannot decode; make it pictures first, "
            f"with ImageMagick (magick {quoted(picture)} -coalesce shot.%04d.png) or WebP's anim_dump"
        )
    none = f"{name}: no frame of video stream #{stream.index} could be decoded"
    said = "" if source.is_live(name) else decoders_words(picture, stream)
    if size := _SIZE.search(said):
        return InputError(f"{none}: libav reads no pictures of {size[1]}; make it smaller, or cut it into parts")
    if "unsupported" in said or "not supported" in said or "patches welcome" in said:
        return InputError(f"{none}: libav says: {said}; convert it first with what wrote it")
    more = f", libav says: {said}" if said else ""
    return InputError(f"{none} ({errors} errors{more}); the file is damaged, copy it again")


def decoders_words(picture: str, stream: Any) -> str:
    """What libav says, in a line, of why a file's video cannot be decoded; empty if nothing.

    It is opened once more: while packets are read on from a damaged file, nobody keeps what is said of each.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    error: Exception | None = None
    try:
        with av.logging.Capture() as logs, av.open("file:" + picture, **source.TAG_ERRORS) as container:
            next(container.decode(container.streams[stream.index]), None)
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as failure:
        error = failure
    finally:
        av.logging.set_level(level)
    lines = [text.strip() for severity, _, text in logs if severity <= av.logging.ERROR and text.strip()]
    lines.sort(key=lambda text: not _SIZE.search(text))  # of several, the one that names the size
    said = lines[0] if lines else ""
    if isinstance(error, av.error.PatchWelcomeError):
        said = f"{said}: {error.strerror}" if said else str(error.strerror)
    return " ".join(said.split())[:SHOWN]


def interlaced(name: str) -> InputError:
    """The error to raise of an input whose frames are two half pictures each."""
    return InputError(
        f"{name} is interlaced, which magnification would turn into combs; "
        f"deinterlace it first, e.g. ffmpeg -i {quoted(name)} -vf bwdif -c:v ffv1 progressive.mkv; "
        "what is only said to be interlaced takes magfilter --progressive, or -vf setfield=prog in place of bwdif"
    )


def is_animated_webp(name: str) -> bool:
    """Whether a file is a WebP of several pictures, by its own header."""
    if source.is_live(name):  # to be read only once
        return False
    with suppress(OSError, ValueError), open(name, "rb") as file:
        head = file.read(21)
        return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20:21] and head[20] & _ANIMATED)
    return False
