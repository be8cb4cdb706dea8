"""Which encoder, which pixel format and which options: decided before the first frame."""

from __future__ import annotations

import contextlib
import difflib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any

import av
import av.error
import av.logging

from ..errors import OutputError
from . import pixels
from .colour import is_full_range, resolved_matrix
from .encoder_options import EncodeOptions, encoder_options, lookahead, private_options
from .frame import Colour, PixelLayout
from .hdr import HdrMetadata, encoder_parameters
from .source import reason
from .survival import survivors

__all__ = ["EncodeOptions", "EncoderPlan", "check_names", "plan_encoder"]

_LIMITED, _FULL = 1, 2  # FFmpeg's AVColorRange
_UNSPECIFIED = 2  # AVColorSpace
_RAW_FORMATS = {"yuv4mpegpipe", "nut", "rawvideo"}
# Pixel formats that encoders name and then refuse, in this build or without -strict experimental, by how they begin.
_REFUSED = {"libx265": ("yuva", "gbrap"), "libvpx-vp9": ("gbrap", "yuva422", "yuva444")}
# Encoders that write to stderr themselves, past libav's log, by how they begin.
_TALKING = ("libx264", "libx265", "libsvtav1")
# Encoders whose decoders take one matrix for granted.
_ONE_MATRIX = ("dnxhd",)
# Codecs that hold grey as YUV without chroma, which players take for limited range unless it says that it is full.
_GREY_AS_YUV = ("h264", "hevc")
# Default encoders of containers that hold little else.
_ONLY = {"gif": "gif", "apng": "apng", "webp": "libwebp_anim", "mxf": "mpeg2video"}
# What its muxer has a code for; others it refuses.
_RAW_IN_MATROSKA = ("yuv410p", "yuv411p", "yuv420p", "yuv422p", "gray")
_DNXHR_LEAST = (256, 120)  # px; smaller pictures it does not take
# Encoders to name where another one refuses a picture: what is tried, in this order.
_SUGGESTED = ("ffv1", "libx264", "ffvhuff", "png")
# Codecs whose time base must be a frame rate, and containers that know no other.
_FIXED_RATE_CODECS = {
    "mpeg4",
    "mpeg1video",
    "mpeg2video",
    "msmpeg4",
    "msmpeg4v2",
    "h263",
    "wmv1",
    "wmv2",
    "dnxhd",
}
_FIXED_RATE_FORMATS = {"image2", "avi", "yuv4mpegpipe", "mxf", "mxf_opatom", "rawvideo", "h264", "hevc"}


def check_names(options: EncodeOptions) -> None:
    """Refuse an encoder or pixel format that does not exist, before any input is opened.

    Raises:
        OutputError: no such encoder; OptionError: no such pixel format.
    """
    if options.codec is not None:
        _find(options.codec)
    if options.pix_fmt is not None:
        pixels.check_name(options.pix_fmt)


@dataclass
class EncoderPlan:
    """Everything needed to open the encoder.

    Attributes:
        codec: encoder name.
        pix_fmt: pixel format it is given.
        layout: layout of the frames that come in.
        size: (width, height).
        colour: tags to write.
        options: encoder options.
        fixed_rate: whether times are counted in whole frames.
        warnings: lines for the user.
    """

    codec: str
    pix_fmt: str
    layout: PixelLayout
    size: tuple[int, int]
    colour: Colour
    options: dict[str, str]
    fixed_rate: bool
    threads: int
    warnings: list[str] = field(default_factory=list)


