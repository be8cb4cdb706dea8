"""Writing: frames encoded at their own times, everything else copied beside them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
import av.error
from av.container import Flags

from ..errors import OutputError
from . import streams
from .descriptors import cannot_go_back
from .encoders import EncodeOptions, EncoderPlan, configure, plan_encoder
from .extra import FrameExtra
from .frame import Colour, Frame
from .loops import loop_options, plays
from .orientation import HOLDING, orient, resized
from .packets import CopiedPacket
from .pixels import Packer
from .reader import VideoReader
from .rising import Rising, beyond
from .sequence import PictureFiles, encoder_of
from .source import TAG_ERRORS
from .target import PartFile, container_format, write_failed
from .timing import steady

__all__ = ["EncodeOptions", "VideoWriter"]

_MOV_FAMILY = ("mp4", "mov", "ipod", "3gp", "3g2")
_HEVC = ("libx265", "hevc_nvenc", "hevc_videotoolbox", "hevc_qsv", "hevc_amf", "hevc_vaapi", "hevc_mf")


class VideoWriter:
    """One frame in, one frame out, at the same time, with the input's other streams and tags.

    A file is written under a hidden name beside the target and takes the target's
    name in `finish`. Whatever can be refused is refused here, before the first frame.
    Pictures of a sequence (out.%04d.png) have their names one by one, as soon as each is whole,
    and the numbers of the input's where that is a sequence too.

    Args:
        target: path, or "-" for stdout.
        reader: the input; its tags, chapters and other streams are carried over.
        options: encoder, quality, pixel format, container.
        overwrite: whether an existing file may be replaced.
        comment: provenance to add to the file's comment tag.
        exclude: stream types to leave out ("audio", "subtitle", "data", "attachment").
        picture: (width, height) of the frames and their colour tags, if other than the input's.
        dry: only plan: nothing on disk is touched, the target may exist, and nothing can be written.

    Attributes:
        format: the muxer's name.
        plan: encoder, pixel format and options that were chosen.
        sar: aspect ratio of the pixels that are written, or None.
        warnings: lines for the user: dropped streams, losses in conversion.
        frames: frames written so far.

    Raises:
        OutputError: the target cannot be written, or the encoder does not take the picture.
        OptionError: an encoder option does not fit.
        ValueError: the reader is closed.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        reader: VideoReader,
        options: EncodeOptions | None = None,
        *,
        overwrite: bool = False,
        comment: str | None = None,
        exclude: Collection[str] = (),
        picture: tuple[tuple[int, int], Colour] | None = None,
        dry: bool = False,
    ) -> None:
        _require_open(reader)
        self.name = os.fspath(target)
        self.frames = 0
        self._reader = reader
        self._options = options or EncodeOptions()
        self._comment = comment
        self.format = container_format(self.name, self._options.format)
        self._part: PartFile | PictureFiles | None = None
        if self.format == "image2" and self._options.codec is None:
            codec, private = encoder_of(self.name)
            self._options = replace(self._options, codec=codec, options=(*private.items(), *self._options.options))
        info = reader.info
        pipe = cannot_go_back(self.name)
        size, colour = picture or ((info.width, info.height), info.colour)
        self.sar, self._turn, told = orient(info, self.format)
        if self._turn:
            size = self._turn.size(size)
        self.plan = self._make_plan(info.layout, size, colour, pipe)
        self._rate = steady(info.rate or Fraction(25)) if self.plan.fixed_rate else info.rate or Fraction(25)
        if self.format == "mxf" and not streams.holds_rate("mxf", self._rate):
            raise OutputError(f"{self.name}: mxf holds no {float(self._rate):.6g} frames a second; write .mov or .mkv")
        copies = streams.plan_copies(reader.container, reader.stream.index, self.format, exclude, reader.window)
        self._kept = copies.kept
        self.warnings = [*told, *self.plan.warnings, *copies.warnings]
        self._output: Any = None
        self._stream: Any = None
        self._packer: Packer | None = None
        self._copies: dict[int, Any] = {}
        self._pending: list[CopiedPacket] = []
        self._last: int | None = None
        self._last_dts: int | None = None
        self._rising: Rising | None = None
        self._late = self._first_late = 0  # frames whose times do not rise, and the first of them
        self._bias = Fraction(0)
        self._phase: Fraction | None = None
        self._told: set[str] = set()
        if dry:
            return
        if self.format == "image2":
            self._part = PictureFiles(self.name, reader.name, overwrite, reader.pictures_from)
        else:
            self._part = PartFile(self.name, reader.name, overwrite)

    def _make_plan(self, layout: Any, size: tuple[int, int], colour: Any, pipe: bool) -> EncoderPlan:
        return plan_encoder(self._options, self.format, pipe, layout, size, colour, self._reader.info.hdr, self.sar)

    def write(self, frame: Frame) -> None:
        """Encode a frame at its own pts.

        Raises:
            OutputError: encoding or writing failed (disk full).
            BrokenPipeError: whoever read the pipe has gone.
            ValueError: the frame's size or layout differs from the first frame's; or the reader was closed before it.
        """
        if self._turn:
            frame = self._turn.turned(frame)
        if self._output is None:
            if self._part is None:
                raise ValueError("this writer is finished; make another one")
            self._open(frame)
        plan = self.plan
        if frame.layout != plan.layout or (frame.width, frame.height) != plan.size:
            raise ValueError(
                f"expected {plan.size[0]}x{plan.size[1]} {plan.layout.name} like the first frame, "
                f"got {frame.width}x{frame.height} {frame.layout.name}"
            )
        extra = frame.extra
        assert self._packer is not None
        picture = self._packer(frame, extra.source if isinstance(extra, FrameExtra) else None)
        picture.pts = self._last = self._time(frame)
        picture.time_base = self._time_base
        if frame.duration and frame.time_base:
            picture.duration = max(1, round(frame.duration * frame.time_base / self._time_base))
        else:
            picture.duration = 0
        self._encode(picture)
        self.frames += 1

    def copy(self, packet: CopiedPacket) -> None:
        """Write a packet of another stream; packets of streams that were left out are ignored.

        Raises:
            OutputError, BrokenPipeError: as for `write`.
        """
        if packet.stream not in self._kept:
            return
        if self._output is None:
            self._pending.append(packet)
            return
        target = self._copies.get(packet.stream)
        if target is None:
            return
        raw = packet.packet
        if self.format in _MOV_FAMILY and target.type == "subtitle" and bytes(raw) == b"\0\0":
            return  # the gap between two cues, which the muxer writes itself
        if self.format == "avi" and raw.pts is not None and raw.pts < 0 and raw.pts + (raw.duration or 0) <= 0:
            return  # audio priming, which AVI could only hold by moving the picture
        if self._bias and raw.time_base:
            shift = round(self._bias / Fraction(raw.time_base.numerator, raw.time_base.denominator))
            raw.pts = None if raw.pts is None else raw.pts + shift
            raw.dts = None if raw.dts is None else raw.dts + shift
        assert self._rising is not None
        self._rising(raw, target)
        raw.stream = target
        self._mux(raw)

    def finish(self) -> None:
        """Drain the encoder, write the index and give the file its name.

        Raises:
            OutputError: no frame was written, or writing failed.
            BrokenPipeError: whoever read the pipe has gone.
        """
        if self._part is None:
            raise ValueError("this writer is finished; make another one")
        if self._output is None:
            self.abort()
            raise OutputError(f"{self.name}: no frame came to be written; check the input and its start and duration")
        self._encode(None)
        try:
            self._output.close()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from error
        self._output = None
        self.warnings += self._squeezed()
        assert self._part is not None
        if line := self._part.left_over(self.frames):
            self.warnings.append(line)
        try:
            self._part.commit()
        except OutputError:
            self.abort()
            raise
        self._part = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Abort unless `finish` has been called."""
        self.abort()

    def abort(self) -> None:
        """Give up: close and remove the part file; the target stays as it was. May be called again."""
        output, self._output = self._output, None
        if output is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                output.close()
        part, self._part = self._part, None
        if part is not None:
            part.discard()

    def _open(self, frame: Frame) -> None:
        """Open encoder and container for the first frame."""
        _require_open(self._reader)
        size = (frame.width, frame.height)
        assert self._part is not None
        if frame.layout != self.plan.layout or size != self.plan.size:
            self.plan = self._make_plan(frame.layout, size, frame.colour, self._part.pipe)
            self.warnings.extend(self.plan.warnings)
        plan = self.plan
        info = self._reader.info
        rate = self._rate
        self._time_base = 1 / rate if plan.fixed_rate else (frame.time_base or info.time_base)
        reorders = plan.options.get("bf") != "0" and plan.codec in ("libx264", "libx264rgb", "libx265")
        self._reorder = 2 * round(1 / rate / self._time_base) if reorders else 0
        self._packer = Packer(plan.layout, plan.pix_fmt, plan.colour)
        try:
            self._output = av.open(
                self._part.name,
                "w",
                format=self.format,
                container_options=self._container_options(frame),
                **TAG_ERRORS,
            )
            if self._part.pipe:
                self._output.flags |= Flags.flush_packets.value
            self._add_streams(rate)
            self._output.start_encoding()
            self._rising = Rising(self._output.format)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from error
        pending, self._pending = self._pending, []
        for packet in pending:
            self.copy(packet)

    def _add_streams(self, rate: Fraction) -> None:
        """Add the filtered stream and the copies, in the input's order."""
        plan, reader = self.plan, self._reader
        for stream in reader.container.streams:
            if stream.index in self._kept:
                copy = streams.add_copy(self._output, stream, reader.pictures.get(stream.index))
                if copy is not None:
                    self._copies[stream.index] = copy
            elif stream.index == reader.stream.index:
                self._stream = self._output.add_stream(plan.codec, rate=rate, time_base=self._time_base)
                context = self._stream.codec_context
                configure(context, plan, self._time_base, rate)
                context.options = dict(plan.options)
                if self.sar:
                    context.sample_aspect_ratio = self.sar
                if self.format in _MOV_FAMILY and plan.codec in _HEVC:
                    context.codec_tag = "hvc1"  # Apple's players know no other
                if reader.info.display_matrix and self.format in HOLDING:
                    self._stream.set_display_matrix(resized(reader.info, plan.size))
                streams.copy_video_tags(stream, self._stream, reader.skipped, rate)
        streams.copy_container_tags(reader.container, self._output, self._comment, reader.window, reader.skipped, rate)

    def _container_options(self, frame: Frame) -> dict[str, str]:
        flags = []
        assert self._part is not None
        options = dict(self._part.options)
        if self.format in _MOV_FAMILY:
            options["video_track_timescale"] = str(self._time_base.denominator)
            if self._part.pipe:
                # Without a trailer: libav takes its length for success and does not see that the disk was full.
                flags += ["frag_keyframe", "empty_moov", "default_base_moof", "skip_trailer"]
            if any("." in key for key in self._reader.container.metadata):
                flags.append("use_metadata_tags")  # com.apple.quicktime.… and the like
        options |= loop_options(self.format, plays(self._reader.name, self._reader.container.format.name))
        if flags:
            options["movflags"] = "+".join(flags)
        if self.format in ("matroska", "webm"):
            options["avoid_negative_ts"] = "disabled"  # audio priming before 0 must not move the picture
        if self._part.pipe:
            options["max_interleave_delta"] = "1"  # do not wait for sparse subtitles
            if self.format in ("matroska", "webm"):
                options["cluster_time_limit"] = "1"  # a cluster leaves when the next begins
        if self.format == "yuv4mpegpipe":
            options["strict"] = "-1"  # more than 8 bit
        if frame.pts is not None and frame.pts < 0:
            self._bias = -frame.pts * (frame.time_base or self._reader.info.time_base)
            self.warnings.append(f"the input begins before 0; all streams are moved by {float(self._bias):.3f} seconds")
        return options

    def _time(self, frame: Frame) -> int:
        """The pts to write, in ticks of the output: the frame's own unless the container counts frames."""
        base = frame.time_base or self._reader.info.time_base
        if frame.pts is None:
            pts = 0 if self._last is None else self._last + max(1, round(1 / self._rate / self._time_base))
        else:
            exact = (frame.pts * base + self._bias) / self._time_base
            if self._phase is None:  # a stretch may begin between two ticks: the beat begins with it
                self._phase = exact - round(exact) if self.plan.fixed_rate else Fraction(0)
            exact -= self._phase
            pts = round(exact)
            if self.plan.fixed_rate and abs(exact - pts) > Fraction(1, 4):
                self._tell(
                    "rate",
                    f"{self.format} with {self.plan.codec} has one frame rate; times are rounded to it",
                )
        if self._last is not None and pts <= self._last:
            self._first_late = self._first_late if self._late else self.frames
            self._late += 1
            pts = self._last + 1
        return pts

    def _squeezed(self) -> list[str]:
        """What to say of times that did not rise, once all are known."""
        lines = self._rising.warnings if self._rising else []
        if self._late == 1:
            what = f"the times of the frames do not rise at frame {self._first_late}"
            return [f"{what}; it is put one tick after the one before", *lines]
        if self._late:
            what = f"the times of {self._late} frames do not rise, from frame {self._first_late} on"
            lines.insert(
                0, f"{what}; they are put one tick apart; cut the clip there with ffmpeg if that is too little"
            )
        return lines

    def _tell(self, key: str, line: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self.warnings.append(line)

    def _encode(self, picture: av.VideoFrame | None) -> None:
        try:
            packets = self._stream.encode(picture)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError) as error:
            raise self._failed(error) from error
        for packet in packets:
            self._repair_dts(packet)
            self._mux(packet)

    def _repair_dts(self, packet: Any) -> None:
        """x265 gives random decoding times to clips shorter than its reordering; make them rise below pts."""
        if packet.pts is None:
            return
        last, dts = self._last_dts, packet.dts
        earliest = 2 * packet.pts - (self._last or 0) - 2 * self._reorder  # no encoder looks further ahead than it saw
        wrong = dts is None or dts > packet.pts or (dts < earliest if last is None else dts <= last)
        if wrong:
            packet.dts = packet.pts - self._reorder if last is None else min(last + 1, packet.pts)
        self._last_dts = packet.dts

    def _mux(self, packet: Any) -> None:
        try:
            self._output.mux_one(packet)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> BaseException:
        """What to raise for a failure; the part file is removed."""
        self.abort()
        if isinstance(error, BrokenPipeError):
            return BrokenPipeError(error.errno, "the reader of the pipe has gone")
        if isinstance(error, av.error.PatchWelcomeError) and self._last:
            return beyond(self.name, self._reader.name, self.format, float(self._last * self._time_base))
        return write_failed(self.name, error)


def _require_open(reader: VideoReader) -> None:
    if reader.closed:
        raise ValueError("the reader is closed; close it after the first frame is written, which takes its streams")
