"""The options that an encoder is given: quality and speed where the user says nothing, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import av

from ..checks import check_number
from ..errors import OptionError

__all__ = ["EncodeOptions", "encoder_options", "lookahead", "private_options"]

# Near-transparent quality at a sane size, by eye, in each encoder's own unit.
_DEFAULT_CRF = {"libx264": 18, "libx264rgb": 18, "libx265": 20, "libvpx-vp9": 24, "libsvtav1": 24}
_MAX_CRF = {"libx264": 51, "libx264rgb": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63}
# Encoders without a constant quality of their own: FFmpeg's quantiser, of which 2 is the finest that its command
# line takes. Left to themselves they aim at 200 kbit/s.
_BY_QUANTISER = {
    *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "h261", "h263", "h263p", "wmv1", "wmv2", "flv"),
    *("mjpeg", "libxvid", "amv", "speedhq"),
}
_QUANTISER = {"flags": "+qscale", "global_quality": str(2 * 118)}
# DNxHD has fixed sizes and rates; DNxHR, the profiles of which go by pixel format, has not.
_DNXHR = {"yuv422p": "dnxhr_hq", "yuv422p10le": "dnxhr_hqx", "yuv444p10le": "dnxhr_444", "gbrp10le": "dnxhr_444"}
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

    Raises:
        OptionError: crf is no number of 0 or more.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    pix_fmt: str | None = None
    format: str | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if self.crf is not None:
            check_number("crf", self.crf, "a number of 0 (best) or more", lambda x: x >= 0)


@cache
def private_options(codec: str) -> frozenset[str]:
    """The names of the options that this encoder alone has."""
    context = av.CodecContext.create(codec, "w")
    return frozenset(option.name for option in context.supported_options.private)


def encoder_options(options: EncodeOptions, codec: str, format: str, pix_fmt: str) -> dict[str, str]:
    """What to open the encoder with.

    Raises:
        OptionError: crf or preset does not apply to it, or crf is out of range.
    """
    known = private_options(codec)
    chosen = dict(_DEFAULT_OPTIONS.get(codec, {}))
    given = {name for name, _ in options.options}
    if codec in _BY_QUANTISER and not given & {"b", "global_quality", "flags", "qmin", "qmax"}:
        chosen.update(_QUANTISER)
    if codec == "dnxhd" and pix_fmt in _DNXHR and "b" not in given:
        chosen["profile"] = _DNXHR[pix_fmt]
    if codec == "libvpx" and pix_fmt == "yuva420p":
        chosen["auto-alt-ref"] = "0"  # it refuses opacity otherwise
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


def lookahead(codec: str, options: Mapping[str, str], size: tuple[int, int], depth: int) -> dict[str, str]:
    """What keeps x264 from holding gigabytes of large frames, unless its lookahead was asked for.

    At 4K and 10 bits the 40 frames of preset medium are two gigabytes. With five, the same constant quality gave a
    somewhat smaller and worse file, on the same curve of quality over size.
    """
    if codec not in ("libx264", "libx264rgb") or {"rc-lookahead", "x264-params", "x264opts"} & options.keys():
        return {}
    frame = size[0] * size[1] * _X264_KEEPS * (2 if depth > 8 else 1)
    most = max(2, int(_X264_ROOM / frame))
    usual = _X264_AHEAD.get(options.get("preset", "medium"), _X264_AHEAD_SLOW)
    return {"rc-lookahead": str(most)} if most < usual else {}


def _holds_negative_dts(format: str) -> bool:
    flag: Any = av.format.Flags.ts_negative.value
    return bool(int(av.format.ContainerFormat(format, "w").flags) & int(flag)) or format in (
        "matroska",
        "webm",
    )
