"""Why not a single frame of an input is of use, and what to do about it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..errors import InputError
from . import source
from .tiff import look

__all__ = ["interlaced", "is_animated_webp", "no_frame"]

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
            f"with ImageMagick (magick {picture} -coalesce shot.%04d.png) or WebP's anim_dump"
        )
    return InputError(
        f"{name}: no frame of video stream #{stream.index} could be decoded "
        f"({errors} errors); the file is damaged, copy it again"
    )


def interlaced(name: str) -> InputError:
    """The error to raise of an input whose frames are two half pictures each."""
    return InputError(
        f"{name} is interlaced, which magnification would turn into combs; "
        f"deinterlace it first, e.g. ffmpeg -i {name} -vf bwdif -c:v ffv1 progressive.mkv; "
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