def plan_encoder(
    options: EncodeOptions,
    format: str,
    pipe: bool,
    layout: PixelLayout,
    size: tuple[int, int],
    colour: Colour,
    hdr: HdrMetadata | None,
    sar: Fraction | None = None,
) -> EncoderPlan:
    """Decide on encoder, pixel format and options, and prove that the encoder opens.

    Args:
        options: the user's wishes.
        format: muxer name.
        pipe: whether the output is a pipe, which wants low latency.
        layout, size, colour: of the frames to come; size is (width, height).
        hdr: HDR10 metadata to carry over, or None.
        sar: aspect ratio of the pixels, or None.

    Raises:
        OutputError: no such encoder, or it does not take this picture.
        OptionError: crf, preset or another option does not fit the encoder.
    """
    warnings: list[str] = []
    wanted = layout
    if options.pix_fmt is not None:
        pixels.check_name(options.pix_fmt)
        how = pixels.cousin(options.pix_fmt)
        wanted = how.layout if how else layout
    codec = options.codec or _default_codec(format, pipe, wanted, size, options.pix_fmt is None, warnings)
    encoder = _find(codec)
    codec = encoder.name
    supported = pixels.y4m_formats() if format == "yuv4mpegpipe" else [f.name for f in encoder.video_formats or []]
    if options.pix_fmt is None and codec in _REFUSED:
        supported = [name for name in supported if not name.startswith(_REFUSED[codec])]
    if (format == "image2" or codec == "mjpeg") and options.pix_fmt is None:
        supported = _picture_formats(supported)
    pix_fmt, loss = pixels.choose(layout, supported, options.pix_fmt, codec)
    if loss:
        warnings.append(f"{layout.name} is encoded as {pix_fmt} ({loss}); choose another with -c:v or --pix-fmt")
    _check_size(codec, pix_fmt, size)
    if encoder.canonical_name in _GREY_AS_YUV and layout.kind == "gray" and is_full_range(colour, layout):
        colour = Colour(_FULL, colour.matrix, colour.primaries, colour.transfer)
    plan = EncoderPlan(
        codec=codec,
        pix_fmt=pix_fmt,
        layout=layout,
        size=size,
        colour=pixels.output_colour(layout, pix_fmt, colour, resolved_matrix(colour, size[1])),
        options=encoder_options(options, codec, format, pix_fmt),
        fixed_rate=codec in _FIXED_RATE_CODECS or format in _FIXED_RATE_FORMATS,
        threads=options.threads,
        warnings=warnings,
    )
    plan.options |= lookahead(codec, plan.options, size, layout.depth)
    if hdr is not None:
        _add_hdr(plan, hdr)
    _prove(plan, options)
    _check_tags(plan, format, sar)
    return plan


def _check_tags(plan: EncoderPlan, format: str, sar: Fraction | None) -> None:
    """Change the range and the matrix to what a file can say they are; tell of an aspect ratio that is lost."""
    how = pixels.cousin(plan.pix_fmt)
    full = plan.colour.range == _FULL and how is not None and how.layout.kind == "yuv" and not how.full_range
    oblong = sar is not None and sar != 1
    found = survivors(plan, format, sar, configure) if full or oblong or plan.codec in _ONE_MATRIX else None
    if found is None:
        return
    matrix = resolved_matrix(plan.colour, plan.size[1])
    if plan.codec in _ONE_MATRIX and found.matrix not in (matrix, _UNSPECIFIED):
        plan.colour = Colour(plan.colour.range, found.matrix, plan.colour.primaries, plan.colour.transfer)
        plan.warnings.append(f"colours are recoded with the matrix of BT.709, the only one that {plan.codec} holds")
    where = f"{plan.codec} in {format}"
    if full and found.range != _FULL:
        plan.colour = Colour(_LIMITED, plan.colour.matrix, plan.colour.primaries, plan.colour.transfer)
        plan.warnings.append(
            f"full range becomes limited range, since {where} cannot say that it is full; "
            + ("-f matroska keeps it" if format == "nut" else "-c:v ffv1 with .mkv keeps it")
        )
    if oblong and sar and (found.sar is None or not 0.99 < found.sar / sar < 1.01):
        width, height = plan.size
        shape = (sar * width / height).limit_denominator(1000)
        # Most containers have a place, but PyAV lets nobody write there: it goes where the encoder puts it, or nowhere.
        ratio = (
            f"the pixel aspect ratio {sar.numerator}:{sar.denominator} is left out, since PyAV writes none for {where}"
        )
        aspect = f"-aspect {shape.numerator}:{shape.denominator}"
        if format == "yuv4mpegpipe":
            advice = f"give it to the file afterwards: ffmpeg -i OUT -strict -1 {aspect} FIXED.y4m"
        elif format == "mxf":
            advice = "-c:v libx264 keeps it"
        else:
            advice = f"-c:v libx264 keeps it, or give it to the file afterwards: ffmpeg -i OUT -c copy {aspect} FIXED"
        plan.warnings.append(f"{ratio}; {advice}")


