"""Reading: one video stream decoded to frames, everything else handed over as it is."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
import av.error
from av.video.reformatter import VideoReformatter

from ..checks import check_number
from ..errors import InputError, OptionError
from . import opacity, probe, source
from .completeness import expected_frames, missing_frames
from .convert import Cousin, read_planes
from .demuxed import Demuxed
from .extra import FrameExtra
from .frame import Colour, Frame
from .hwaccel import hardware
from .nothing import interlaced, no_frame
from .packets import CopiedPacket, trimmed
from .search import SEEK_BACK, missed, seek, wanted
from .sequence import ImageSequence, parse_rate
from .strays import Strays
from .streams import is_picture
from .timing import FrameClock, Window
from .uniform import Uniform

__all__ = ["VideoReader"]

_CAPTIONS_WITHIN = 16  # frames; closed captions come with every frame or not at all
_FORMATS_WITHOUT_PTS = ("avi",)


class VideoReader:
    """Frames of the best video stream, and the packets of all others, in demux order.

    Opening decodes the first frame, so everything `info` says is known to be true. `close` may be called by any
    thread; what another is reading then still comes, and after it ValueError.

    Args:
        path: a file, a URL, or "-" for stdin.
        format: FFmpeg's input format, needed for raw streams; None to detect it.
        start: seconds from the beginning of the file at which to begin; that moment becomes 0.
        duration: seconds to read.
        threads: decoder threads, 0 for one a core.
        hwaccel: "none"; "cuda", which decodes on a GPU; or "auto", which does where that works.
        framerate: frames a second of an image sequence, which does not say; None for 25, and a warning.
        progressive: take frames whose flags say that they are interlaced for whole ones, as film in broadcast files is.

    Attributes:
        info: MediaInfo.
        corrupt_frames: frames so far that the decoder patched up.
        frames: frames given out so far.
        missing: frames that the input promised and did not hold, or that are of another size; known at the end.
        pictures: cover art met so far, by stream index.
        warnings: lines for the user, added to while reading.
        expected_frames: how many frames are to be expected, or None if unknown.
        closed: whether `close` was called.
        window: the stretch that is read; skipped: how many frames of the video lie before it, about.

    Raises:
        InputError: missing, not media, no video, interlaced, or no frame can be decoded.
        BackendError: there is no such GPU.
        OptionError: `start` or `duration` is out of range, `format` unknown, or `framerate` given for a video.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        start: float | None = None,
        duration: float | None = None,
        threads: int = 0,
        hwaccel: str = "none",
        framerate: Fraction | float | str | None = None,
        progressive: bool = False,
    ) -> None:
        if start is not None:
            start = check_number("start", start, "0 or more seconds", lambda x: x >= 0)
        if duration is not None:
            duration = check_number("duration", duration, "more than 0 seconds", lambda x: x > 0)
        self.name = os.fspath(path)
        self._sequence = ImageSequence.find(self.name, None if framerate is None else parse_rate(framerate))
        if framerate is not None and self._sequence is None:
            raise OptionError(
                f"framerate is for image sequences such as shot.%04d.png, and {self.name} is none; leave it out"
            )
        self._hwaccel, self._progressive = hwaccel, progressive
        self._reading = threading.Lock()  # libav crashes if an input is closed under a thread that reads it
        self.closed = False
        accelerator = hardware(hwaccel)
        try:
            self._open(format, start, duration, threads, accelerator)
        except InputError:
            if accelerator is None or hwaccel != "auto" or source.is_pipe(self.name):
                raise
            self._open(format, start, duration, threads, None)  # what a GPU cannot decode, the CPU may

    def _open(
        self, format: str | None, start: float | None, duration: float | None, threads: int, accelerator: Any | None
    ) -> None:
        for back in SEEK_BACK:
            self._open_at(format, start, duration, threads, accelerator, back)
            if not self._late:
                break
            self.container.close()

    def _open_at(
        self,
        format: str | None,
        start: float | None,
        duration: float | None,
        threads: int,
        accelerator: Any | None,
        back: int | None,
    ) -> None:
        """Open the input and decode up to the first frame; `_late` then says whether frames before it were missed."""
        self._undecoded = 0
        self.corrupt_frames = 0
        self.frames = 0
        self._captions = False
        self.missing = 0
        self.pictures: dict[int, bytes] = {}
        self.warnings: list[str] = []
        self.container = source.open_input(self.name, format, accelerator, self._sequence)
        if self._sequence is not None:
            self.warnings += self._sequence.notes()
        try:
            self._prepare(start, duration, threads, back)
        except BaseException:
            self.container.close()
            raise

    def _prepare(self, start: float | None, duration: float | None, threads: int, back: int | None) -> None:
        self.stream = source.pick_video(self.name, self.container)
        if self._hwaccel not in ("none", "auto") and not self.stream.codec_context.is_hwaccel:
            raise InputError(
                f"{self.name}: {self.stream.codec_context.name} cannot be decoded on {self._hwaccel}; "
                "use --hwaccel none, or auto"
            )
        self.is_pipe = source.is_pipe(self.name)
        self.stream.codec_context.thread_count = threads
        # What was asked to be decoded on a GPU is, without its opacity.
        self._decoder = (self._hwaccel in ("none", "auto") and opacity.decoder(self.stream)) or self.stream
        # Frame threads hold back a frame each: fast for files, latency on a pipe.
        self.stream.codec_context.thread_type = "SLICE" if self.is_pipe else "AUTO"
        self._origin = Fraction(self.container.start_time or 0, 1_000_000)  # s, the file's own time at its beginning
        self._time_base = probe.fraction(self.stream.time_base) or Fraction(1, 90000)
        self.window = wanted(self.container, start, duration)
        sought = back is not None and not self.is_pipe and self._seek(back)
        rate = probe.frame_rate(self.stream)
        no_pts = any(f in self.container.format.name.split(",") for f in _FORMATS_WITHOUT_PTS)
        self._clock = FrameClock(self._time_base, rate, no_pts)
        self._step = None if rate is None else 1 / rate / self._time_base
        self._strays = Strays(self._step, source.is_live(self.name))
        self._reformatter = VideoReformatter()
        self._uniform = Uniform(self.name, self.stream)
        self._first: av.VideoFrame | None = None
        self._first_dts: int | None = None
        self._seen: int | None = None  # pts of the first frame decoded, wanted or not
        self._end: int | None = None  # where the last one that was wanted ends
        self._decoded = self._discarded = self._sent = 0
        self._stopped = self._told_interlaced = False
        self.skipped = 0
        self._changed: Window | None = None  # up to where the frames are of other sizes
        self._demuxed = Demuxed(self.container)
        self._source = self._items()
        self._ahead: deque[Frame | CopiedPacket] = deque()
        self._late = False
        self._read_first_frame(sought)

    def _seek(self, back: int) -> bool:
        try:
            return seek(self.stream, self._time_base, self.window, back)
        except (av.error.FFmpegError, OSError):
            self.warnings.append(f"{self.name} cannot be searched; reading it from the beginning up to the start")
            return False

    def _read_first_frame(self, sought: bool) -> None:
        """Decode up to the first frame, so that `info` is complete and bad inputs fail at once."""
        item = None
        for item in self._source:
            self._ahead.append(item)
            if isinstance(item, Frame):
                break
        if sought and missed(self.container, self._time_base, self.window, self._seen):
            self._late = True
            return
        if not isinstance(item, Frame):
            raise self._no_frame()
        assert self._first is not None
        self.info = probe.describe(self.name, self.container, self.stream, self._first, item.layout, item.colour)
        dynamic = {"DOVI_METADATA", "DOVI_RPU_BUFFER", "DYNAMIC_HDR_PLUS"} & probe.side_data(self._first).keys()
        if dynamic:
            self.warnings.append(f"{self.name}: Dolby Vision or HDR10+ metadata cannot be carried over and is left out")
        if self.window.begin is not None and self.info.rate:
            left_out = self.window.begin / 1e6 - self.info.start_time + (item.time or 0.0)
            self.skipped = max(0, round(left_out * self.info.rate))
        self._first = None
        # The container's field order is often wrong; the frame's own flag is what the decoder did.
        if self.info.interlaced and not self._progressive:
            raise interlaced(self.name)

    def _no_frame(self) -> InputError:
        if self._stopped:
            why = "no frame begins within the duration that was asked for; give a longer duration"
            return InputError(f"{self.name}: {why}")
        if self.window.begin and (self._decoded or not self.errors):
            return InputError(f"{self.name} ends before the start that was asked for; give a smaller start")
        on = None if self._hwaccel in ("none", "auto") else self._hwaccel
        file = self.name if self._sequence is None else self._sequence.name(self._sequence.first)
        return no_frame(self.name, file, self.container, self.stream, self.errors, on)

    @property
    def errors(self) -> int:
        """Packets that could not be decoded or read so far."""
        return self._undecoded + self._demuxed.errors

    @property
    def expected_frames(self) -> int | None:
        """Frames to be expected in the stretch that is read, or None if the input does not say."""
        return expected_frames(self.info, self.window)

    @property
    def pictures_from(self) -> int | None:
        """Number of the first frame given out, if the input is an image sequence; else None."""
        if self._sequence is None:
            return None
        return self._sequence.first + self.window.first_tick(self._time_base)

    @property
    def timed(self) -> bool:
        """Whether all frames so far came with times of their own, rather than counted at the frame rate."""
        return not self._clock.synthesised

    @property
    def first(self) -> Frame:
        """The first frame, as long as it was not given out: a look ahead.

        Raises:
            ValueError: it was given out.
        """
        for item in self._ahead:
            if isinstance(item, Frame):
                return item
        raise ValueError("the first frame was given out already; ask for it before reading, or keep it")

    def __iter__(self) -> Iterator[Frame | CopiedPacket]:
        return self

    def __next__(self) -> Frame | CopiedPacket:
        try:
            with self._reading:
                if self.closed:
                    raise ValueError("the reader is closed; open another one to read again")
                item = self._ahead.popleft() if self._ahead else next(self._source)
        finally:
            self._shut_if_closed()
        if isinstance(item, Frame):
            self.frames += 1
        return item

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the input; may be called again. A thread that is reading does it when it has read."""
        self.closed = True
        self._shut_if_closed()

    def _shut_if_closed(self) -> None:
        # Never waits: what reads may itself be waiting for a pipe. It looks again when it is through.
        if self.closed and self._reading.acquire(blocking=False):
            try:
                self.container.close()
            finally:
                self._reading.release()

    def _items(self) -> Iterator[Frame | CopiedPacket]:
        for packet in self._demuxed:
            if packet.stream.index != self.stream.index:
                if is_picture(packet.stream):
                    if packet.stream.index in self.pictures:
                        continue  # libav sends cover art again after a seek
                    self.pictures[packet.stream.index] = bytes(packet)
                copied = trimmed(packet, self._changed or self.window)
                if copied is not None:
                    yield copied
                continue
            if self._stopped:
                if self.window.end is not None and self._well_after(packet):
                    break
                if self._changed and source.is_live(self.name):
                    break  # it may never end
                if self._changed and not self.window.after(packet.dts or 0, self._time_base):
                    self._sent += not packet.is_discard
                continue
            if self._first_dts is None:
                self._first_dts = packet.dts
            self._discarded += bool(packet.is_discard)
            self._sent += not packet.is_discard
            yield from self._decode(packet)
        if not self._stopped:
            yield from self._decode(None)
        for frame, pts in self._strays.rest():
            yield from self._fitting(frame, pts)
        self._report()

    def _decode(self, packet: Any) -> Iterator[Frame]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError):
            self._undecoded += 1
            return
        for each in frames:
            for frame, pts in self._strays(each, self._clock(each, self._first_dts)):
                yield from self._fitting(frame, pts)

    def _fitting(self, frame: av.VideoFrame, pts: int) -> Iterator[Frame]:
        """The frame if it is wanted, and of the first one's size."""
        if self._stopped:
            return
        self._decoded += 1
        if self._seen is None:
            self._seen = pts
        if self.window.before(pts, self._time_base):
            return
        if self.window.after(pts, self._time_base):
            self._stopped = True
            return
        if not self._uniform.begun:
            self._first = frame
        end = pts if self._end is None else max(pts, self._end)  # what is joined on may have times of its own
        how = self._uniform(frame, self._decoded - 1, float(end * self._time_base - self._origin))
        self.warnings += self._uniform.warnings
        self._uniform.warnings.clear()
        if how is None:
            # Nothing more can be used; the rest is read to know how much that is.
            self._stopped, self._decoded = True, self._decoded - 1
            self._changed = Window(self.window.begin, round(end * self._time_base * 1_000_000))
            return
        self._end = pts + (frame.duration or round(self._step or 0))
        yield self._convert(frame, pts, how)

    def _convert(self, frame: av.VideoFrame, pts: int, how: Cousin) -> Frame:
        self.corrupt_frames += bool(frame.is_corrupt)
        combed = bool(frame.interlaced_frame)
        if combed and self._decoded > 1 and not self._told_interlaced and not self._progressive:
            self._told_interlaced = True
            self.warnings.append(f"{self.name} is interlaced from frame {self._decoded - 1} on; expect combs there")
        # Asking for side data ties a PyAV frame and itself into a knot that only the garbage collector
        # undoes, hundreds of frames later. So a stream without captions is soon not asked any more.
        captions = self._decoded <= _CAPTIONS_WITHIN or self._captions
        if captions:
            captions = self._captions = "A53_CC" in probe.side_data(frame) or self._captions
        full = 2 if how.full_range else int(frame.color_range)
        return Frame(
            planes=read_planes(frame, how, self._reformatter),
            layout=how.layout,
            colour=Colour(full, int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc)),
            pts=pts - self.window.shift(self._time_base),
            time_base=self._time_base,
            duration=frame.duration or None,
            extra=FrameExtra(combed, frame if captions else None),
        )

    def _well_after(self, packet: Any) -> bool:
        """Whether video has run a second past the end, so that the other streams are through as well."""
        ticks = packet.dts if packet.dts is not None else packet.pts
        assert self.window.end is not None
        return ticks is None or float(ticks * self._time_base) > self.window.end / 1e6 + 1.0

    def _report(self) -> None:
        """Tell what was missing, once, at the end."""
        if self.errors:
            self.warnings.append(f"{self.name}: {self.errors} packets could not be decoded and were skipped")
        if self.corrupt_frames:
            self.warnings.append(f"{self.name}: {self.corrupt_frames} damaged frames were patched by the decoder")
        self.warnings += self._demuxed.warnings(self.name)
        self.warnings += self._strays.warnings(self.name, self._time_base, self._origin)
        if self._changed:
            # Of what is live nobody knows how much was to come: as much as has, so that the exit code tells.
            more = self._decoded if source.is_live(self.name) else self._sent - self._decoded
            self.missing = max(1, more)
        if not hasattr(self, "info") or self._stopped:
            return  # the wanted stretch ended before the file did
        self.missing, line = missing_frames(
            self.name, self.info, self.window, self._decoded, self._discarded, self._demuxed.reached
        )
        self.warnings += [line] if line else []
