"""Looking through a clip for what vibrates: the network's motion of every frame, cell by cell."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.ahead import looking_ahead
from magfilter.checks import check_duration, check_rate, check_start
from magfilter.errors import OptionError
from magfilter.exposure import Stretch
from magfilter.find.cells import FEWEST, PARTS, Shape, gathered, shapes
from magfilter.magnifier import DEFAULT_PROXY, Magnifier
from magfilter.masks import Region
from magfilter.measure.repeats import Repeats
from magfilter.measure.stretch import longest
from magfilter.measure.survey import turn_field
from magfilter.measure.timing import find_timing
from magfilter.measure.tracks import compressed, frozen_notes
from magfilter.media import Frame, VideoReader
from magfilter.media.colour import luma
from magfilter.media.sequence import is_pattern
from magfilter.models import DEFAULT_MODEL
from magfilter.overlay import ArrowGrid, most_noise, sums_over
from magfilter.report import Progress
from magfilter.stages import Stopped
from magfilter.threads import thread_budget

__all__ = ["Found", "Vibration", "find_vibrations"]

Field = NDArray[np.float32]

OUT = 0.5  # px that a cell may lie outside the picture
LEFT = 0.02  # share of the frames in which it may lie further out
MOSTLY = 0.4  # share of the cells that leave the picture, from which on it is told
CALM = 8  # frames from one look at the noise to the next
LONGEST = 20_000  # frames; their spectra take half a gigabyte


@dataclass(frozen=True)
class Vibration:
    """Something that vibrates, in the picture as a player shows it.

    Attributes:
        frequency: Hz.
        amplitude: px, about, half of peak to peak, of its strongest part. `magfilter.measure_motion` measures it, with
            its uncertainty.
        over_noise: how many times it stands above what moves at the frequencies around it, 5 or more if it is clear.
        region: the rectangle around its strongest part.
        phasors: (2, rows, columns) complex, px, x first: a cell's displacement at time t is the real part of its
            phasor · exp(2πi·frequency·t). 0 in cells that do not show it.
    """

    frequency: float
    amplitude: float
    over_noise: float
    region: Region
    phasors: NDArray[np.complex128] = field(repr=False)


@dataclass(frozen=True)
class Found:
    """What a clip was found to hold.

    Attributes:
        vibrations: what stands clear of the noise, strongest first, at most ten.
        faint: where nothing does, what comes nearest to it; None if nothing comes near.
        picture: (H, W, 3) RGB uint8, the reference as shown.
        grid: the cells of the phasors.
        frames: how many were looked at; rate: frames a second; resolution: Hz that can be told apart.
        warnings: lines for the user.
        interrupted: stopped before the end, on request.
        told: frames a second that the input says it has, which `magfilter` goes by; None if it says none.
        top: Hz, the highest frequency that was looked at, where frames are missing; None: half the rate.
    """

    vibrations: list[Vibration]
    faint: Vibration | None
    picture: NDArray[np.uint8] = field(repr=False)
    grid: ArrowGrid
    frames: int
    rate: float
    resolution: float
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False
    told: float | None = None
    top: float | None = None


def find_vibrations(
    source: str | os.PathLike[str],
    *,
    fps: float | None = None,
    detrend: bool = False,
    start: float | None = None,
    duration: float | None = None,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    backend: str = "auto",
    device: str = "auto",
    proxy: float = DEFAULT_PROXY,
    threads: int = 0,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Found:
    """What vibrates in a video, where, and how often.

    The picture is divided into cells, 28 along its longer side. Of a clip with cuts the longest shot counts, of a long
    one the first 20,000 frames, of one with a gap that dwarfs it the longest stretch without. Frames that only repeat
    the one before are left out, if they do so regularly.

    Args:
        source: path, or "-" for stdin.
        fps: true frames a second, 1e-9 to 1e12, where the input says otherwise.
        detrend: leave out the camera's motion, which most of the picture's rim follows.
        start, duration: seconds of the input to look at.
        model, backend, device, proxy, threads: as `magfilter.Magnifier`'s.
        progress: called after every frame, in the calling thread.
        stop: set it to end early, with what was seen so far.

    Raises:
        OptionError: the frame rate is not known, the shot is too short, or the model measures no motion.
        InputError, ModelError, BackendError: as `magfilter.magnify_video`.
        Stopped: `stop` was set before enough was seen.
    """
    for value, check in ((fps, check_rate), (duration, check_duration), (start, check_start)):
        if value is not None:
            check(value)
    if threads < 0:
        raise OptionError(f"threads must be 0 (all cores) or more, got {threads}")
    decoder, network, _, at_once = thread_budget(threads)
    magnifier = Magnifier(
        2, model=model, backend=backend, device=device, proxy=proxy, threads=network, at_once=at_once, detrend=detrend
    )
    if magnifier.engine.model.descriptor.output == "frame":
        name = magnifier.engine.model.descriptor.name
        raise OptionError(f"model {name} measures no motion; use --model {DEFAULT_MODEL}")
    stop = stop or threading.Event()
    name = os.fspath(source)
    rate = fps if is_pattern(name) else None
    reader = VideoReader(name, start=start, duration=duration, threads=decoder, framerate=rate)
    try:
        return _Look(reader, magnifier, fps, progress, stop).run()
    finally:
        reader.close()


class _Shot:
    """The frames of a shot: the first, which the others are measured against, and a few numbers of each."""

    def __init__(self, reference: Frame) -> None:
        self.reference = self._before = reference
        self.cells: list[Field] = []  # of all but the first
        self.left: Any = 0  # (rows, columns) frames in which the camera's motion has taken a cell out of the picture
        self.times: list[float] = []  # s
        self.repeats = Repeats()
        self.unchanged: list[float] = []  # share of the pixels that are those of the frame before

    def add(self, frame: Frame) -> None:
        self.times.append(np.nan if frame.time is None else frame.time)
        self.repeats.add(frame)
        self.unchanged.append(float(np.mean(frame.planes[0] == self._before.planes[0])))
        self._before = frame


class _Look:
    def __init__(
        self,
        reader: VideoReader,
        magnifier: Magnifier,
        fps: float | None,
        progress: Callable[[Progress], None] | None,
        stop: threading.Event,
    ) -> None:
        info = reader.info
        if fps is None and not info.rate and not reader.timed:
            raise OptionError(f"{reader.name} does not say its frame rate, which a frequency needs; give --fps RATE")
        self.reader, self.magnifier, self.fps, self.progress, self.stop = reader, magnifier, fps, progress, stop
        self.turns = info.rotation // 90 % 4 if info.rotation % 90 == 0 else 0
        self.size = (info.width, info.height) if self.turns % 2 else (info.height, info.width)
        self.grid: ArrowGrid | None = None
        self.noise = math.inf  # of a pixel, at most
        self.stretch: Stretch | None = None  # that of the first frame looked at
        self.warnings: list[str] = []

    def run(self) -> Found:
        shots: list[_Shot] = []
        begun = time.perf_counter()
        for number, frame in enumerate(looking_ahead(self._frames(), self.magnifier.foresee, self.at_once), 1):
            found = self.magnifier.measure(frame)
            if found.flow is None:
                shots.append(_Shot(frame))
            else:
                cells = self._cells(found.flow if found.part is None else found.part)
                shots[-1].cells.append(cells)
                if found.part is not None:
                    shots[-1].left += self._outside(self._cells(found.flow) - cells)
            if number % CALM == 0 and shots[-1].reference is not frame:
                self.noise = min(self.noise, most_noise(self._light(frame), self._light(shots[-1].reference)))
            shots[-1].add(frame)
            if self.progress:
                self.progress(Progress(number, self.reader.expected_frames, time.perf_counter() - begun, frame.time))
        if not shots:
            raise Stopped
        shot = max(shots, key=lambda shot: len(shot.times))
        if len(shots) > 1:
            self.warnings.append(f"the clip has cuts; its longest shot of {len(shot.times)} frames was looked at")
        kept, times = shot.repeats.distinct(), np.asarray(shot.times)
        gaps: list[str] = []
        part = longest(self.reader.name, times, self.fps, gaps)
        self.warnings += gaps
        count = int(kept[part].sum())
        if count < FEWEST:
            if self.stop.is_set():
                raise Stopped
            raise OptionError(
                f"{self.reader.name}: {count} frames in a row are too few to tell a frequency; {FEWEST} are needed"
                + "".join(line.replace(self.reader.name + ":", ";", 1) for line in gaps)
            )
        assert self.grid is not None
        moved = gathered(np.stack([np.zeros_like(shot.cells[0]), *shot.cells]))
        moved = moved[part][kept[part]]
        timing = find_timing(self.reader.info, times[part], self.fps, self.warnings, kept[part])
        uneven = None if timing.even else timing.times
        sight = self._sight(shot.reference)
        gone = shot.left > LEFT * len(shot.cells)
        if np.mean(gone) > MOSTLY:
            self.warnings.append(
                f"the camera moves {np.mean(gone):.0%} of its first picture out of sight, where nothing is looked for; "
                "choose a shorter part with -ss and -t"
            )
        clear, faint = shapes(moved, timing.rate, self._side, np.where(gone, 0, sight), uneven)
        clear, faint = self._possible(clear), next(iter(self._possible([faint] if faint else [])), None)
        if not clear and compressed(self.reader):
            frozen = float(np.mean(np.array(shot.unchanged)[part][kept[part]][1:]))
            self.warnings += [f"{self.reader.name}: {note}" for note in frozen_notes(frozen)]
        picture = np.rot90(shot.reference.to_rgb(), self.turns)
        if picture.dtype != np.uint8:
            picture = np.rint(picture / 257).astype(np.uint8)
        return Found(
            [self._vibration(shape) for shape in clear],
            None if faint is None else self._vibration(faint),
            np.ascontiguousarray(picture),
            self.grid,
            count,
            timing.rate,
            timing.rate / count,
            [*dict.fromkeys([*self.reader.warnings, *self.warnings])],
            self.stop.is_set(),
            float(self.reader.info.rate) if self.reader.info.rate else None,
            None if timing.even else timing.top,
        )

    def _possible(self, shapes: list[Shape]) -> list[Shape]:
        """Without those that reach farther than the picture: what times that fit nothing make of noise."""
        return [shape for shape in shapes if shape.amplitude <= max(self.size)]

    def _sight(self, reference: Frame) -> Field:
        """How much a motion by a px, across and down, changes the pixels of a cell, times their noise."""
        assert self.grid is not None
        light = np.ascontiguousarray(np.rot90(self._light(reference), self.turns))
        rows, columns = (len(edges) - 1 for edges in self.grid.edges)
        px = np.zeros((2, 2, rows, columns), np.float32)
        px[0, 0] = px[1, 1] = 1
        return np.hypot(*(self.grid.evidence(motion, light, self.noise) for motion in px))

    def _light(self, frame: Frame) -> Field:
        """Its luma (H, W), as wide as that of other pictures."""
        light = luma(frame)
        if self.stretch is None:
            self.stretch = Stretch.of(light, frame.layout.depth)
        return self.stretch(light)

    @property
    def at_once(self) -> int:
        return max(1, self.magnifier.engine.at_once)

    def _frames(self) -> Iterator[Frame]:
        frames = (item for item in self.reader if isinstance(item, Frame))
        for number, frame in enumerate(frames):
            if self.stop.is_set():
                return
            if number == LONGEST:
                self.warnings.append(f"only the first {LONGEST} frames were looked at; choose others with -ss and -t")
                return
            yield frame

    def _cells(self, flow: Field) -> Field:
        flow = turn_field(flow, self.turns)
        if self.grid is None:
            _, rows, columns = flow.shape
            self.grid = ArrowGrid((rows, columns), -(-self.size[1] // columns), *self.size)
        down, across = (_finer(edges) for edges in self.grid.edges)
        inside = flow[:, down[0] : down[-1], across[0] : across[-1]]
        # Of a picture of a point or two, parts are empty.
        count = np.maximum(np.outer(np.diff(down), np.diff(across)), 1)
        mean: Field = sums_over(inside, down - down[0], across - across[0]) / count.astype(np.float32)
        return mean

    def _outside(self, camera: Field) -> NDArray[np.bool_]:
        """(rows, columns) which cells lie outside the picture, in part, when its first has moved as the camera did.

        What such a cell shows of its own motion is what the network makes up of the picture's rim.

        Args:
            camera: motion (2, ·, ·) px of the cells' parts.
        """
        assert self.grid is not None
        rows, columns = (len(edges) - 1 for edges in self.grid.edges)
        motion = camera.reshape(2, rows, PARTS, columns, PARTS).mean((2, 4))
        out = np.zeros((rows, columns), bool)
        for way, edges, side in ((motion[1].T, self.grid.edges[0], 0), (motion[0], self.grid.edges[1], 1)):
            first, last = edges[:-1] * self.grid.stride, edges[1:] * self.grid.stride
            limit = max(self.size[side], int(last[-1]))
            gone = (first + way < -OUT) | (last + way > limit + OUT)
            out |= gone if side else gone.T
        return out

    @property
    def _side(self) -> float:
        assert self.grid is not None
        rows, _ = self.grid.edges
        return float(rows[1] - rows[0]) * self.grid.stride

    def _vibration(self, shape: Shape) -> Vibration:
        assert self.grid is not None
        rows, columns = (edges * self.grid.stride for edges in self.grid.edges)
        top, left, bottom, right = shape.core
        y, x = int(rows[top]), int(columns[left])
        height, width = min(int(rows[bottom]), self.size[0]) - y, min(int(columns[right]), self.size[1]) - x
        return Vibration(shape.frequency, shape.amplitude, shape.over_noise, Region(x, y, width, height), shape.phasors)


def _finer(edges: NDArray[np.intp]) -> NDArray[np.intp]:
    """The edges of cells' parts."""
    at = np.interp(np.arange(PARTS * (len(edges) - 1) + 1) / PARTS, np.arange(len(edges)), edges)
    return np.floor(at).astype(np.intp)
