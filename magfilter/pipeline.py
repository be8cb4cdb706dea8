"""A whole job: decode, measure, render and encode, each in its own thread.

The threads hand on items through short queues, so memory does not depend on the length
of the video and the wall time approaches that of the slowest stage. Packets that are only
copied travel in the same queues, which keeps them in order with the frames. The caller's
thread only waits, so that signals and progress are served whatever the pipes are doing.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Any

from magfilter._version import __version__
from magfilter.errors import CorruptInput, OptionError, Stopped
from magfilter.magnifier import Magnifier
from magfilter.media import CopiedPacket, Frame, VideoReader, VideoWriter
from magfilter.media.descriptors import cannot_go_back
from magfilter.media.encoders import check_names
from magfilter.media.source import is_live
from magfilter.media.target import check_target, container_format
from magfilter.options import MagnifyOptions
from magfilter.report import Progress, Report
from magfilter.stages import LARGE, POLL, Lane, patiently, start_stage
from magfilter.targets import Targets
from magfilter.threads import thread_budget
from magfilter.view import View

__all__ = ["Job", "magnify_video"]

PATIENCE = 5.0  # seconds for a thread to notice that it is no longer needed
PATIENCE_PIPE = 0.2  # a thread blocked on a pipe will not notice


def magnify_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: MagnifyOptions | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    **changes: Any,
) -> Report:
    """Magnify a video file or stream into another.

    Args:
        source: path, or "-" for stdin; target: path, or "-" for stdout.
        options: the job; further keyword arguments replace single fields of it (``alpha=20``).
        progress: called after every written frame, in the calling thread.
        stop: set it to end early: what was read so far is written and the output made whole.

    Returns:
        What was done.

    Raises:
        OptionError, InputError, OutputError, ModelError, BackendError: nothing is left under the target's name.
        CorruptInput: more than `options.max_error_rate` of the input could not be read; what could was written.
        BrokenPipeError: whoever read stdout has gone.
    """
    try:
        with Job(source, target, replace(options or MagnifyOptions(), **changes), stop=stop) as job:
            return job.run(progress)
    except Stopped:
        return Report(interrupted=True)


class Job:
    """A job that is open: input, magnifier and output are there and agree with each other.

    Whatever can be refused is refused here, options first, then the output, then the input.

    Args:
        source: path, or "-" for stdin.
        target: path, "-" for stdout, or None to look at the input only.
        options: what to do.
        stop: set it to end early, at any time.
        dry: the job will not be run: nothing on disk is touched, and the target may exist.

    Attributes:
        reader, magnifier, writer: ready to run; writer is None without a target.
        targets: what is magnified, or None if it is the whole picture.
        view: makes what is written of input and output, or None if it is the output alone.
        report: what `run` did so far; also there when it raises CorruptInput.

    Raises:
        OptionError, InputError, OutputError, ModelError, BackendError: as `magnify_video`.
        Stopped: `stop` was set before the input could be opened.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str] | None,
        options: MagnifyOptions,
        *,
        stop: threading.Event | None = None,
        dry: bool = False,
    ) -> None:
        self.source, self.options, self.dry = os.fspath(source), options, dry
        self.stop = stop or threading.Event()
        self.report = Report()
        self._decoding: threading.Thread | None = None
        self._encoding: threading.Thread | None = None
        self._stuck: list[threading.Thread] = []  # in a network that does not return
        self._slow: list[str] = []  # of bands
        name = None if target is None else os.fspath(target)
        self.to_pipe = name is not None and cannot_go_back(name)
        if name is not None:
            check_names(options.encode)
            format = container_format(name, options.encode.format)
            if not dry:
                check_target(name, self.source, options.overwrite, format)
        decoder, network, encoder, at_once = thread_budget(options.threads)
        self.targets = Targets(options) if options.targeting else None
        self.magnifier = Magnifier(
            options.painted,
            alpha_map=self.targets.alpha_map if self.targets else None,
            model=options.model,
            backend=options.backend,
            device=options.device,
            reference=options.reference,
            shot_cuts=options.shot_cuts,
            reanchor=options.reanchor,
            cross_fade=options.cross_fade,
            proxy=options.proxy,
            threads=network,
            at_once=at_once,
            band=options.band,
            notch=options.notch,
            fps=options.fps,
            detrend=options.detrend,
            max_shift=options.max_shift,
            smooth=options.smooth,
            align=options.align,
        )
        if options.show_flow:
            self.magnifier.watch()
        # Frame 0 is what the magnifier takes for its reference anyway, pipe or not.
        far = self.magnifier.policy.kind == "frame" and self.magnifier.policy.number > 0
        if far and is_live(self.source):
            raise OptionError(
                f"reference {self.magnifier.policy} must be found before the first frame is magnified, which a pipe "
                "does not allow; use --reference first, or a file"
            )
        self.reader = patiently(lambda: self._open(decoder), self.stop)
        try:
            if options.band is not None or options.notch:
                self.magnifier.part.fit(self.reader.info.rate, self.reader.name)
                self._slow = self.magnifier.part.advice(self.reader.expected_frames)
            if self.targets:
                self.targets.fit(self.reader.info)
            if ramp := options.ramp(self._length()):
                self.magnifier.set_ramp(ramp)
            reference = self.reader.first
            if far and not dry:
                reference = patiently(lambda: self._find_frame(decoder), self.stop)
            if self.targets and not (dry and (far or options.segment)):
                patiently(lambda: self._aim(reference), self.stop)
            if far and not dry:
                self.magnifier.set_reference(reference)
            self.view = View(options, self.reader.info, ramp) if options.showing else None
            self.writer = None if name is None else self._make_writer(name, encoder)
        except BaseException:
            self.reader.close()
            if self.targets:
                self.targets.close()
            raise

    def _length(self) -> float | None:
        """Seconds from the first frame to the last, or None if the input does not say."""
        frames, rate = self.reader.expected_frames, self.reader.info.rate
        return (frames - 1) / float(rate) if frames and rate else self.options.duration

    def _open(self, threads: int) -> VideoReader:
        o = self.options
        return VideoReader(
            self.source,
            format=o.input_format,
            start=o.start,
            duration=o.duration,
            threads=threads,
            hwaccel=o.hwaccel,
            framerate=o.framerate,
            progressive=o.progressive,
        )

    def _find_frame(self, threads: int) -> Frame:
        """Frame number N of the stretch that is worked on, by a pass of its own."""
        policy = self.magnifier.policy
        seen = 0
        with self._open(threads) as reader:
            for item in reader:
                if self.stop.is_set():
                    raise Stopped
                if isinstance(item, Frame):
                    if seen == policy.number:
                        return item
                    seen += 1
        raise OptionError(f"reference {policy} lies beyond the end: the input has {seen} frames, 0 to {seen - 1}")

    def _aim(self, reference: Frame) -> None:
        """Make the first reference's alpha map, so that whatever is wrong with it is said now."""
        assert self.targets is not None
        self.targets.click(reference)
        self.targets.alpha_map(self.magnifier.policy.number)

    def _make_writer(self, name: str, threads: int) -> VideoWriter:
        o = self.options
        return VideoWriter(
            name,
            self.reader,
            replace(o.encode, threads=o.encode.threads or threads),
            overwrite=o.overwrite,
            comment=provenance(self.magnifier, o.settings),
            exclude=o.exclude,
            dry=self.dry,
            picture=(self.view.size, self.view.colour) if self.view else None,
        )

    @property
    def warnings(self) -> list[str]:
        """Lines for the user so far, each once."""
        written = self.writer.warnings if self.writer else []
        masks = self.targets.warnings if self.targets else []
        return [*dict.fromkeys([*self.options.advice, *self._slow, *self.reader.warnings, *masks, *written])]

    def run(self, progress: Callable[[Progress], None] | None = None) -> Report:
        """Do it. The output has its name when this returns; if it raises, only after CorruptInput.

        Args:
            progress: called after every written frame, in the calling thread.
        """
        reader, magnifier, writer, report, stop = self.reader, self.magnifier, self.writer, self.report, self.stop
        targets, view = self.targets, self.view
        if writer is None or self.dry:
            raise ValueError("this job is only to be looked at; open one with a target and without dry")
        gone = threading.Event()  # a stage failed: everyone leaves
        size = sum(plane.nbytes for plane in reader.first.planes)
        decoded, measured, magnified = (Lane(gone, size) for _ in range(3))
        # What waits here is being measured already. Where frames are large, moving their pixels takes the time and
        # memory counts: there the network keeps up by measuring one after the other.
        several = magnifier.engine.at_once > 1 and size <= LARGE
        waiting = Lane(gone, size, magnifier.engine.at_once - 1) if several else decoded
        news: queue.Queue[Progress | None] = queue.Queue()  # see `magfilter.stages.Lane`
        failures: list[BaseException] = []
        spent = report.stages
        exhausted = threading.Event()
        started = time.perf_counter()

        def decode() -> None:
            begun = time.perf_counter()
            for item in reader:
                spent["decode"] += time.perf_counter() - begun
                if stop.is_set() or not decoded.put(item):
                    return
                begun = time.perf_counter()
            exhausted.set()

        def foresee() -> None:
            for item in decoded:
                if isinstance(item, Frame):
                    magnifier.foresee(item)
                if not waiting.put(item):
                    return

        def measure() -> None:
            number = count()
            for item in waiting:
                if isinstance(item, Frame):
                    begun = time.perf_counter()
                    if targets:
                        targets.follow(next(number))
                    item = item, magnifier.measure(item)
                    spent["measure"] += time.perf_counter() - begun
                if not measured.put(item):
                    return

        def render() -> None:
            for item in measured:
                if isinstance(item, tuple):
                    begun = time.perf_counter()
                    frame, found = item
                    shown = magnifier.render(found)
                    alpha = magnifier.alpha if found.alpha is None else found.alpha
                    item = view(frame, found, shown, alpha) if view else shown
                    spent["render"] += time.perf_counter() - begun
                if not magnified.put(item):
                    return

        def encode() -> None:
            for item in magnified:
                begun = time.perf_counter()
                if isinstance(item, CopiedPacket):
                    writer.copy(item)
                else:
                    writer.write(item)
                    report.frames += 1
                spent["encode"] += time.perf_counter() - begun
                if progress and isinstance(item, Frame):
                    now = time.perf_counter() - started
                    news.put(Progress(report.frames, reader.expected_frames, now, item.time))
            if gone.is_set() or (stop.is_set() and not report.frames):
                return
            begun = time.perf_counter()
            writer.finish()
            spent["encode"] += time.perf_counter() - begun

        self._decoding = start_stage("decode", decode, decoded.end, failures, gone)
        stages = [start_stage("foresee", foresee, waiting.end, failures, gone)] if several else []
        stages.append(start_stage("measure", measure, measured.end, failures, gone))
        stages.append(start_stage("render", render, magnified.end, failures, gone))
        self._encoding = start_stage("encode", encode, lambda: news.put(None), failures, gone)
        written, since, given_up = 0, time.perf_counter(), False
        try:
            while self._encoding.is_alive() or not news.empty():
                if report.frames > written or not stop.is_set():
                    written, since = report.frames, time.perf_counter()
                if stop.is_set():
                    decoded.end()  # on behalf of a decoder that may be waiting for a pipe
                    if time.perf_counter() - since > PATIENCE:
                        given_up = True
                        measured.end()  # and of a network that may never return: the file is whole without its frame
                with contextlib.suppress(queue.Empty):
                    step = news.get(timeout=POLL)
                    if step and progress:
                        progress(step)
        finally:
            gone.set()
            self._decoding.join(PATIENCE_PIPE if is_live(self.source) else PATIENCE)
            for stage in stages:
                stage.join(PATIENCE_PIPE if given_up else None)
            self._stuck = [stage for stage in stages if stage.is_alive()]
            self._encoding.join(PATIENCE_PIPE if self.to_pipe else None)
            report.seconds = time.perf_counter() - started
            report.references = magnifier.references
            report.warnings = self.warnings
        if failures:
            raise failures[0]
        report.interrupted = not exhausted.is_set()
        if not report.interrupted:
            self._judge()
        return report

    def _judge(self) -> None:
        """Raise if more of the input was lost than is tolerated."""
        report, reader = self.report, self.reader
        report.lost = max(reader.missing, reader.errors)
        total = report.frames + report.lost
        share = report.lost / max(1, total)
        if share > self.options.max_error_rate:
            raise CorruptInput(
                f"{reader.name}: {report.lost} of about {total} frames could not be read "
                f"({share:.0%}, tolerated {self.options.max_error_rate:.0%}); what could be was written; "
                "get the file again, or raise --max-error-rate"
            )

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close input and output; an output that is not whole is removed. May be called again."""
        # What a thread is still blocked in must not be closed under it: libav would crash. Such a
        # thread only ever waits for a pipe, and there is no file to remove then.
        if self.writer is not None and not (self._encoding and self._encoding.is_alive()):
            self.writer.abort()
        if not (self._decoding and self._decoding.is_alive()):
            self.reader.close()
            if self.targets and not self._stuck:
                self.targets.close()


def provenance(magnifier: Magnifier, settings: str = "") -> str:
    """The line that tells a file's next owner what was done to it, to what of it, and by which other settings."""
    model = magnifier.engine.model.path.stem
    reference = magnifier.policy
    start = magnifier.ramp.at(0) if magnifier.ramp else magnifier.alpha
    line = f"motion magnified by magfilter {__version__}: alpha={start:g} model={model} reference={reference}"
    return f"{line} {settings.strip()}".rstrip()
