"""Which encoder, which pixel format and which options: decided before the first frame."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import av
import av.error
import av.logging

from ..errors import OptionError, OutputError
from . import pixels
from .colour import resolved_matrix
from .frame import Colour, PixelLayout
from .hdr import HdrMetadata, encoder_parameters
from .source import reason

__all__ = ["EncodeOptions", "EncoderPlan", "check_names", "plan_encoder"]

# Near-transparent quality at a sane size, by eye, in each encoder's own unit.
_DEFAULT_CRF = {"libx264": 18, "libx264rgb": 18, "libx265": 20, "libvpx-vp9": 24, "libsvtav1": 24}
_MAX_CRF = {"libx264": 51, "libx264rgb": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63}
_DEFAULT_OPTIONS = {
    "libx264": {"preset": "medium"},
    "libx264rgb": {"preset": "medium"},
    "libx265": {"preset": "medium", "x265-params": "log-level=error"},
    "libvpx-vp9": {"deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "libsvtav1": {"preset": "8"},
    "ffv1": {"level": "3"},
}
# Frames that x264 looks ahead by its presets. It keeps each with what it makes of it, 2.8 times a frame's samples.
_X264_AHEAD = {"ultrafast": 0, "superfast": 0, "veryfast": 10, "faster": 20, "fast": 30, "medium": 40}
_X264_AHEAD_SLOW = 60
_X264_KEEPS = 2.8
_X264_ROOM = 256e6  # bytes; all of 40 frames up to 1080p in 8 bits, five in 4K and 10 bits
_RAW_FORMATS = {"yuv4mpegpipe", "nut", "rawvideo"}
# Pixel formats that encoders name and then refuse, in this build or without -strict experimental, by how they begin.
_REFUSED = {"libx265": ("yuva", "gbrap"), "libvpx-vp9": ("gbrap", "yuva422", "yuva444")}
# Default encoders of containers that hold little else.
_ONLY = {"gif": "gif", "apng": "apng", "webp": "libwebp_anim", "mxf": "mpeg2video"}
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


@dataclass(frozen=True)
class EncodeOptions:
    """What the user asked of the encoder; None leaves the choice to magfilter.

    Attributes:
        codec: FFmpeg's encoder name.
        crf: constant quality, in the encoder's own unit.
        preset: speed preset, by the encoder's own name.
        options: further (name, value) pairs for the encoder.
        pix_fmt: pixel format to encode.
        format: muxer, needed where the target has no telling suffix.
        threads: encoder threads, 0 for the encoder's own choice.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    pix_fmt: str | None = None
    format: str | None = None
    threads: int = 0


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
) -> EncoderPlan:
    """Decide on encoder, pixel format and options, and prove that the encoder opens.

    Args:
        options: the user's wishes.
        format: muxer name.
        pipe: whether the output is a pipe, which wants low latency.
        layout, size, colour: of the frames to come; size is (width, height).
        hdr: HDR10 metadata to carry over, or None.

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
    codec = options.codec or _default_codec(format, pipe, wanted, options.pix_fmt is None, warnings)
    encoder = _find(codec)
    codec = encoder.name
    supported = pixels.y4m_formats() if format == "yuv4mpegpipe" else [f.name for f in encoder.video_formats or []]
    if options.pix_fmt is None and codec in _REFUSED:
        supported = [name for name in supported if not name.startswith(_REFUSED[codec])]
    if format == "image2" and options.pix_fmt is None:
        supported = _picture_formats(supported)
    pix_fmt, loss = pixels.choose(layout, supported, options.pix_fmt, codec)
    if loss:
        warnings.append(f"{layout.name} is encoded as {pix_fmt} ({loss}); choose another with -c:v or --pix-fmt")
    _check_size(codec, pix_fmt, size)
    plan = EncoderPlan(
        codec=codec,
        pix_fmt=pix_fmt,
        layout=layout,
        size=size,
        colour=pixels.output_colour(layout, pix_fmt, colour, resolved_matrix(colour, size[1])),
        options=_options(options, codec, format),
        fixed_rate=codec in _FIXED_RATE_CODECS or format in _FIXED_RATE_FORMATS,
        threads=options.threads,
        warnings=warnings,
    )
    _limit_lookahead(plan)
    if hdr is not None:
        _add_hdr(plan, hdr)
    _prove(plan, options)
    return plan


def _default_codec(format: str, pipe: bool, layout: PixelLayout, native: bool, warnings: list[str]) -> str:
    if format in _RAW_FORMATS or (format == "matroska" and pipe):
        return "rawvideo"
    if format == "webm":
        return "libsvtav1" if layout.depth > 8 else "libvpx-vp9"
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


@cache
def _private_options(codec: str) -> frozenset[str]:
    context = av.CodecContext.create(codec, "w")
    return frozenset(option.name for option in context.supported_options.private)


def _options(options: EncodeOptions, codec: str, format: str) -> dict[str, str]:
    known = _private_options(codec)
    chosen = dict(_DEFAULT_OPTIONS.get(codec, {}))
    if codec in _DEFAULT_CRF:
        chosen["crf"] = str(_DEFAULT_CRF[codec])
    for name, value in (
        ("crf", None if options.crf is None else f"{options.crf:g}"),
        ("preset", options.preset),
    ):
        if value is None:
            continue
        if name not in known:
            raise OptionError(f"--{name} does not apply to {codec}; leave it out or use -x with {codec}'s own options")
        chosen[name] = value
    if options.crf is not None and not 0 <= options.crf <= _MAX_CRF.get(codec, float("inf")):
        raise OptionError(f"--crf of {codec} goes from 0 (best) to {_MAX_CRF[codec]}, got {options.crf:g}")
    if codec in ("libx264", "libx264rgb", "libx265") and not _holds_negative_dts(format):
        chosen["bf"] = "0"  # B-frames begin before 0, and the container would shift every stream for it
    user = dict(options.options)
    if "x265-params" in user and "x265-params" in chosen:
        user["x265-params"] = chosen["x265-params"] + ":" + user["x265-params"]
    if {"qp", "b", "cqp"} & user.keys():
        chosen.pop("crf", None)
    chosen.update(user)
    if format == "yuv4mpegpipe":
        chosen.setdefault("strict", "-1")
    return chosen


def _limit_lookahead(plan: EncoderPlan) -> None:
    """Keep x264 from holding gigabytes of large frames, unless its lookahead was asked for.

    At 4K and 10 bits the 40 frames of preset medium are two gigabytes. With five, the same constant quality gave a
    somewhat smaller and worse file, on the same curve of quality over size.
    """
    if plan.codec not in ("libx264", "libx264rgb") or {"rc-lookahead", "x264-params", "x264opts"} & plan.options.keys():
        return
    width, height = plan.size
    frame = width * height * _X264_KEEPS * (2 if plan.layout.depth > 8 else 1)
    most = max(2, int(_X264_ROOM / frame))
    if most < _X264_AHEAD.get(plan.options.get("preset", "medium"), _X264_AHEAD_SLOW):
        plan.options["rc-lookahead"] = str(most)


def _holds_negative_dts(format: str) -> bool:
    flag: Any = av.format.Flags.ts_negative.value
    return bool(int(av.format.ContainerFormat(format, "w").flags) & int(flag)) or format in (
        "matroska",
        "webm",
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
    if error is None:
        unused = [name for name in unused if name in dict(asked.options)]
        if unused:
            close = difflib.get_close_matches(unused[0], sorted(_private_options(plan.codec)), 1)
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
        f"use another encoder with -c:v, such as ffv1"
    )


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
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logs, _mute_stderr():
            context.open()
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        said = [text.strip() for severity, _, text in logs if severity <= av.logging.ERROR and text.strip()]
        return error, said[0].replace("\n", " ") if said else "", []
    finally:
        av.logging.set_level(level)
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