def _default_codec(
    format: str, pipe: bool, layout: PixelLayout, size: tuple[int, int], native: bool, warnings: list[str]
) -> str:
    if format in _RAW_FORMATS or (format == "matroska" and pipe):
        return "rawvideo" if format != "matroska" or layout.name in _RAW_IN_MATROSKA else "ffv1"
    if format == "webm":
        return "libsvtav1" if layout.depth > 8 else "libvpx-vp9"
    if format == "mxf" and size[0] >= _DNXHR_LEAST[0] and size[1] >= _DNXHR_LEAST[1]:
        return "dnxhd"
    if format in _ONLY:
        return _ONLY[format]
    if format == "hevc":
        return "libx265"
    if layout.depth > 12:
        raise OutputError(
            f"{layout.name} is deeper than the default encoders (12 bit); "
            f"use -c:v ffv1 with .mkv, or --pix-fmt yuv422p10le"
        )
    if layout.kind == "rgb" and layout.depth == 8:
        if native:
            warnings.append("RGB is encoded as RGB H.264, which few players show; --pix-fmt yuv420p suits more of them")
        return "libx264rgb"
    if layout.depth > 10 or layout.kind == "rgb":
        return "libx265"
    return "libx264"


def _picture_formats(supported: Sequence[str]) -> list[str]:
    """What programs read of pictures: RGB and grey; of JPEG the full range."""
    kinds = {name: how.layout.kind for name in supported if (how := pixels.cousin(name))}
    plain = [name for name, kind in kinds.items() if kind != "yuv"]
    return plain or [name for name in supported if name.startswith("yuvj")] or list(supported)


@cache
def _video_encoders() -> tuple[str, ...]:
    names = []
    for name in av.codecs_available:
        try:
            codec = av.Codec(name, "w")
        except ValueError:
            continue
        if codec.type == "video":
            names.append(name)
    return tuple(sorted(names))


