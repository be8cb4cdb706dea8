"""The one description of a job, shared by the command line, Python and whatever comes."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any, cast

import numpy as np

from magfilter.backends import BACKENDS
from magfilter.checks import (
    check_duration,
    check_factor,
    check_number,
    check_proxy,
    check_px,
    check_rate,
    check_start,
    check_threads,
)
from magfilter.compare import COMPARISONS
from magfilter.errors import OptionError
from magfilter.magnifier import CROSS_FADE, DEFAULT_PROXY
from magfilter.masks import Region
from magfilter.media import EncodeOptions
from magfilter.media.hwaccel import HWACCELS
from magfilter.media.sequence import parse_rate
from magfilter.models import DEFAULT_MODEL
from magfilter.ramp import Ramp
from magfilter.reference import ReferencePolicy, parse_reach
from magfilter.settings import changed
from magfilter.temporal import MotionPart, parse_band, parse_bands

__all__ = ["MagnifyOptions"]

STREAM_TYPES = frozenset({"audio", "subtitle", "data", "attachment"})
HUGE = 1000.0  # alpha from which a warning is due


@dataclass(frozen=True)
class MagnifyOptions:
    """What to do with a video. Validated on construction.

    Attributes:
        alpha: magnification factor, 0 to a million; 1 changes nothing.
        alpha_end: factor at the last frame, where alpha is the first's, with a straight line between.
        alpha_keys: keyframes in alpha's place, each (seconds from the first frame, alpha) or "seconds=alpha".
        model, backend, device, reference, shot_cuts, proxy, reanchor, cross_fade: see `magfilter.Magnifier`.
        mask: file that says what to magnify, the rest keeping alpha 1: a picture (whatever is not black),
            a .npy array (H, W) (whatever is not zero), or a video of masks, one for each frame.
        roi: rectangles to magnify, each "x,y,width,height" or "x,y,width,height:alpha", 4 or 5 numbers,
            or a `magfilter.masks.Region`; also a single one. They become a tuple of Regions. On a ramp, their own
            alpha follows in proportion, and is refused where that is impossible; see `magfilter.ramp.Ramp.limits`.
        alpha_map: .npy file of an array (H, W), the factor of every pixel; mask and roi are painted over it.
        segment: clicks on the object in the reference, each "x,y" or two numbers; Segment Anything makes the
            mask of it. Needs that package, and `segment_weights`, the file of its weights.
        mask_invert: magnify what the mask leaves out; it is inverted first, then grown and its edge softened.
        mask_grow: px by which the mask is made larger all around, up to a million.
        mask_feather: px, up to a million, outside mask and regions over which their alpha fades to what surrounds them.
        band: (LOW, HIGH) Hz or "LOW:HIGH", the motion that is magnified; None for all.
        notch: such bands that are not magnified; also a single one.
        fps: the true frames a second, 1e-9 to 1e12, for band and notch; None for what the input says.
        detrend, max_shift, smooth, align: see `magfilter.Magnifier`.
        compare: write the input beside the output ("side"), above it ("stack"), or the left half of the one and
            the right half of the other ("split"), labelled; None for the output alone.
        show_flow: draw the measured motion over the output, or the part of it that is magnified.
        start, duration: seconds of the input to work on, 1e9 at most; None for all of it.
        encode: encoder, quality, pixel format and container.
        framerate: frames a second of an image sequence, a number or text such as "24000/1001"; None for 25.
        progressive: take an input for progressive that is flagged as interlaced.
        input_format: FFmpeg's name of the input format, for raw streams and pipes.
        hwaccel: decode on a GPU, "cuda"; "auto" does where that works; "none" never.
        overwrite: replace an existing output.
        threads: cores to use in all, 0 for every one.
        max_error_rate: share of the frames that may be unreadable, 0..1, before the job ends with
            CorruptInput, after what could be decoded was written.
        exclude: kinds of streams that are not copied ("audio", "subtitle", "data", "attachment").

    Raises:
        OptionError: naming the value and what is expected.
    """

    alpha: float = 10.0
    alpha_end: float | None = None
    alpha_keys: Sequence[Any] = ()
    model: str | os.PathLike[str] = DEFAULT_MODEL
    backend: str = "auto"
    device: str = "auto"
    reference: str = "first"
    shot_cuts: bool = True
    reanchor: float | str | None = None
    cross_fade: float = CROSS_FADE
    proxy: float = DEFAULT_PROXY
    mask: str | os.PathLike[str] | None = None
    roi: Sequence[Region | str | Sequence[float]] | Sequence[float] | Region | str = ()
    alpha_map: str | os.PathLike[str] | None = None
    mask_invert: bool = False
    mask_grow: float = 0.0
    mask_feather: float = 0.0
    segment: Sequence[str | Sequence[int]] | str = ()
    segment_weights: str | os.PathLike[str] | None = None
    band: str | Sequence[float] | None = None
    notch: str | Sequence[Any] = ()
    fps: float | None = None
    detrend: bool = False
    max_shift: float | None = None
    smooth: float | None = None
    align: bool | None = None
    compare: str | None = None
    show_flow: bool = False
    start: float | None = None
    duration: float | None = None
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    framerate: Fraction | float | str | None = None
    progressive: bool = False
    input_format: str | None = None
    hwaccel: str = "none"
    overwrite: bool = False
    threads: int = 0
    max_error_rate: float = 0.1
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", check_factor("alpha", self.alpha))
        if self.alpha_end is not None:
            object.__setattr__(self, "alpha_end", check_factor("alpha_end", self.alpha_end))
        if self.alpha_end is not None and self.alpha_keys:
            raise OptionError(
                "alpha_end and keyframes say the same thing twice; give one of --alpha-end and --alpha-key"
            )
        if isinstance(self.alpha_keys, str) or not isinstance(self.alpha_keys, Sequence):
            raise OptionError(f"alpha_keys must be a list of keyframes such as '2.5=20', got {self.alpha_keys!r}")
        if self.alpha_keys:
            object.__setattr__(self, "alpha_keys", Ramp.parse(self.alpha_keys).keys)
        self._number("cross_fade", "0 (jump) or a number of seconds", lambda x: x >= 0)
        object.__setattr__(self, "proxy", check_proxy(self.proxy))
        if self.start is not None:
            object.__setattr__(self, "start", check_start(self.start))
        if self.duration is not None:
            object.__setattr__(self, "duration", check_duration(self.duration))
        if self.framerate is not None:
            object.__setattr__(self, "framerate", parse_rate(self.framerate))
        self._number("max_error_rate", "a share between 0 and 1", lambda x: 0 <= x <= 1)
        object.__setattr__(self, "threads", check_threads(self.threads))
        if self.backend not in BACKENDS:
            raise OptionError(f"unknown backend {self.backend!r}; choose one of: {', '.join(BACKENDS)}")
        if self.hwaccel not in HWACCELS:
            raise OptionError(f"hwaccel must be one of {', '.join(HWACCELS)}; got {self.hwaccel!r}")
        parse_reach(self.reanchor, ReferencePolicy.parse(self.reference))
        if self.compare is not None and self.compare not in COMPARISONS:
            raise OptionError(f"compare must be one of {', '.join(COMPARISONS)}; got {self.compare!r}")
        self._check_targets()
        self._check_motion()
        unknown = frozenset(self.exclude) - STREAM_TYPES
        if unknown:
            raise OptionError(f"exclude names {sorted(unknown)[0]!r}; choose from: {', '.join(sorted(STREAM_TYPES))}")

    @property
    def painted(self) -> float:
        """The factor that mask and regions are painted with: alpha, or the one of a ramp farthest from 1."""
        return ramp.peak if (ramp := self.ramp(1.0)) else self.alpha

    def ramp(self, seconds: float | None) -> Ramp | None:
        """alpha over time, or None if it stays; `seconds` from the first frame to the last, None if unknown.

        Raises:
            OptionError: the length is needed and not known.
        """
        if self.alpha_end is not None:
            if not seconds:
                raise OptionError(
                    "alpha_end needs the length of the input, which it does not say; give it with --duration, "
                    f"or the ramp with --alpha-key 0={self.alpha:g} --alpha-key TIME={self.alpha_end:g}"
                )
            return Ramp(((0.0, self.alpha), (seconds, self.alpha_end)))
        return Ramp(tuple(self.alpha_keys)) if self.alpha_keys else None

    @property
    def advice(self) -> list[str]:
        """Lines for the user about what is allowed and seldom meant."""
        largest = max(self.alpha, self.alpha_end or 0.0, *(alpha for _, alpha in self.alpha_keys), 0.0)
        if largest < HUGE or self.max_shift is not None:
            return []
        return [
            f"alpha {largest:g} makes {largest * 0.01:g} px of an error of 0.01 px in what is measured; "
            "bound it with --max-shift PX, or choose what is magnified with --mask or --band"
        ]

    @property
    def regions(self) -> tuple[Region, ...]:
        """`roi`, as it was read."""
        return cast("tuple[Region, ...]", self.roi)

    @property
    def clicks(self) -> tuple[tuple[int, int], ...]:
        """`segment`, read: (x, y) px."""
        return tuple(_click(item) for item in self.segment)

    @property
    def targeting(self) -> str:
        """What is magnified, as key=value without folders; empty if it is the whole picture."""
        parts = [f"{key}={Path(value).name}" for key in ("mask", "alpha_map") if (value := getattr(self, key))]
        parts += ["mask_invert"] if self.mask_invert else []
        parts += [f"{key}={value:g}" for key in ("mask_grow", "mask_feather") if (value := getattr(self, key))]
        parts += [f"segment={x},{y}" for x, y in self.clicks]
        parts += [f"segment_weights={Path(self.segment_weights).name}"] if self.clicks and self.segment_weights else []
        return " ".join([*parts, *(f"roi={region}" for region in self.regions)])

    @property
    def choosing(self) -> str:
        """Which part of the motion is magnified, and how it changes, as key=value; empty if all of it, by alpha."""
        parts = [f"alpha_end={self.alpha_end:g}"] if self.alpha_end is not None else []
        parts += [f"alpha_keys={Ramp(tuple(self.alpha_keys))}"] if self.alpha_keys else []
        parts += [f"reanchor={self.reanchor}"] if self.reanchor is not None else []
        parts += [f"band={low:g}:{high:g}" for low, high in parse_bands(self.band)]
        parts += [f"notch={low:g}:{high:g}" for low, high in parse_bands(self.notch)]
        numbers = ((key, getattr(self, key)) for key in ("fps", "max_shift", "smooth"))
        parts += [f"{key}={value:g}" for key, value in numbers if value is not None]
        parts += [f"align={'yes' if self.align else 'no'}"] if self.align is not None else []
        return " ".join([*parts, *(["detrend"] if self.detrend else [])])

    @property
    def settings(self) -> str:
        """Whatever makes the output another one, beside alpha, model and reference, as key=value; empty if nothing
        does. Codec and quality the file tells itself."""
        reading = ("start", "duration", "framerate", "progressive")
        names = (*reading, "proxy", "shot_cuts", "cross_fade")
        defaults = {item.name: item.default for item in fields(self)}
        part = changed({name: getattr(self, name) for name in names}, defaults)
        return " ".join(filter(None, (part, self.choosing, self.targeting, self.showing)))

    @property
    def showing(self) -> str:
        """What is shown besides the output, as key=value; empty if nothing is."""
        parts = [f"compare={self.compare}"] if self.compare else []
        return " ".join([*parts, *(["flow"] if self.show_flow else [])])

    def _check_motion(self) -> None:
        band, notch = None if self.band is None else parse_band(self.band), parse_bands(self.notch)
        object.__setattr__(self, "band", band)
        object.__setattr__(self, "notch", notch)
        if self.fps is not None:
            object.__setattr__(self, "fps", check_rate(self.fps))
        for name in ("max_shift", "smooth"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_px(name, getattr(self, name)))
        velocity = ReferencePolicy.parse(self.reference).kind == "previous"
        part = MotionPart(band, notch, self.detrend, self.fps, velocity=velocity)
        if self.fps is not None and not part.timed:
            raise OptionError(f"fps {self.fps:g} is for band and notch only; give --band LOW:HIGH, or leave it out")

    def _check_targets(self) -> None:
        for name in ("mask", "alpha_map", "segment_weights"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, (str, os.PathLike)) or not os.fspath(value)):
                shown = type(value).__name__ if isinstance(value, np.ndarray) else repr(value)
                raise OptionError(f"{name} must be the name of a file, got {shown}; Magnifier takes arrays")
        if self.alpha_map is not None and not os.fspath(self.alpha_map).lower().endswith(".npy"):
            raise OptionError(
                f"alpha_map must be a .npy file, got {os.fspath(self.alpha_map)}; write it with numpy.save"
            )
        roi = [self.roi] if isinstance(self.roi, (str, Region)) or _numbers(self.roi) else self.roi
        if not isinstance(roi, Sequence):
            raise OptionError(f"roi must be a list of regions such as '10,20,300,200:5', got {roi!r}")
        object.__setattr__(self, "roi", tuple(Region.parse(item) for item in roi))
        if ramp := self.ramp(1.0):
            for region in self.regions:
                if region.alpha is not None:
                    ramp.check(region.alpha, f"roi {region}")
        clicks = [self.segment] if isinstance(self.segment, str) else self.segment
        if not isinstance(clicks, Sequence):
            raise OptionError(f"segment must be a list of clicks such as '120,80', got {clicks!r}")
        object.__setattr__(self, "segment", tuple(_click(item) for item in clicks))
        if self.segment and self.mask is not None:
            raise OptionError("segment makes the mask that mask gives; choose one of --segment and --mask")
        for name in ("mask_grow", "mask_feather"):
            object.__setattr__(self, name, check_px(name, getattr(self, name), none=True))
        masked = self.mask is not None or bool(self.segment)
        if self.mask_invert and not masked:
            raise OptionError("mask_invert has no mask to invert; give one with --mask FILE")
        if self.mask_grow and not masked:
            raise OptionError(f"mask_grow {self.mask_grow:g} has no mask to grow; give one with --mask FILE")
        if self.mask_feather and not masked and not self.roi:
            raise OptionError(
                f"mask_feather {self.mask_feather:g} has no edge to soften; give --mask FILE or --roi x,y,width,height"
            )

    def _number(self, name: str, expected: str, fits: Callable[[Any], bool]) -> None:
        """Refuse the attribute unless it is a finite number that fits."""
        object.__setattr__(self, name, check_number(name, getattr(self, name), expected, fits))


def _numbers(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) > 0 and all(isinstance(item, Real) for item in value)


def _click(value: Any) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in value.split(",")) if isinstance(value, str) else map(operator.index, value)
    except (TypeError, ValueError):
        raise OptionError(f"segment {value!r} is not x,y in whole pixels, such as 120,80") from None
    if x < 0 or y < 0:
        raise OptionError(f"segment {x},{y} lies outside every picture; x and y are 0 or more")
    return x, y
