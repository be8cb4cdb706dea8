"""`Magnifier`: push a frame, get its magnified frame. The object that other programs embed."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from magfilter import painting
from magfilter.ahead import Ahead, looking_ahead
from magfilter.align import Aligned
from magfilter.anchor import Carry, RunningMean, outgrown
from magfilter.backends import Engine, Renderer, open_engine
from magfilter.backends.output import run_checked
from magfilter.blocks import block_side
from magfilter.checks import check_factor, check_number, check_proxy, check_px, check_threads
from magfilter.cuts import CutDetector, thumbnail
from magfilter.errors import OptionError
from magfilter.exposure import Levelled
from magfilter.gains import AlphaMap, Gains
from magfilter.measured import Measured
from magfilter.media.colour import luma
from magfilter.media.frame import Frame
from magfilter.models import DEFAULT_MODEL
from magfilter.proxy import network_image
from magfilter.ramp import Ramp
from magfilter.reference import ReferencePolicy, parse_reach
from magfilter.render import PlaneRenderer
from magfilter.smooth import Smoother
from magfilter.stages import LARGE
from magfilter.temporal import MotionPart, parse_band, parse_bands

__all__ = ["CROSS_FADE", "DEFAULT_PROXY", "AlphaMap", "Magnifier"]

Array = NDArray[np.float32]

DEFAULT_PROXY = 1.0  # megapixels; see Magnifier
CROSS_FADE = 0.5  # seconds; see Magnifier
REACH = 10.0  # px of what the network sees, somewhat less than the largest motion it was trained on
USUAL_RATE = 25.0  # frames a second, where neither the frames nor the caller say when they are: for fades only


class Magnifier:
    """Magnifies motion, frame by frame, in memory that does not grow.

    Args:
        alpha: magnification factor, total: output displacement = alpha × input displacement. 1 returns
            every frame untouched, 0 freezes motion, 0..1 attenuates it; a million is the most.
        alpha_map: a factor of 0 or more for every pixel of the reference, (H, W) of numbers, which takes
            alpha's place; or a function that returns one, called with the number of each frame that
            becomes the reference (0 is the first pushed). It says which things are magnified, not which
            part of the picture: they take their factor with them wherever they move, also over what has
            another. Where it is 1 and nothing else comes, frames keep their bits; see `magfilter.masks`
            for what makes such maps.
        model: a shipped model's name or the path of an ONNX file.
        backend: "auto", or one of `magfilter.backends.BACKENDS`.
        device: "auto", "cpu", or what the backend understands ("cuda:0").
        alpha_keys: keyframes (seconds from the first frame, alpha) or "seconds=alpha", with straight lines
            between them, which take alpha's place; a map painted for `alpha`, the factor in it that follows the
            keyframes, is scaled with them. Frames must have a time, or fps be given.
        reference: "first", "previous", "every:SECONDS", "mean:SECONDS", "frame:N", or a ReferencePolicy. For
            frame:N give the frame to `set_reference` before the first push, unless N is 0.
        shot_cuts: take a new reference at every shot cut (not with frame:N).
        reanchor: px; once more than a hundredth of the picture has moved farther, the frame becomes the
            reference of those that follow. "auto": as far as the network can follow. None: never.
        cross_fade: seconds over which the displacement shown so far fades when the reference is replaced by
            the clock or by `reanchor` (at most half of every:SECONDS); 0 jumps. Never across shot cuts. With
            `reanchor`, arrays are taken for 25 a second unless fps says otherwise.
        proxy: motion is measured on a copy of at most this many megapixels, at a half, a third, … of the
            resolution; the picture itself is moved at full size. 0 measures at full size.
        threads: of the network on a CPU; 0 for all cores.
        at_once: frames that `stream` and `foresee` may have measured at the same time; the network's threads are shared
            out among them. Engines that run one at a time do not look at it.
        band: (LOW, HIGH) Hz or "LOW:HIGH": motion of these frequencies is magnified; within about two octaves of
            them it changes as well, the more the larger alpha, see `magfilter.temporal`. Frames must come in order;
            a new reference begins anew.
        notch: one such band, or several, whose motion is not magnified.
        fps: frames a second, for band and notch; may also be given to `part.tune` before the first frame. For
            every:SECONDS, mean:SECONDS and alpha_keys too, where the frames have no time, as arrays have none.
        detrend: the camera's motion is not magnified: the affine motion that most of the picture's rim follows.
        max_shift: px by which magnification shows a thing away from where it is in the frame, at most. Up to
            half of it nothing changes; beyond, the shift bends towards it.
        smooth: px over which measured motion is averaged within things, not across their outlines; see
            `magfilter.smooth`. Against what compression makes of straight edges.
        align: where the camera moves, measure every frame twice, the second time with the ground brought to rest; see
            `magfilter.align`. None does so with `detrend`.

    Raises:
        OptionError: an argument is out of range, or the model paints frames and cannot be told more than
            one alpha; band or notch with the reference "previous".
        ModelError, BackendError: see `magfilter.backends.open_engine`.

    Example:
        magnifier = Magnifier(alpha=10)
        for rgb in frames:                 # (H, W, 3) uint8
            show(magnifier.push(rgb))
    """

    def __init__(
        self,
        alpha: float,
        *,
        alpha_map: AlphaMap | None = None,
        alpha_keys: Sequence[Any] = (),
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        backend: str = "auto",
        device: str = "auto",
        reference: str | ReferencePolicy = "first",
        shot_cuts: bool = True,
        reanchor: float | str | None = None,
        cross_fade: float = CROSS_FADE,
        proxy: float = DEFAULT_PROXY,
        threads: int = 0,
        at_once: int = 1,
        band: str | Sequence[float] | None = None,
        notch: str | Sequence[Any] = (),
        fps: float | None = None,
        detrend: bool = False,
        max_shift: float | None = None,
        smooth: float | None = None,
        align: bool | None = None,
    ) -> None:
        self.alpha = check_factor("alpha", alpha)
        self.policy = reference if isinstance(reference, ReferencePolicy) else ReferencePolicy.parse(reference)
        self.proxy = check_proxy(proxy)
        for name, value in (("max_shift", max_shift), ("smooth", smooth)):
            if value is not None:
                check_px(name, value)
        check_number("cross_fade", cross_fade, "0 (jump) or a number of seconds", lambda x: x >= 0)
        threads = check_threads(threads)
        check_number("at_once", at_once, "a number of frames, 1 or more", lambda x: x >= 1 and x == int(x))
        self.max_shift, self.smooth = max_shift, smooth
        self._smoother = None if smooth is None else Smoother(smooth)
        self.reach = parse_reach(reanchor, self.policy)
        """px beyond which the reference is replaced; inf for as far as the network can follow."""
        self.part = MotionPart(
            None if band is None else parse_band(band),
            parse_bands(notch),
            detrend,
            fps,
            velocity=self.policy.kind == "previous",
        )
        """Which part of the motion is magnified."""
        self.fps = fps
        if self.policy.kind == "mean":  # it changes with every frame, so that none can be measured ahead
            at_once = 1
        self.engine: Engine = open_engine(os.fspath(model), backend, device, threads, at_once)
        self._renderer: Renderer = PlaneRenderer(self.engine)
        engine, factor = self.engine, self.alpha  # what measures flow does not look at the factor
        self.levelled = Levelled(lambda one, two: run_checked(engine, one, two, factor))
        """Takes changing light out of what is measured."""
        self._motion: Callable[[Array, Array], Array] = self.levelled
        if (detrend if align is None else align) and self.engine.model.descriptor.output == "flow":
            self._motion = Aligned(self._motion, self.engine.resample)
        runs = self.engine.at_once
        self._ahead = Ahead(self._motion, runs) if runs > 1 else None
        self.ramp: Ramp | None = None
        """alpha over time."""
        network = self.engine.model.descriptor
        self.passes = painting.passes(network, self.alpha)
        """Runs of the network that bring a frame to alpha: 1, but for networks that paint."""
        if self.paints:
            whole = self.max_shift is None and self.smooth is None and self.part.whole
            renewed = self.reach is not None or self.policy.kind == "mean"
            painting.refuse(network.name, mapped=alpha_map is not None, filtered=not whole, renewed=renewed)
        if alpha_keys:
            self.set_ramp(Ramp.parse(alpha_keys))
        self._gains = Gains(alpha_map)
        self._same = self._gains.ones or (self.alpha == 1 and alpha_map is None)  # the identity by definition
        self._cuts = CutDetector() if shot_cuts and self.policy.kind != "frame" else None
        self._reference: Array | None = None  # as the network sees it, padded
        self._since: float | None = None
        self._begun: float | None = None  # when the first frame was
        self._carry = Carry(min(cross_fade, self.policy.seconds / 2) if self.policy.kind == "every" else cross_fade)
        self._mean = RunningMean(self.policy.seconds, self.engine.resample) if self.policy.kind == "mean" else None
        self._shape: tuple[int, int] | None = None
        self._count = 0  # frames pushed since the beginning or `reset`
        self.flow: Array | None = None
        """Flow of the last pushed frame, (2, h, w) in px of the full picture; None where there is none, as after the
        first frame, which is the reference."""
        self.references = 0
        """References taken so far."""
        self._watched = False

    @property
    def paints(self) -> bool:
        """Whether the network paints frames and measures no motion; see `magfilter.painting`."""
        return self.engine.model.descriptor.output == "frame"

    def watch(self) -> None:
        """Measure every frame's motion from now on, also where alpha is 1 and none is magnified.

        Raises:
            OptionError: the model paints frames and measures no motion.
        """
        if self.paints:
            raise OptionError(
                f"model {self.engine.model.descriptor.name} measures no motion that could be shown; "
                f"leave --flow out, or use --model {DEFAULT_MODEL}"
            )
        self._watched = True

    def set_ramp(self, ramp: Ramp) -> None:
        """Let alpha follow keyframes from here on; `alpha` is then only what maps were painted with.

        Raises:
            OptionError: the network cannot be told one of them.
        """
        self.passes = max(painting.passes(self.engine.model.descriptor, alpha) for _, alpha in ramp.keys)
        self.ramp = ramp

    @overload
    def push(self, frame: Frame) -> Frame: ...
    @overload
    def push(self, frame: NDArray[Any]) -> NDArray[Any]: ...
    def push(self, frame: Frame | NDArray[Any]) -> Frame | NDArray[Any]:
        """The next frame, magnified.

        Args:
            frame: a `Frame`, or an RGB array (H, W, 3) uint8 or uint16.

        Returns:
            The same kind, size and depth. A frame that becomes the reference is returned untouched.

        Raises:
            ValueError: if the array's shape or dtype, or the size within a stream, does not fit.
            OptionError: if the alpha map is of another size, or the one a function returned is none; or there is
                a band and no fps; or every:SECONDS, mean:SECONDS or alpha_keys, no fps and a frame without a time.
        """
        if not isinstance(frame, Frame):
            return self.render(self.measure(Frame.from_rgb(frame))).to_rgb()
        return self.render(self.measure(frame))

    @overload
    def stream(self, frames: Iterable[Frame]) -> Iterator[Frame]: ...
    @overload
    def stream(self, frames: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]: ...
    def stream(self, frames: Iterable[Any]) -> Iterator[Any]:
        """A sequence of frames, each magnified as by `push`, but sooner: up to `at_once` are measured side by side.

        Args:
            frames: as for `push`. So many of them are asked for before the first result comes; an array must not be
                written to before its own has come.

        Yields:
            One for each, in order and of its kind; `flow` is then that frame's.

        Raises:
            ValueError, OptionError: as `push`; and what `frames` raises, once all that came before has been yielded.
        """
        arrays: deque[bool] = deque()  # of what was asked for and not yet given back

        def as_frames() -> Iterator[Frame]:
            for item in frames:
                array = not isinstance(item, Frame)
                frame = Frame.from_rgb(item) if array else item
                arrays.append(array)
                yield frame

        try:
            for frame in looking_ahead(as_frames(), self.foresee, self.engine.at_once):
                shown = self.push(frame)
                yield shown.to_rgb() if arrays.popleft() else shown
        finally:
            if self._ahead:  # whoever stops here does not want the others
                self._ahead.drop()

    def set_reference(self, frame: Frame | NDArray[Any]) -> None:
        """Make this frame the reference of those that follow, without counting it as one of them.

        Raises:
            ValueError, OptionError: as `push`.
        """
        frame = frame if isinstance(frame, Frame) else Frame.from_rgb(frame)
        self._check(frame)
        number = self.policy.number if self.policy.kind == "frame" else self._count
        seen = self._see(frame)
        self._take(seen, frame, number)
        self._carry.drop()
        if self._mean:
            self._mean.start(seen, self._time(frame, number))
        self.part.restart(at_rest=False)  # any time may have passed between it and what is pushed next

    def reset(self) -> None:
        """Forget the reference: the next frame becomes one."""
        self._reference = self._shape = self.flow = self._since = self._begun = None
        self._carry.drop()
        self._gains.drop()
        self._count = 0
        if self._ahead:
            self._ahead.drop()
        if self._cuts:
            self._cuts = CutDetector()

    def _check(self, frame: Frame) -> None:
        if self._shape is None:
            self._gains.check(frame.height, frame.width)
            self._shape = (frame.height, frame.width)
        elif self._shape != (frame.height, frame.width):
            raise ValueError(
                f"Expected frames of {self._shape[1]}x{self._shape[0]} like the reference, "
                f"got {frame.width}x{frame.height}; call reset() before another video."
            )

    @property
    def moves_here(self) -> bool:
        """Whether it is the CPU that moves the pictures: no device, and no network that paints them."""
        idle = self._same and self.ramp is None
        return not self.paints and self.engine.renderer is None and not idle

    @property
    def foresees(self) -> bool:
        """Whether `foresee` does anything here."""
        idle = self._same and self.ramp is None and not self._watched
        return self._ahead is not None and not idle

    def foresee(self, frame: Frame) -> None:
        """Begin to measure a frame before its turn, so that several are measured at once; `measure` must follow.

        Each frame once, in the order in which they will be given to `measure`, by one thread, which need not
        be the one that measures. Changes what comes out in nothing; what is wrong with the frame, `measure` says.
        Large frames wait for their turn: memory counts there, and moving their pixels takes longer.
        """
        if sum(plane.nbytes for plane in frame.planes) > LARGE:
            return
        if not self.foresees or (self._shape or (frame.height, frame.width)) != (frame.height, frame.width):
            return
        assert self._ahead is not None
        light = luma(frame)
        image = self._see(frame, light)
        # The first frame looked at will be the reference, unless there is one.
        reference = self._reference if self._reference is not None else self._ahead.first
        if self.policy.kind == "previous":
            reference = self._ahead.last
        if self._gains.idle and not self._watched:
            reference = None  # where nothing is magnified, nothing is measured
        if reference is not None and reference.shape != image.shape:
            reference = None  # `measure` will refuse it
        self._ahead.look(frame, thumbnail(light), image, reference)

    def measure(self, frame: Frame) -> Measured:
        """The first half of `push`: the frame's motion, in order, the network's share of the work.

        `push(frame)` is `render(measure(frame))`. A program with threads to spare may render one frame
        while it measures the next.

        Raises:
            ValueError, OptionError: as `push`.
        """
        self._check(frame)
        self.flow = None
        if self._same and self.ramp is None and not self._watched:
            return Measured(frame)
        if self._reference is None and self.policy.kind == "frame" and self.policy.number:
            raise ValueError(f"Expected set_reference(frame {self.policy.number}) before the first push.")
        foreseen = self._ahead.take(frame) if self._ahead else None
        if foreseen:
            small, seen = foreseen.small, foreseen.image
        else:
            light = luma(frame)
            small, seen = thumbnail(light), self._see(frame, light)
        cut = self._cuts.follow(small, frame.layout.depth) if self._cuts else False
        number, self._count = self._count, self._count + 1
        time = self._time(frame, number)
        alpha = self._alpha(frame, time)
        reference, gain, idle = self._reference, self._gains.now, self._gains.idle
        if self.policy.seconds:
            self._require_time(frame, f"reference {self.policy} needs")
        due = self.policy.due(time, self._since)
        if reference is None or cut or (due and (self.paints or not self._carry.seconds)):
            self._take(seen, frame, number)
            self._carry.drop()
            if self._mean:
                self._mean.start(seen, time)
            return Measured(frame, alpha=alpha)
        if self.policy.kind == "previous":
            self._take(seen, frame, number)
        if idle and not self._watched:  # a mask that is empty just now
            if due:
                self._take(seen, frame, number)
            return Measured(frame, alpha=alpha)
        if self.paints:
            return Measured(painting.painted(self.engine, reference, seen, frame, alpha), alpha=alpha)
        stride, k = self._stride(frame), self._side(frame)
        guess = foreseen.against(reference) if foreseen else None
        whole = self._motion(reference, seen) if guess is None else guess
        rows, cols = math.ceil(frame.height / stride), math.ceil(frame.width / stride)
        flow = np.ascontiguousarray(whole[:, :rows, :cols]) * np.float32(k)
        if self._smoother:
            flow = self._smoother(flow, reference, stride // k, stride, frame.layout.depth)
        self.flow = flow
        # Here rather than in `render`, since filters need every frame, in order.
        part = None if self.part.whole else self.part(flow)
        if gain is not None and self.ramp:
            gain = self.ramp.scaled(gain, self.alpha, alpha)
        found = Measured(frame, flow, gain, part, alpha, self._carry.at(time))
        if due or (self.reach is not None and outgrown(flow, min(self.reach, REACH * k))):
            shown = found.shown
            self._carry.take(flow if shown is None else shown, flow, stride, time)
            self._take(seen, frame, number)
            if self._mean:
                self._mean.start(seen, time)
        elif self._mean:
            self._reference = self._mean.follow(seen, whole, time)
            if self._cuts:
                self._cuts.anchor()
        return found

    def _time(self, frame: Frame, number: int) -> float:
        """Seconds, of frame `number`."""
        return frame.time if frame.time is not None else number / (self.part.rate or self.fps or USUAL_RATE)

    def _alpha(self, frame: Frame, time: float) -> float:
        """The factor in force at `time` s."""
        if self._begun is None:
            self._begun = time
        if self.ramp is None:
            return self.alpha
        self._require_time(frame, "alpha_keys need")
        return self.ramp.at(time - self._begun)

    def _require_time(self, frame: Frame, who: str) -> None:
        if frame.time is None and self.part.rate is None:
            raise OptionError(f"{who} to know when a frame is, and arrays do not say; give fps")

    def render(self, measured: Measured) -> Frame:
        """The second half of `push`: the frame with its motion magnified. Depends on nothing before it."""
        frame, flow, gain, alpha = measured.frame, measured.flow, measured.gain, measured.alpha
        factor = gain if gain is not None else self.alpha if alpha is None else alpha
        if flow is None or np.all(np.asarray(factor) == 1):
            return frame
        renderer = self.engine.renderer or self._renderer
        return renderer.render(frame, flow, factor, self._stride(frame), measured.shown, self.max_shift)

    def _take(self, seen: Array, frame: Frame, number: int) -> None:
        """Make frame `number` the reference, and its alpha map the one in force."""
        self._gains.take(number, frame.height, frame.width, self._stride(frame))
        self.part.restart(at_rest=True)
        self._reference, self._since = seen, self._time(frame, number)
        self.references += 1
        if self._cuts:
            self._cuts.anchor()

    def _side(self, frame: Frame) -> int:
        """Side of the blocks of pixels that are one pixel of the proxy."""
        return 1 if self.paints else block_side(frame.height, frame.width, self.proxy)

    def _see(self, frame: Frame, light: Array | None = None) -> Array:
        """The frame as the network wants it: (C, H, W), reduced, padded by repeating the border."""
        self.levelled.depth = frame.layout.depth
        return network_image(frame, self.engine.model.descriptor, self._side(frame), light)

    def _stride(self, frame: Frame) -> int:
        """Px of the full picture per point of the flow."""
        return self.engine.model.descriptor.output_stride * self._side(frame)