def _find(name: str) -> av.Codec:
    try:
        codec = av.Codec(name, "w")
    except ValueError:
        codec = None
    if codec is None or codec.type != "video":
        close = difflib.get_close_matches(name, _video_encoders(), 3, 0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "libx264, libx265, ffv1 and prores_ks are there"
        raise OutputError(f"unknown video encoder '{name}'; {hint}")
    return codec


def _check_size(codec: str, pix_fmt: str, size: tuple[int, int]) -> None:
    how = pixels.cousin(pix_fmt)
    if how is None or codec not in ("libx264", "libx265"):
        return
    width, height = size
    odd = [
        f"{name} {value}"
        for name, value, log2 in (
            ("width", width, how.layout.log2_chroma_w),
            ("height", height, how.layout.log2_chroma_h),
        )
        if value % (1 << log2)
    ]
    if odd:
        full = how.layout.name.replace("420", "444").replace("422", "444")
        raise OutputError(
            f"{codec} cannot encode {pix_fmt} with an odd {' and '.join(odd)}; use --pix-fmt {full} or -c:v ffv1"
        )


def _add_hdr(plan: EncoderPlan, hdr: HdrMetadata) -> None:
    parameters = encoder_parameters(plan.codec, hdr)
    if parameters is None:
        plan.warnings.append(
            f"{plan.codec} cannot carry the HDR10 mastering metadata, which is left out; use -c:v libx265 to keep it"
        )
        return
    name, value = parameters
    plan.options[name] = ":".join(part for part in (value, plan.options.get(name)) if part)


def _prove(plan: EncoderPlan, asked: EncodeOptions) -> None:
    """Open the encoder once for nothing, so that a wrong option fails now and by name."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 otherwise greets on stderr
    error, log, unused = _try_open(plan, plan.options)
    if error is not None and plan.codec == "ffv1" and "slices" not in plan.options:
        # Of pictures a few pixels wide or high it finds no number of slices by itself. One suits any.
        fewer = _try_open(plan, {**plan.options, "slices": "1"})
        if fewer[0] is None:
            plan.options["slices"] = "1"
            error, log, unused = fewer
    if error is None:
        unused = [name for name in unused if name in dict(asked.options)]
        if unused:
            close = difflib.get_close_matches(unused[0], sorted(private_options(plan.codec)), 1)
            hint = f"did you mean {close[0]}?" if close else f"see ffmpeg -h encoder={plan.codec}"
            raise OutputError(f"{plan.codec} has no option '{unused[0]}'; {hint}")
        return
    mine = {"crf": asked.crf, "preset": asked.preset, **dict(asked.options)}
    for name in [key for key, value in mine.items() if value is not None]:
        alone, log_alone, _ = _try_open(plan, {name: plan.options[name]})
        if alone is not None:
            raise OutputError(
                f"{plan.codec} rejects {name}={plan.options[name]}: {log_alone or reason(alone)}; choose another value"
            )
    width, height = plan.size
    raise OutputError(
        f"{plan.codec} cannot encode {width}x{height} {plan.pix_fmt}: {log or reason(error)}; "
        f"use another encoder with -c:v{_another(plan, asked)}"
    )


def _another(plan: EncoderPlan, asked: EncodeOptions) -> str:
    """ ", such as " and an encoder that takes this picture; empty if none is found."""
    for codec in _SUGGESTED:
        if codec == plan.codec:
            continue
        with contextlib.suppress(OutputError, ValueError):
            names = [f.name for f in _find(codec).video_formats or []]
            pix_fmt, loss = pixels.choose(plan.layout, names, asked.pix_fmt, codec)
            if not loss and _try_open(replace(plan, codec=codec, pix_fmt=pix_fmt), {})[0] is None:
                return f", such as {codec}"
    return ""


# stderr and libav's log level are the whole process's: two threads would restore what the other had set.
_SHARED = threading.Lock()


@contextlib.contextmanager
def _hushed(codec: str) -> Iterator[list[Any]]:
    """Yields the list that libav's errors go to; they are not shown meanwhile. One thread at a time."""
    with _SHARED:
        level = av.logging.get_level()
        mute = _mute_stderr() if codec.startswith(_TALKING) else contextlib.nullcontext()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as logs, mute:
                yield logs
        finally:
            av.logging.set_level(level)


@contextlib.contextmanager
def _mute_stderr() -> Iterator[None]:
    """x264 complains of a wrong preset or tune on stderr, past libav's log; our own line says it."""
    try:
        saved = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _try_open(plan: EncoderPlan, options: dict[str, str]) -> tuple[Exception | None, str, list[str]]:
    """(error or None, the encoder's own last words, options that nobody took)."""
    context: Any = av.CodecContext.create(plan.codec, "w")
    configure(context, plan, Fraction(1, 25), Fraction(25))
    context.thread_count = 1
    context.options = dict(options)
    with _hushed(plan.codec) as logs:
        try:
            context.open()
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            said = [text.strip() for severity, _, text in logs if severity <= av.logging.ERROR and text.strip()]
            return error, said[0].replace("\n", " ") if said else "", []
    return None, "", list(context.options)


def configure(context: Any, plan: EncoderPlan, time_base: Fraction, rate: Fraction) -> None:
    """Set an encoder up for `plan`; `time_base` in seconds per tick, `rate` in frames a second."""
    context.width, context.height = plan.size
    context.pix_fmt = plan.pix_fmt
    context.time_base = time_base
    context.framerate = rate
    context.color_range = plan.colour.range
    context.colorspace = plan.colour.matrix
    context.color_primaries = plan.colour.primaries
    context.color_trc = plan.colour.transfer
    context.thread_count = plan.threads
    context.flags |= av.codec.context.Flags.frame_duration.value
