"""Choosing alpha by what moves: look through a clip first, and magnify its largest motion to a size that is seen.

What counts is motion that shows: which over the frames looked at changes the brightness of a cell of the picture, and
of one beside it, by more than noise is taken for motion. And only what is magnified: within masks and regions, of the
band, without the camera's.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.ahead import looking_ahead
from magfilter.checks import check_px
from magfilter.errors import OptionError, Stopped
from magfilter.exposure import Stretch
from magfilter.measured import Measured
from magfilter.media import Frame
from magfilter.media.colour import luma
from magfilter.media.source import is_live
from magfilter.options import MagnifyOptions
from magfilter.overlay import ArrowGrid, beside, most_noise
from magfilter.pipeline import Job
from magfilter.report import Progress

__all__ = ["SIZE", "Suggestion", "alpha_for", "suggest_alpha"]

Array = NDArray[np.float32]

SIZE = 0.03  # of the picture's shorter side: what the largest motion becomes, where nobody says
LARGEST = 100.0  # more is never suggested; what moves less than so is easily the camera's, or the codec's
SAMPLES = 48  # frames looked at, at most, where each can be measured by itself
IN_A_ROW = 300  # frames looked at from the beginning, where it takes what came before them
UNKNOWN = 10  # from one frame to the next, where the clip's length is not known
# The change of brightness that the motion of a cell brings about, rms over frames and pixels, over a pixel's noise.
# Photographs that stand still stay below it, with noise of 0.5 to 10 code values. What a codec does to them does not:
# its blocks do move.
SHOWS = 0.1
MOST = 90.0  # percentile of a cell's motion over the frames: one frame of a door that is slammed does not decide
FASTEST = 95.0  # percentile of that over the cells where it shows: nor does one astray
OWN = 2.0  # placeholder for the factor, which what is measured does not depend on


@dataclass(frozen=True)
class Suggestion:
    """A factor, and why.

    Attributes:
        alpha: magnification factor, 1 to 100, two digits.
        motion: px, the largest motion found that shows above the noise, outliers aside; 0 if there is none.
        size: px that this motion was to become.
        frames: how many were looked at.
    """

    alpha: float
    motion: float
    size: float
    frames: int

    def __str__(self) -> str:
        if not self.motion:
            return f"alpha {self.alpha:g}: no motion was found that shows above the noise"
        found = f"alpha {self.alpha:g}: the largest motion found, {self.motion:.2g} px,"
        if self.motion > self.size:
            return f"{found} is more than {self.size:.3g} px already"
        more = f"; give a larger --alpha for {self.size:.3g} px" if self.motion * LARGEST < self.size else ""
        return f"{found} becomes {self.alpha * self.motion:.2g} px{more}"


def suggest_alpha(
    source: str | os.PathLike[str],
    options: MagnifyOptions | None = None,
    *,
    size: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    **changes: Any,
) -> Suggestion:
    """The factor that makes the largest motion of a clip so many px large.

    Looks at up to 48 frames spread over the clip; with a band, a notch or a reference that changes, at the first 300.

    Args:
        source: path of a file, which is read through.
        options: of the job; `alpha` does not count. Further keyword arguments replace single fields of it.
        size: px, above 0 and up to a million; None for 3 % of the picture's shorter side.
        progress: called after every frame that was looked at, in the calling thread.
        stop: set it to end early.

    Raises:
        OptionError: size is out of range; the source is a pipe; the factor would not be one for all, or the model
            measures no motion.
        InputError, ModelError, BackendError: as `magnify_video`.
        Stopped: `stop` was set.
    """
    options = replace(options or MagnifyOptions(), **changes)
    if size is not None:
        check_px("alpha chosen for a size", size)
    if options.alpha_end is not None or options.alpha_keys or options.alpha_map is not None:
        raise OptionError("alpha that changes over time or with the place cannot be chosen by the clip; give numbers")
    options = replace(options, alpha=OWN, compare=None, show_flow=False)
    if is_live(os.fspath(source)):
        raise OptionError("alpha chosen by the clip takes reading it twice, which a pipe cannot give; give a number")
    stop = stop or threading.Event()
    with Job(source, None, options, stop=stop) as job:
        if job.magnifier.engine.model.descriptor.output == "frame":
            name = job.magnifier.engine.model.descriptor.name
            raise OptionError(f"model {name} measures no motion by which alpha could be chosen; give a number")
        cells = _Cells()
        started = time.perf_counter()
        if size is None:
            size = SIZE * min(job.reader.info.width, job.reader.info.height)
        for frame, found, cut in _measured(job):
            if stop.is_set():
                raise Stopped
            cells.add(frame, found, cut)
            if progress:
                progress(Progress(cells.frames, _due(job), time.perf_counter() - started, frame.time))
    motion = cells.largest()
    return Suggestion(alpha_for(motion, size), motion, size, cells.frames)


def alpha_for(motion: float, size: float) -> float:
    """The factor, 1 to 100 with two digits, that makes a motion of so many px `size` px large; 100 for 0 px."""
    return float(f"{min(max(size / motion if motion else LARGEST, 1.0), LARGEST):.2g}")


class _Cells:
    """What moved in the cells of a picture, frame after frame, shot by shot: each has a first frame of its own."""

    def __init__(self) -> None:
        self.frames = 0
        self._stretch: Stretch | None = None
        self._shots: list[_Shot] = []

    def add(self, frame: Frame, found: Measured, cut: bool) -> None:
        """One more frame; of what moves in it, only what is magnified counts. `cut`: with it a shot begins."""
        self.frames += 1
        light = luma(frame)
        if cut or self._stretch is None:
            self._stretch = Stretch.of(light, frame.layout.depth)
        light = self._stretch(light)
        if cut or not self._shots:
            self._shots.append(_Shot(light))
        self._shots[-1].add(frame, light, found)

    def largest(self) -> float:
        """How far what moves most has moved, px; 0 if no motion shows above the noise."""
        ways = np.concatenate([shot.ways() for shot in self._shots])
        return float(np.percentile(ways, FASTEST)) if ways.size else 0.0


class _Shot:
    """The same, of what is measured against one picture, whose luma this is."""

    def __init__(self, light: Array) -> None:
        self._light = light
        self._frames = 0
        self._noise = math.inf
        self._grid: ArrowGrid | None = None
        self._moved: list[Array] = []

    def add(self, frame: Frame, light: Array, found: Measured) -> None:
        self._frames += 1
        if self._frames > 1:
            self._noise = min(self._noise, most_noise(light, self._light))
        flow = found.flow if found.part is None else found.part
        if flow is None:  # it is the reference, or nothing is magnified
            return
        if found.gain is not None:
            flow = flow * (found.gain != 1)
        _, rows, columns = flow.shape
        self._grid = ArrowGrid((rows, columns), -(-frame.width // columns), frame.height, frame.width)
        self._moved.append(self._grid.motion(flow))

    def ways(self) -> Array:
        """How far each cell (n,) in which motion shows above the noise has moved, px."""
        if self._grid is None:
            return np.empty(0, np.float32)
        still = [np.zeros_like(self._moved[0])] * (self._frames - len(self._moved))
        moved = np.stack([*still, *self._moved])  # (n, 2, rows, columns)
        # About its mean: the reference's own noise moves every frame alike.
        swing = moved - moved.mean(0)
        change = [np.square(self._grid.evidence(each, self._light, self._noise)) for each in swing]
        shows = np.sqrt(np.mean(change, 0)) > SHOWS
        ways: Array = np.percentile(np.hypot(moved[:, 0], moved[:, 1]), MOST, 0)[shows & beside(shows)]
        return ways


def _in_order(job: Job) -> bool:
    """Whether what a frame's motion is takes the frames before it."""
    magnifier = job.magnifier
    return magnifier.part.timed or magnifier.reach is not None or magnifier.policy.kind not in ("first", "frame")


def _due(job: Job) -> int | None:
    """How many frames are looked at, if that is known."""
    frames = job.reader.expected_frames
    if not frames:
        return None
    return min(IN_A_ROW, frames) if _in_order(job) else -(-frames // _every(job))


def _every(job: Job) -> int:
    """How many frames lie from one that is looked at to the next."""
    return 1 if _in_order(job) else -(-(job.reader.expected_frames or UNKNOWN * SAMPLES) // SAMPLES)


def _measured(job: Job) -> Iterator[tuple[Frame, Measured, bool]]:
    """The frames that are looked at, what moves in them, and whether a shot begins."""
    magnifier, targets, number = job.magnifier, job.targets, count()
    every = _every(job)

    def chosen() -> Iterator[Frame]:
        frames = (item for item in job.reader if isinstance(item, Frame))
        yield from islice(frames, 0, IN_A_ROW if _in_order(job) else None, every)

    for frame in looking_ahead(chosen(), magnifier.foresee, max(1, magnifier.engine.at_once)):
        if targets:
            targets.follow(next(number) * every)
        before = magnifier.references
        found = magnifier.measure(frame)
        yield frame, found, found.flow is None and magnifier.references > before
