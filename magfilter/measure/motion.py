"""Measuring the motion of a video's regions, frame by frame.

First the network looks at some dozens of frames and says what moves in each region, what rests around it, and where
things went that have gone far. Then each region's moving part is registered in every frame against the reference,
by `magfilter.measure.register`, from where it was last; the network is asked again only where that fails or the part
has jumped. Beside one frame, memory holds only numbers: some for every frame and region.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.errors import OptionError
from magfilter.exposure import Stretch
from magfilter.magnifier import Magnifier
from magfilter.masks import Region
from magfilter.measure.choose import choose, place
from magfilter.measure.noise import Background
from magfilter.measure.options import MeasureOptions
from magfilter.measure.register import Patch
from magfilter.measure.result import Motion, RegionMotion, main_direction
from magfilter.measure.shots import OneShot, told
from magfilter.measure.stretch import longest
from magfilter.measure.survey import ENOUGH, Pattern, Survey, turn_field
from magfilter.measure.timing import find_timing
from magfilter.measure.tracks import Tracks, compressed, notes_on
from magfilter.media import Frame, VideoReader
from magfilter.media.colour import luma
from magfilter.media.sequence import is_pattern
from magfilter.media.source import is_live
from magfilter.models import DEFAULT_MODEL
from magfilter.pipeline import PATIENCE, PATIENCE_PIPE
from magfilter.report import Progress
from magfilter.stages import Lane, Stopped, patiently, start_stage

__all__ = ["measure_motion"]

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

BUFFER = 256_000_000  # bytes of a stream's first frames, held until it is known what moves
LIKE = 0.5  # correlation below which the network is asked
WIDEST = 1e4  # times as long as all frames may a gap between them be, before only one side of it is measured
LOST = 0.3  # correlation below which a thing was not found
JUMP = 0.75  # px from one frame to the next, from which on the network is asked


def measure_motion(
    source: str | os.PathLike[str],
    options: MeasureOptions | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    **changes: Any,
) -> Motion:
    """Displacement over time of regions of a video, with its uncertainty, spectrum and peaks.

    Args:
        source: path, or "-" for stdin.
        options: see `MeasureOptions`; further keyword arguments replace single fields (``roi="10,20,64,64"``).
        progress: called after every frame, in the calling thread: first of the survey, then of the measurement.
        stop: set it to end early, with what was measured so far.

    Returns:
        The measurement: times, and of every region displacement, uncertainty, spectrum, peaks.

    Raises:
        OptionError: an option is out of range, a region outside the picture, the frame rate unknown.
        InputError, ModelError, BackendError: as `magfilter.magnify_video`.
        Stopped: `stop` was set before a frame was measured.

    Example:
        motion = measure_motion("beam.mp4", roi="400,120,80,60", fps=1000)
        motion.times, motion[0].displacement, motion[0].peaks
    """
    begun = time.perf_counter()
    job = _Job(os.fspath(source), replace(options or MeasureOptions(), **changes), progress, stop or threading.Event())
    motion = job.run()
    return replace(motion, seconds=time.perf_counter() - begun)


class _Job:
    def __init__(
        self,
        source: str,
        options: MeasureOptions,
        progress: Callable[[Progress], None] | None,
        stop: threading.Event,
    ) -> None:
        self.source, self.options, self.progress, self.stop = source, options, progress, stop
        self.live = is_live(source)
        self.far = options.policy.number if options.policy.kind == "frame" else 0
        if self.far and self.live:
            raise OptionError(
                f"reference {options.reference} must be found before the first frame is measured, which a pipe does "
                "not allow; use --reference first, or a file"
            )
        self.magnifier = Magnifier(
            2,
            model=options.model,
            backend=options.backend,
            device=options.device,
            shot_cuts=False,
            proxy=options.proxy,
            threads=options.threads,
        )
        if self.magnifier.engine.model.descriptor.output == "frame":
            raise OptionError(
                f"model {self.magnifier.engine.model.descriptor.name} measures no motion; use --model {DEFAULT_MODEL}"
            )
        self.warnings: list[str] = []
        self.turns = 0
        self.begin = 0  # number of the first frame of the reference's shot
        self.begun_at = 0.0  # s, its time after the first frame's
        self.skipped = 0  # frames that interrupted it
        self.cut: tuple[int, float | None] | None = None  # number and time of the first frame that is beyond the shot
        self.stretch = Stretch()

    # -- reading

    @contextmanager
    def _open(self) -> Iterator[tuple[VideoReader, Iterator[Frame]]]:
        """The input and its frames, decoded in a thread so that a pipe that waits does not hold up Ctrl-C."""
        o = self.options
        reader = patiently(
            lambda: VideoReader(
                self.source,
                format=o.input_format,
                start=o.start,
                duration=o.duration,
                threads=o.threads,
                framerate=o.fps if is_pattern(self.source) else None,
            ),
            self.stop,
        )
        gone, failures = threading.Event(), []  # type: tuple[threading.Event, list[BaseException]]
        # A stop ends the lane, whoever waits at its ends.
        lane = Lane(self.stop)

        def decode() -> None:
            for item in reader:
                if gone.is_set() or (isinstance(item, Frame) and not lane.put(item)):
                    return

        def frames() -> Iterator[Frame]:
            yield from lane
            if failures:
                raise failures[0]

        thread = start_stage("decode", decode, lane.end, failures, threading.Event())
        try:
            yield reader, frames()
        finally:
            gone.set()
            lane.end()
            thread.join(PATIENCE_PIPE if self.live else PATIENCE)
            if not thread.is_alive():  # libav would crash if it were closed under it
                reader.close()

    def _shot(self, frames: Iterator[Frame]) -> Iterator[tuple[int, Frame]]:
        """The frames of the reference's shot, with their numbers among all."""
        shot = OneShot()
        for number, frame in enumerate(frames):
            if number < self.begin:
                continue
            if shot.follow(number, frame):
                yield number, frame
            elif shot.over:
                break
            self.skipped = shot.skipped
        self.cut = shot.since

    def _light(self, frame: Frame) -> Array:
        return self.stretch(np.ascontiguousarray(np.rot90(luma(frame), self.turns)))

    def _flow(self, frame: Frame) -> Array:
        flow = self.magnifier.measure(frame).flow
        assert flow is not None  # the reference was set, and no shot cut is looked for
        return turn_field(flow, self.turns)

    def _tell(self, done: int, expected: int | None, begun: float, position: float | None) -> None:
        if self.progress:
            self.progress(Progress(done, expected, time.perf_counter() - begun, position))

    # -- the survey

    def run(self) -> Motion:
        with self._open() as (reader, frames):
            info = reader.info
            self.turns = info.rotation // 90 % 4 if info.rotation % 90 == 0 else 0
            size = (info.width, info.height) if self.turns % 2 else (info.height, info.width)
            regions = self.options.regions or (Region(0, 0, size[1], size[0]),)
            for region in (*regions, *filter(None, [self.options.still_region])):
                region.check(size)
            if self.options.fps is None and not info.rate and not reader.timed:
                raise OptionError(f"{reader.name} does not say its frame rate, which a spectrum needs; give --fps RATE")
            expected = reader.expected_frames
            reference = self._find_frame(self.far) if self.far else next(frames, None)
            if reference is None:
                raise Stopped
            self.magnifier.set_reference(reference)
            self.stretch = Stretch.of(luma(reference), reference.layout.depth)
            light = self._light(reference)
            every = 2 if self.live else max(1, (expected or 1) // ENOUGH)
            survey = Survey(size, every, self.options.detrend)
            begun = time.perf_counter()
            held: list[Frame] = [] if self.far else [reference]
            if self.live:
                noise = self._survey(survey, light, self._hold(frames, held), begun)
            else:
                with self._open() as (_, again):
                    noise = self._survey(survey, light, again, begun)
                if self.cut and (length := self.cut[0] - self.begin) < every * ENOUGH and every > 1:
                    survey = Survey(size, max(1, length // ENOUGH), self.options.detrend)
                    with self._open() as (_, again):
                        noise = self._survey(survey, light, again, begun)
            if self.stop.is_set():
                raise Stopped
            noise = max(noise, self.stretch.factor / (reference.layout.peak * np.sqrt(12)))

            def all_frames() -> Iterator[Frame]:
                while held:
                    yield held.pop(0)
                yield from frames

            # One large patch takes its time in NumPy, where nobody asks for a stop: who waits here need not.
            patches, patterns, background = patiently(
                lambda: choose(survey, light, noise, regions, self.options, self.warnings, self.stop), self.stop
            )
            tracks = Tracks(patches, [pattern.weights > 0.5 for pattern in patterns])
            last = None
            for number, frame in self._shot(all_frames()):
                if last is None:
                    begun = time.perf_counter()
                last = self._measure(frame, tracks, background, last, regions)
                self._tell(number + 1, expected, begun, frame.time)
                if self.stop.is_set():
                    break
            if not len(tracks):
                raise Stopped
            return self._finish(reader, regions, patches, patterns, background, tracks)

    def _find_frame(self, wanted: int) -> Frame:
        """A frame by its number, and where its shot begins."""
        seen, shot, first = 0, OneShot(), None
        with self._open() as (_, frames):
            for frame in frames:
                first = frame.time if first is None else first
                shot.follow(seen, frame)
                if shot.since and (shot.over or seen == wanted):
                    self.begin, self.begun_at = shot.since[0], (shot.since[1] or 0.0) - (first or 0.0)
                    shot = OneShot()
                    shot.follow(seen, frame)
                if seen == wanted:
                    return frame
                seen += 1
        if self.stop.is_set():
            raise Stopped
        raise OptionError(
            f"reference {self.options.reference} lies beyond the end: the input has {seen} frames, 0 to {seen - 1}"
        )

    def _hold(self, frames: Iterator[Frame], held: list[Frame]) -> Iterator[Frame]:
        """A stream's first frames, which are kept to be measured later."""
        yield from list(held)
        size = sum(plane.nbytes for plane in held[0].planes)
        for frame in frames:
            held.append(frame)
            yield frame
            if len(held) >= 2 * ENOUGH or len(held) * size > BUFFER:
                return

    def _survey(self, survey: Survey, light: Array, frames: Iterator[Frame], begun: float) -> float:
        """Fill the survey; the noise of a frame, of 0..1."""
        quiet = np.inf
        step = max(1, int(np.sqrt(light.size / 40_000)))
        for number, frame in self._shot(frames):
            if self.stop.is_set():
                break
            if number == self.far or not survey.wants(number):
                continue
            survey.add(self._flow(frame))
            change = np.abs(self._light(frame)[::step, ::step] - light[::step, ::step])
            quiet = min(quiet, float(np.median(change)) * 1.4826 / np.sqrt(2))
            self._tell(len(survey), ENOUGH, begun, frame.time)
        return quiet if np.isfinite(quiet) else 0.0

    # -- the measurement

    def _measure(
        self,
        frame: Frame,
        tracks: Tracks,
        background: Background,
        before: Array | None,
        regions: tuple[Region, ...],
    ) -> Array:
        light = self._light(frame)
        flow: Array | None = None

        def start(patch: Patch) -> Floats:
            """The network's answer for a patch: the mean flow over it."""
            nonlocal flow
            flow = self._flow(frame) if flow is None else flow
            # Of a picture one pixel high or wide, only the other side tells how far apart the points are.
            k = max(light.shape[0] / flow.shape[1], light.shape[1] / flow.shape[2])
            part = flow[
                :,
                int(patch.top / k) : max(int((patch.top + patch.size[0]) / k), int(patch.top / k) + 1),
                int(patch.left / k) : max(int((patch.left + patch.size[1]) / k), int(patch.left / k) + 1),
            ]
            return np.asarray(np.median(part, (1, 2)), np.float64)

        camera = background.follow(light, start)
        for k, patch in enumerate(tracks.patches):
            fit = patch.find(light, tracks.last[k])
            far = np.abs(np.nan_to_num(fit.vector - tracks.last[k])).max() > JUMP
            if len(patch.axes) and (fit.likeness < LIKE or far):
                other = patch.find(light, start(patch))
                fit = other if other.likeness > fit.likeness else fit
            lost = bool(len(patch.axes)) and fit.likeness < LOST
            if not lost and len(patch.axes):
                tracks.last[k] = fit.vector
            vector = fit.vector - (camera[0] + fit.centre @ camera[1:]) if self.options.detrend else fit.vector
            frozen = np.nan
            if before is not None:
                rows, cols = place(regions[k])
                frozen = float(np.mean((before[rows, cols] == light[rows, cols])[tracks.parts[k]]))
            tracks.add(k, np.full(2, np.nan) if lost else vector, np.nan if lost else fit.noise, lost, frozen)
        tracks.end(frame)
        return light

    def _finish(
        self,
        reader: VideoReader,
        regions: tuple[Region, ...],
        patches: list[Patch],
        patterns: list[Pattern],
        background: Background,
        tracks: Tracks,
    ) -> Motion:
        begun = self.begun_at if self.begin else None
        self.warnings += told(reader.name, self.options.start or 0.0, begun, self.cut, self.skipped, len(tracks))
        kept, times = tracks.distinct(), np.array(tracks.times)
        part = longest(reader.name, times, self.options.fps, self.warnings, WIDEST)
        kept[part] |= kept[part].sum() < 2  # of a few frames that are all the same, a rate is not told
        timing = find_timing(reader.info, times[part], self.options.fps, self.warnings, kept[part])
        timing = replace(timing, numbers=timing.numbers + part.start)
        kept[: part.start] = kept[part.stop :] = False
        background.keep(kept)
        lossy = compressed(reader)
        found: list[RegionMotion] = []
        for k, (region, patch, pattern) in enumerate(zip(regions, patches, patterns, strict=True)):
            vectors, residue, lost, frozen = tracks.of(k, kept)
            noise = background.noise_of(patch, residue, timing.times, timing.rate, timing.even)
            notes = notes_on(patch, pattern, lost, len(vectors), frozen if lossy else 0.0)
            for note in notes:
                self.warnings.append(f"roi {region}: {note}" if note[0].isdigit() else f"roi {region} {note}")
            displacement = np.where(patch.told, vectors, np.nan)
            sides = np.stack([noise.variance[:, 0, 0], noise.variance[:, 1, 1]], 1)
            sigma = np.where(patch.told, np.sqrt(sides), np.nan)
            across = vectors if len(patch.axes) else np.full_like(vectors, np.nan)
            share = float(pattern.weights.mean())
            first = found[0] if found else None
            direction = main_direction(across, noise.variance, patch.axes, first.direction if first else None)
            across = across if len(patch.axes) != 1 else np.nan_to_num(across) + 0 * residue[:, None]
            found.append(
                RegionMotion(
                    region, displacement, sigma, direction, share, lost, "; ".join(notes), timing, noise, across, first
                )
            )
        for motion in () if timing.even else found:
            self.warnings += [
                f"roi {motion.region}: a vibration at {peak.image:.5g} Hz explains the motion as well as one at "
                f"{peak.frequency:.5g} Hz: frames are missing so regularly that they look the same"
                for peak in motion.peaks
                if np.isfinite(peak.image)
            ]
        return Motion(
            source=reader.name,
            regions=tuple(found),
            timing=timing,
            reference=str(self.options.policy),
            mm_per_px=self.options.mm_per_px,
            detrended=self.options.detrend,
            still=len(background.patches),
            warnings=[*dict.fromkeys([*reader.warnings, *self.warnings])],
            interrupted=self.stop.is_set(),
            lost=max(reader.missing, reader.errors),
            start=(self.options.start or 0.0) + self.begun_at + (times[part.start] - times[0] if part.start else 0.0),
            um_per_px=self.options.um_per_px,
            settings=self.options.settings,
        )
