"""Opacity that libav would drop without a word: VP8's and VP9's, which its own decoders do not know."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import av
import av.error

from ..printable import quoted

__all__ = ["decoder", "lost", "promised"]

TAG = "alpha_mode"  # of Matroska and WebM: "1" where a second picture with the opacity goes with every frame
# Decoders that read it, in builds of libav that have them.
_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_WITHOUT = "yuv420p"  # the only format that they know with opacity, without it


def promised(stream: Any) -> bool:
    """Whether a video stream says that it has opacity, of the kind that needs another decoder."""
    return stream.metadata.get(TAG) == "1" and stream.codec_context.codec.canonical_name in _DECODERS


def decoder(stream: Any) -> Any | None:
    """What decodes the stream's packets with their opacity; None if there is nothing, or nothing is needed."""
    own = stream.codec_context
    if not promised(stream) or own.pix_fmt != _WITHOUT:
        return None
    with suppress(ValueError, av.error.FFmpegError):  # this build has none
        context: Any = av.CodecContext.create(_DECODERS[own.codec.canonical_name], "r")
        context.extradata = own.extradata
        context.width, context.height = own.width, own.height
        for tag in ("color_range", "colorspace", "color_primaries", "color_trc"):  # the container's
            setattr(context, tag, getattr(own, tag))
        context.thread_count = own.thread_count
        context.open()
        return context
    return None


def lost(name: str, stream: Any) -> str:
    """What to say where the opacity did not come out."""
    with_it = _DECODERS[stream.codec_context.codec.canonical_name]
    return (
        f"{name}: opacity is lost, since it could not be decoded; if it matters, make pictures of it first: "
        f"ffmpeg -c:v {with_it} -i {quoted(name)} shot.%04d.png"
    )
