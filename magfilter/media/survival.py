"""What of a picture's tags an encoder and a container keep together: tried out on a grey frame in memory.

Encoders do not say, and what ends up in a file depends on both: ProRes is limited range by definition, FFV1 has no
place for the range, but Matroska has one for it; and so on.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.error

from .source import TAG_ERRORS

__all__ = ["Survivors", "survivors"]

FRAMES = 2
_NO_HEADER = ("rawvideo",)  # nothing says what is in there; whoever reads it does
_NO_FILE: Any = av.format.Flags.no_file.value  # muxers that write files of their own, where they please
_RATE = Fraction(25)


class Survivors(NamedTuple):
    """What a reader is told: AVColorRange's and AVColorSpace's values, 0 and 2 if nothing, and the pixels' aspect
    ratio, None if nothing."""

    range: int
    matrix: int
    sar: Fraction | None


def survivors(
    plan: Any, format: str, sar: Fraction | None, configure: Callable[[Any, Any, Fraction, Fraction], None]
) -> Survivors | None:
    """What is read of a file that was written as planned. None where that cannot be told.

    Args:
        plan: an `EncoderPlan`.
        format: the muxer's name.
        sar: the aspect ratio of the pixels.
        configure: sets an encoder up for a plan, with seconds a tick and frames a second.
    """
    muxer: Any = av.format.ContainerFormat(format, "w")
    if format in _NO_HEADER or muxer.flags & _NO_FILE:
        return None
    with suppress(av.error.FFmpegError, ValueError, OSError, StopIteration), av.logging.Capture():
        memory = io.BytesIO()
        width, height = plan.size
        with av.open(memory, "w", format=format, container_options={"strict": "-1"}) as output:
            stream: Any = output.add_stream(plan.codec, rate=_RATE)
            configure(stream.codec_context, plan, 1 / _RATE, _RATE)
            stream.codec_context.options = dict(plan.options)
            if sar:
                stream.codec_context.sample_aspect_ratio = sar
            for number in range(FRAMES):
                frame = av.VideoFrame(width, height, plan.pix_fmt)
                for plane in frame.planes:
                    plane.update(b"\x10" * plane.buffer_size)
                frame.color_range, frame.colorspace = plan.colour.range, plan.colour.matrix
                frame.pts, frame.time_base = number, 1 / _RATE
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        memory.seek(0)
        with av.open(memory, format=_demuxer(format), **TAG_ERRORS) as container:
            found: Any = container.streams.video[0]
            first: Any = next(container.decode(found))
            told = found.codec_context.color_range or first.color_range
            matrix = int(first.colorspace)
            ratio = found.sample_aspect_ratio or found.codec_context.sample_aspect_ratio
            return Survivors(int(told or 0), matrix, Fraction(ratio.numerator, ratio.denominator) if ratio else None)
    return None


def _demuxer(format: str) -> str | None:
    """The name by which libav reads what it wrote as `format`; None where it must guess."""
    with suppress(ValueError):
        if av.format.ContainerFormat(format, "r").is_input:
            return format
    return None
