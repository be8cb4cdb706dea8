"""`Magnifier`: push a frame, get its magnified frame. The object that other programs embed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from magfilter.backends import Engine, open_engine
from magfilter.displace import magnified_displacement
from magfilter.errors import OptionError
from magfilter.masks import as_factors, reduce_factors
from magfilter.media.colour import from_rgb_float, luma, to_rgb_float
from magfilter.media.frame import Frame
from magfilter.models import DEFAULT_MODEL
from magfilter.reference import CutDetector, ReferencePolicy
from magfilter.temporal import MotionPart, parse_band, parse_bands

__all__ = ["DEFAULT_PROXY", "AlphaMap", "Magnifier", "Measured"]

Array = NDArray[np.float32]
AlphaMap = NDArray[Any] | Callable[[int], NDArray[Any]]

DEFAULT_PROXY = 1.0  # megapixels; see Magnifier


class Measured(NamedTuple):
    """A frame on its way through a `Magnifier`.

    Attributes:
        frame: the frame; already finished where `flow` is None.
        flow: (2, h, w) float32, px of the full picture, from the reference to the frame.
        gain: the factor of every point (h, w) of the flow; None for the magnifier's alpha everywhere.
        part: (2, h, w) float32 px, what of the flow is magnified; None for all of it.
    """

    frame: Frame
    flow: Array | None = None
    gain: Array | None = None
    part: Array | None = None


class Magnifier:
    """Magnifies motion, frame by frame, in memory that does not grow.

    Args:
        alpha: magnification factor, total: output displacement = alpha × input displacement. 1 returns
            every frame untouched, 0 freezes motion, 0..1 attenuates it.
        alpha_map: a factor of 0 or more for every pixel of the reference, (H, W) of numbers, which takes
            alpha's place; or a function that returns one, called with the number of each frame that
            becomes the reference (0 is the first pushed). It says which things are magnified, not which
            part of the picture: they take their factor with them wherever they move, also over what has
            another. Where it is 1 and nothing else comes, frames keep their bits; see `magfilter.masks`
            for what makes such maps.
        model: a shipped model's name or the path of an ONNX file.
        backend: "auto", or one of `magfilter.backends.BACKENDS`.
        device: "auto", "cpu", or what the backend understands ("cuda:0").
        reference: "first", "previous", "every:SECONDS", "frame:N", or a ReferencePolicy. For frame:N
            give the frame to `set_reference` before the first push, unless N is 0.
        shot_cuts: take a new reference at every shot cut (not with frame:N).
        proxy: motion is measured on a copy of at most this many megapixels, made by averaging whole
            blocks of pixels; the picture itself is moved at full size. 0 measures at full size.
        threads: of the network on a CPU; 0 for all cores.
        band: (LOW, HIGH) Hz or "LOW:HIGH": only motion of these frequencies is magnified, the rest is left as
            it is; see `magfilter.temporal`. Frames must come in order; a new reference begins anew.
        notch: one such band, or several, whose motion is not magnified.
        fps: frames a second, for band and notch; may also be given to `part.tune` before the first frame.
        detrend: the camera's motion is not magnified: the affine motion that most of the picture's rim follows.
        max_shift: px by which magnification shows a thing away from where it is in the frame, at most. Up to
            half of it nothing changes; beyond, the shift bends towards it.

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
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        backend: str = "auto",
        device: str = "auto",
        reference: str | ReferencePolicy = "first",
        shot_cuts: bool = True,
        proxy: float = DEFAULT_PROXY,
        threads: int = 0,
        band: str | Sequence[float] | None = None,
        notch: str | Sequence[Any] = (),
        fps: float | None = None,
        detrend: bool = False,
        max_shift: float | None = None,
    ) -> None:
        if not (isinstance(alpha, (int, float, np.integer, np.floating)) and math.isfinite(alpha) and alpha >= 0):
            raise OptionError(f"alpha must be a number of 0 or more, got {alpha!r}; 1 leaves motion as it is")
        if not (math.isfinite(proxy) and proxy >= 0):
            raise OptionError(f"proxy must be 0 (full size) or a number of megapixels, got {proxy!r}")
        self.alpha = float(alpha)
        self.policy = reference if isinstance(reference, ReferencePolicy) else ReferencePolicy.parse(reference)
        if max_shift is not None and not (math.isfinite(max_shift) and max_shift > 0):
            raise OptionError(f"max_shift must be more than 0 px, got {max_shift!r}")
        self.proxy = proxy
        self.max_shift = max_shift
        self.part = MotionPart(
            None if band is None else parse_band(band),
            parse_bands(notch),
            detrend,
            fps,
            velocity=self.policy.kind == "previous",
        )
        """Which part of the motion is magnified."""
        self.engine: Engine = open_engine(os.fspath(model), backend, device, threads)
        self.passes = self._count_passes()
        if alpha_map is not None and self.engine.model.descriptor.output == "frame":
            raise OptionError(
                f"model {self.engine.model.descriptor.name} takes one alpha for the whole picture, no mask, region or "
                f"alpha map; use --model {DEFAULT_MODEL}"
            )
        if (max_shift is not None or not self.part.whole) and self.engine.model.descriptor.output == "frame":
            raise OptionError(
                f"model {self.engine.model.descriptor.name} measures no motion, which band, notch, detrend and "
                f"max_shift need; use --model {DEFAULT_MODEL}"
            )
        self._map: Callable[[int], NDArray[Any]] | Array | None = None
        self._idle = self.alpha == 1 and alpha_map is None  # the identity by definition, to the bit
        if callable(alpha_map):
            self._map = alpha_map
        elif alpha_map is not None:
            self._map = as_factors(np.asarray(alpha_map), "alpha_map")
            self._map.flags.writeable = False
            self._idle = bool((self._map == 1).all())
        self._cuts = CutDetector() if shot_cuts and self.policy.kind != "frame" else None
        self._reference: Array | None = None  # as the network sees it, padded
        self._since: float | None = None
        self._shape: tuple[int, int] | None = None
        self._factors: NDArray[Any] | None = None  # the map that `_gain` was made of, in px of the picture
        self._gain: Array | None = None  # the reference's, on the flow's grid
        self._count = 0  # frames pushed since the beginning or `reset`
        self.flow: Array | None = None
        """Flow of the last pushed frame, (2, h, w) in px of the full picture, or None where there is none."""
        self.references = 0
        """References taken so far."""

    def _count_passes(self) -> int:
        """Passes of alpha^(1/n) that keep each within what the network was trained for (paper §4.1)."""
        low, high = self.engine.model.descriptor.alpha_range
        if self.alpha == 1 or low <= self.alpha <= high:
            return 1
        if self.alpha < low:
            raise OptionError(
                f"model {self.engine.model.descriptor.name} takes alpha {low:g} to {high:g}, got {self.alpha:g}; "
                f"use --model {DEFAULT_MODEL}, which attenuates motion too"
            )
        return math.ceil(math.log(self.alpha) / math.log(high) - 1e-9)

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
            OptionError: if the alpha map is of another size, or the one a function returned is none; or
                there is a band and no fps.
        """
        if not isinstance(frame, Frame):
            return self.render(self.measure(Frame.from_rgb(frame))).to_rgb()
        return self.render(self.measure(frame))

    def set_reference(self, frame: Frame | NDArray[Any]) -> None:
        """Make this frame the reference of those that follow, without counting it as one of them.

        Raises:
            ValueError, OptionError: as `push`.
        """
        frame = frame if isinstance(frame, Frame) else Frame.from_rgb(frame)
        self._check(frame)
        number = self.policy.number if self.policy.kind == "frame" else self._count
        self._take(self._see(frame), frame, number)
        self.part.restart(at_rest=False)  # any time may have passed between it and what is pushed next

    def reset(self) -> None:
        """Forget the reference: the next frame becomes one."""
        self._reference = self._shape = self.flow = self._since = None
        self._factors = self._gain = None
        self._count = 0
        if self._cuts:
            self._cuts = CutDetector()

    def _check(self, frame: Frame) -> None:
        if self._shape is None:
            if isinstance(self._map, np.ndarray):
                self._check_map(self._map, frame)
            self._shape = (frame.height, frame.width)
        elif self._shape != (frame.height, frame.width):
            raise ValueError(
                f"Expected frames of {self._shape[1]}x{self._shape[0]} like the reference, "
                f"got {frame.width}x{frame.height}; call reset() before another video."
            )

    @staticmethod
    def _check_map(factors: Array, frame: Frame) -> None:
        if factors.shape != (frame.height, frame.width):
            raise OptionError(
                f"alpha_map is {factors.shape[1]}x{factors.shape[0]} and the frame {frame.width}x{frame.height}; "
                "give one factor for every pixel"
            )

    def measure(self, frame: Frame) -> Measured:
        """The first half of `push`: the frame's motion, in order, the network's share of the work.

        `push(frame)` is `render(measure(frame))`. A program with threads to spare may render one frame
        while it measures the next.

        Raises:
            ValueError, OptionError: as `push`.
        """
        self._check(frame)
        self.flow = None
        if self._idle:
            return Measured(frame)
        if self._reference is None and self.policy.kind == "frame" and self.policy.number:
            raise ValueError(f"Expected set_reference(frame {self.policy.number}) before the first push.")
        light = luma(frame)
        cut = self._cuts(light) if self._cuts else False
        seen = self._see(frame, light)
        number, self._count = self._count, self._count + 1
        reference, gain = self._reference, self._gain
        if reference is None or cut or self.policy.due(frame.time, self._since):
            self._take(seen, frame, number)
            return Measured(frame)
        if self.policy.kind == "previous":
            self._take(seen, frame, number)
        if gain is not None and (gain == 1).all():
            return Measured(frame)  # a mask that is empty just now
        if self.engine.model.descriptor.output == "frame":
            step = self.alpha ** (1 / self.passes)
            for _ in range(self.passes):  # each against the same reference
                seen = self.engine.run(reference, np.clip(seen, 0, 1), step)
            return Measured(from_rgb_float(seen[:, : frame.height, : frame.width], frame))
        flow = self.engine.run(reference, seen, self.alpha)
        stride = self._stride(frame)
        rows, cols = math.ceil(frame.height / stride), math.ceil(frame.width / stride)
        k = self._factor(frame.height, frame.width)
        self.flow = np.ascontiguousarray(flow[:, :rows, :cols]) * np.float32(k)
        # Here rather than in `render`, since filters need every frame, in order.
        return Measured(frame, self.flow, gain, None if self.part.whole else self.part(self.flow))

    def render(self, measured: Measured) -> Frame:
        """The second half of `push`: the frame with its motion magnified. Depends on nothing before it."""
        frame, flow, gain, part = measured
        if flow is None:
            return frame
        stride = self._stride(frame)
        field = magnified_displacement(flow, self.alpha if gain is None else gain, stride, part, self.max_shift)
        if not field.any():
            return frame
        # The grid may reach beyond an odd picture's edge; the planes are resampled as if they did too.
        moved = tuple(self._move(plane, field, stride, frame) for plane in frame.planes)
        return frame.replace(planes=moved)

    def _take(self, seen: Array, frame: Frame, number: int) -> None:
        """Make frame `number` the reference, and its alpha map the one in force."""
        if self._map is not None:
            given = self._map(number) if callable(self._map) else self._map
            # An array that may have been written to since may be another map.
            if given is not self._factors or given.flags.writeable:
                factors = as_factors(np.asarray(given), "alpha_map")
                self._check_map(factors, frame)
                self._factors, self._gain = given, reduce_factors(factors, self._stride(frame))
        self.part.restart(at_rest=True)
        self._reference, self._since = seen, frame.time
        self.references += 1

    def _factor(self, height: int, width: int) -> int:
        """Side of the blocks of pixels that the proxy averages."""
        if not self.proxy or self.engine.model.descriptor.output == "frame":
            return 1
        return max(1, math.ceil(math.sqrt(height * width / (self.proxy * 1e6)) - 1e-9))

    def _see(self, frame: Frame, light: Array | None = None) -> Array:
        """The frame as the network wants it: (C, H, W), reduced, padded by repeating the border."""
        descriptor = self.engine.model.descriptor
        light = luma(frame) if light is None and descriptor.channels == 1 else light
        image = to_rgb_float(frame) if light is None or descriptor.channels == 3 else light[None]
        k = self._factor(frame.height, frame.width)
        if k > 1:
            image = _block_means(image, k)
        _, height, width = image.shape
        m = descriptor.pad_multiple
        rows, cols = -height % m, -width % m
        if rows or cols:
            image = np.pad(image, ((0, 0), (0, rows), (0, cols)), mode="edge")
        return np.ascontiguousarray(image, np.float32)

    def _stride(self, frame: Frame) -> int:
        """Px of the full picture per point of the flow."""
        return self.engine.model.descriptor.output_stride * self._factor(frame.height, frame.width)

    def _move(self, plane: NDArray[Any], field: Array, stride: int, frame: Frame) -> NDArray[Any]:
        full = plane.shape == (frame.height, frame.width)
        # Subsampled chroma has fewer samples in either direction, rounded up where the size is odd.
        step_x = 1 if full else 1 << frame.layout.log2_chroma_w
        step_y = 1 if full else 1 << frame.layout.log2_chroma_h
        need = (field.shape[1] * stride // step_y, field.shape[2] * stride // step_x)
        lack = (max(0, need[0] - plane.shape[0]), max(0, need[1] - plane.shape[1]))
        whole = np.pad(plane, ((0, lack[0]), (0, lack[1])), mode="edge") if any(lack) else plane
        peak = frame.layout.peak
        moved = self.engine.resample(whole, field, (float(step_x), float(step_y)), peak)
        return np.ascontiguousarray(moved[: plane.shape[0], : plane.shape[1]])


def _block_means(image: Array, k: int) -> Array:
    """Means of k × k blocks; the border is repeated where the size is no multiple of k."""
    height, width = image.shape[1:]
    rows, cols = -height % k, -width % k
    if rows or cols:
        image = np.pad(image, ((0, 0), (0, rows), (0, cols)), mode="edge")
    # Summing strided views is several times faster than a reduction over short axes.
    tall = image[:, ::k].copy()
    for n in range(1, k):
        tall += image[:, n::k]
    out = tall[:, :, ::k].copy()
    for n in range(1, k):
        out += tall[:, :, n::k]
    out *= np.float32(1 / (k * k))
    return out
