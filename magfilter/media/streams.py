"""Which of the other streams the target container can hold, and copying them and their tags."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
from av.stream import Disposition

from .probe import StreamInfo, describe_streams
from .source import reason
from .timecode import later
from .timing import WHOLE, Window

__all__ = ["CopyPlan", "add_copy", "copy_container_tags", "copy_video_tags", "holds_rate", "is_picture", "plan_copies"]

# Containers of a single video stream.
_VIDEO_ONLY = {
    *("yuv4mpegpipe", "rawvideo", "ivf", "gif", "apng", "webp"),
    *("h264", "hevc", "obu", "mjpeg", "image2", "image2pipe"),
}
# Cover art is a stream with a flag in MP4 and an attached file in Matroska.
_PICTURES_AS_STREAMS = ("mp4", "ipod")
_PICTURES_ATTACHED = ("matroska",)
_PICTURE_TYPES = {"png": ("png", "image/png"), "mjpeg": ("jpg", "image/jpeg"), "bmp": ("bmp", "image/bmp")}
# What MPEG-TS has stream types for, of the types that its muxer otherwise writes as data.
_TS_CODECS = {
    "audio": ("mp1", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "dca", "truehd", "opus", "s302m"),
    "subtitle": ("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle", "arib_caption"),
}
_OF_BLOCKS = ("wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice")
_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}  # what libav calls channels of which nothing is said
# What is named to keep what a container does not hold, in this order.
_ADVISED = {"matroska": ".mkv", "mov": ".mov", "avi": ".avi", "nut": ".nut"}
_CHAPTERED = ("mov", "mp4", "ipod", "3gp", "3g2", "f4v", "psp", "ismv", "matroska", "webm", "nut", "asf", "ogg", "ogv")
_UNTITLED = ("mpegts", "mxf", "mpeg", "vob", "dvd", "svcd")
# True of the input's encoding only; stale after the picture has changed.
_STALE = ("encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "alpha_mode")
_STALE_PREFIXES = ("BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS_")
_STALE_GLOBAL = ("major_brand", "minor_version", "compatible_brands", "encoder")


@dataclass
class CopyPlan:
    """What becomes of the streams that are not filtered.

    Attributes:
        kept: indices of input streams to copy, in file order.
        warnings: one line for each stream that is dropped.
    """

    kept: list[int]
    warnings: list[str]


def plan_copies(
    container: Any, filtered: int, format: str, exclude: Collection[str] = (), window: Window = WHOLE
) -> CopyPlan:
    """Decide stream by stream, by writing a header with it to memory.

    Args:
        container: the open input.
        filtered: index of the stream that is filtered.
        format: the muxer's name.
        exclude: stream types to leave out without a word ("audio", "subtitle", "data", "attachment").
        window: the stretch that is read.
    """
    plan = CopyPlan([], [])
    infos = describe_streams(container.streams)
    chapters = bool(container.chapters())
    for stream, info in zip(container.streams, infos, strict=True):
        if stream.index == filtered or stream.type in exclude or _is_rewritten(stream, chapters):
            continue
        why = _misfit(stream, info, format)
        if why is None:
            plan.kept.append(stream.index)
        else:
            plan.warnings.append(f"stream {info} is left out: {why}")
    plan.warnings += _lost_tags(container, format, window)
    return plan


def _lost_tags(container: Any, format: str, window: Window) -> list[str]:
    """A line if there are chapters or a title that `format` cannot hold. Of a bare stream nobody expects a title."""
    lost = []
    count = sum(_cut(chapter, window) is not None for chapter in container.chapters())
    if count and format not in _CHAPTERED:
        lost.append(f"{count} chapters" if count > 1 else "the chapter")
    if container.metadata.get("title") and format in _UNTITLED:
        lost.append("the title")
    if not lost:
        return []
    several = lost[0].endswith("chapters") or len(lost) > 1
    what = f"{' and '.join(lost)} {'are' if several else 'is'} left out"
    them = "them" if several else "it"
    return [f"{what}: {format} cannot hold {them}; use .mkv to keep {them}"]


def _is_rewritten(stream: Any, chapters: bool) -> bool:
    """Whether the muxer writes the track itself, from the chapters or the timecode tag."""
    if stream.type != "data":
        return False
    return "timecode" in stream.metadata or (chapters and getattr(stream, "name", None) == "bin_data")


def _misfit(stream: Any, info: StreamInfo, format: str) -> str | None:
    """Why `format` does not get the stream and what would keep it, or None if it gets it."""
    if format in _VIDEO_ONLY:
        return f"{format} holds a single video stream"
    if stream.codec_context is None and stream.type not in ("attachment", "data"):
        return "its codec is unknown to this build of libav"
    why = _unheld(stream, info, format)
    if why is None:
        return None
    better = next((suffix for name, suffix in _ADVISED.items() if _unheld(stream, info, name) is None), None)
    if better is not None:
        return f"{why}; use {better} to keep it"
    return f"{why}; convert it first, e.g. with ffmpeg -c:a flac" if stream.type == "audio" else why


def _unheld(stream: Any, info: StreamInfo, format: str) -> str | None:
    """Why `format` does not hold the stream, or None if it does."""
    hold = f"{format} cannot hold {info.codec or 'it'}"
    if stream.type == "attachment" and format != "matroska":
        return hold
    if format == "mpegts" and info.codec not in _TS_CODECS.get(stream.type, (info.codec,)):
        return hold  # the muxer takes it as data that no player knows
    if format == "nut" and info.codec in _OF_BLOCKS:
        return hold  # the muxer takes it and forgets how long a block is
    if info.attached_pic and format in _PICTURES_ATTACHED:
        return None
    if info.attached_pic and format not in _PICTURES_AS_STREAMS:
        return hold
    refused = _refused(format, stream, Fraction(25) if format == "mxf" else None)  # MXF begins with a picture
    if refused is None:
        return None
    if format == "matroska" and stream.type in ("audio", "video"):
        # As "A_MS/ACM" it does hold what AVI holds; PyAV does not let it.
        return f"{info.codec} cannot be copied to {format} by this program"
    text = reason(refused)
    return hold if "not support" in text or "Invalid argument" in text else f"{hold} ({text})"


def holds_rate(format: str, rate: Fraction) -> bool:
    """Whether a container takes video of so many frames a second."""
    return _refused(format, None, rate) is None


def _refused(format: str, stream: Any | None, rate: Fraction | None) -> Exception | None:
    """What a container says of a stream to be copied, beside video of a rate; either may be None."""
    try:
        trial = av.open(io.BytesIO(), "w", format=format)
        if rate is not None:
            picture: Any = trial.add_stream("mpeg2video", rate=rate)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        if stream is not None:
            _add(trial, stream)
        trial.start_encoding()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        return error
    with contextlib.suppress(av.error.FFmpegError, ValueError, OSError):
        trial.close()  # some cannot end before anything was written
    return None


def _add(output: Any, stream: Any) -> Any:
    if stream.codec_context is None:
        return output.add_stream_from_template(stream)
    copy = output.add_stream_from_template(stream, opaque=True)
    if stream.type == "audio" and (layout := _LAYOUTS.get(stream.codec_context.layout.name)):
        copy.codec_context.layout = layout  # MP4 refuses PCM of two channels that are not said to be left and right
    return copy


def add_copy(output: Any, stream: Any, picture: bytes | None) -> Any | None:
    """Add one input stream to an output; returns the output stream, or None if it takes no packets.

    Args:
        output: open output container, header not yet written.
        stream: the input stream.
        picture: the image, if the stream is cover art.
    """
    if is_picture(stream) and output.format.name in _PICTURES_ATTACHED:
        if picture is not None:
            suffix, kind = _PICTURE_TYPES.get(stream.codec_context.name, ("jpg", "image/jpeg"))
            kind = stream.metadata.get("mimetype", kind)
            output.add_attachment(stream.metadata.get("filename", f"cover.{suffix}"), kind, picture)
        return None
    copy = _add(output, stream)
    copy.metadata.clear()
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy if stream.type != "attachment" else None


def copy_video_tags(source: Any, target: Any, skipped: int = 0, rate: Fraction | None = None) -> None:
    """Copy language, title and all tags that are still true, and the disposition, to the filtered stream.

    Args:
        skipped: frames left out at the beginning, at `rate` a second, by which the timecode is later.
    """
    for key, value in source.metadata.items():
        if key.lower() not in _STALE and not key.startswith(_STALE_PREFIXES):
            target.metadata[key] = value
    _move_timecode(target.metadata, skipped, rate)
    target.disposition = source.disposition


def _move_timecode(tags: Any, skipped: int, rate: Fraction | None) -> None:
    if not skipped or not rate:
        return
    for key in [key for key in tags if key.lower() == "timecode"]:  # Matroska writes it large
        tags[key] = later(tags[key], skipped, rate)


def copy_container_tags(
    source: Any,
    target: Any,
    comment: str | None,
    window: Window = WHOLE,
    skipped: int = 0,
    rate: Fraction | None = None,
) -> None:
    """Copy the container's tags and chapters; `comment` is added to what the comment already says.

    Args:
        window: the stretch that was read, to which chapters are cut; skipped, rate: as for `copy_video_tags`.
    """
    tags = {k: v for k, v in source.metadata.items() if k.lower() not in _STALE_GLOBAL}
    _move_timecode(tags, skipped, rate)
    if comment:
        old = next((k for k in tags if k.lower() == "comment"), "comment")
        tags[old] = f"{tags[old]}; {comment}" if tags.get(old) else comment
    target.metadata.update(tags)
    chapters = [cut for chapter in source.chapters() if (cut := _cut(chapter, window))]
    if chapters:
        target.set_chapters(chapters)


def _cut(chapter: Any, window: Window) -> Any | None:
    """What of a chapter lies in the window, in its time; None if nothing does."""
    base = Fraction(chapter["time_base"].numerator, chapter["time_base"].denominator)
    begin, end = chapter["start"], chapter["end"]
    if window.end is not None:
        end = min(end, round(Fraction(window.end, 1_000_000) / base))
    shift = window.shift(base)
    begin, end = max(begin - shift, 0) if window.begin is not None else begin, end - shift
    return {**chapter, "start": begin, "end": end} if end > begin else None


def is_picture(stream: Any) -> bool:
    """Whether the stream is cover art."""
    return bool(stream.disposition & Disposition.attached_pic)
