"""Which frame is the reference now.

The reference is the frame that motion is measured against. A policy says when a new one
is taken; a shot cut takes one in any case, because motion across a cut means nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magfilter.checks import check_number
from magfilter.errors import OptionError

__all__ = ["CutDetector", "ReferencePolicy", "parse_reach"]

Array = NDArray[np.float32]

KINDS = ("first", "previous", "every", "mean", "frame")


@dataclass(frozen=True)
class ReferencePolicy:
    """When a new reference is taken.

    Attributes:
        kind: `first`: the first frame, for good; `previous`: the frame before; `every`: a new one
            every `seconds`; `mean`: the average of the frames so far, which forgets with the time constant
            `seconds`; `frame`: frame number `number`, for all frames, cuts or not.
        seconds: for `every` and `mean`, above 0.
        number: for `frame`, counted from 0.

    Raises:
        OptionError: there is no such kind, or seconds or number are not what it takes.
    """

    kind: Literal["first", "previous", "every", "mean", "frame"] = "first"
    seconds: float = 0.0
    number: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"unknown kind of reference {self.kind!r}; choose one of: {', '.join(KINDS)}")
        if self.kind in ("every", "mean"):
            check_number(f"seconds of reference {self.kind}", self.seconds, "more than 0", lambda x: x > 0)
        if self.kind == "frame":
            check_number("number of reference frame", self.number, "a whole number of 0 or more", _is_index)

    @staticmethod
    def parse(text: Any) -> ReferencePolicy:
        """Read `first`, `previous`, `every:SECONDS`, `mean:SECONDS` or `frame:N`.

        Raises:
            OptionError: if it is none of them.
        """
        if not isinstance(text, str):
            raise OptionError(f"reference must be text such as 'first' or 'every:2', got {text!r}")
        kind, _, value = text.strip().partition(":")
        try:
            if text.strip() == "first":
                return ReferencePolicy("first")
            if text.strip() == "previous":
                return ReferencePolicy("previous")
            if kind in ("every", "mean") and 0 < float(value.removesuffix("s")) < float("inf"):
                return ReferencePolicy("every" if kind == "every" else "mean", seconds=float(value.removesuffix("s")))
            if kind == "frame" and int(value) >= 0:
                return ReferencePolicy("frame", number=int(value))
        except ValueError:
            pass
        raise OptionError(
            f"reference {text!r} is none of: first, previous, every:SECONDS (every:2), mean:SECONDS (mean:1), "
            "frame:N (frame:0 is the first)"
        )

    def __str__(self) -> str:
        if self.kind in ("every", "mean"):
            return f"{self.kind}:{self.seconds:g}"
        return f"frame:{self.number}" if self.kind == "frame" else self.kind

    def due(self, time: float | None, since: float | None) -> bool:
        """Whether `every` wants a new reference at `time`, the last having been taken at `since` (seconds)."""
        if self.kind != "every" or time is None or since is None:
            return False
        return time - since >= self.seconds - 1e-6


def _is_index(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 0


def parse_reach(value: float | str | None, policy: ReferencePolicy) -> float | None:
    """Read how far things may move before the reference is replaced: px, "auto" (inf) or None for never.

    Raises:
        OptionError: it is none of them, or the policy replaces its reference at every frame, or never.
    """
    if value is None:
        return None
    try:
        reach = math.inf if value == "auto" else float(value)
    except (TypeError, ValueError):
        reach = 0.0
    if not reach > 0 or (value != "auto" and math.isinf(reach)):
        raise OptionError(f"reanchor {value!r} is neither auto nor a number of px above 0")
    if policy.kind in ("previous", "frame"):
        raise OptionError(f"reanchor replaces the reference, and {policy} says which it is; use --reference first")
    return reach


class CutDetector:
    """Tells a shot cut from motion, on thumbnails of the luma.

    A cut changes where things are and how light is distributed, all at once, and by a multiple of
    what this shot's neighbouring frames differ by anyway. Fast motion changes the first only, a
    flash the second. Between shots of like light the first must then be twice as large, or the two frames
    have nothing to do with each other: neighbours within a shot hardly ever correlate by less than 0.7.

    All of that is in proportion to what contrast there is: dark shots, fog and 16 bits of which few are used are
    compared as if they had the usual one. A picture with nothing in it is like none, if a shot begins with it, and
    is passed over within one. A shot that comes up out of the dark begins anew until there is enough to be seen.
    """

    SIDE = 32  # thumbnails are about 32 × 32: finer detail is motion's business
    DIFFERENCE = 0.08  # mean |difference|, full scale 1
    HISTOGRAM = 0.25  # half the L1 distance of 16-bin histograms, 0..1
    UNLIKE = 0.3  # correlation about the means below which two frames show different things
    ALIKE = 0.9  # correlation from which they show the same
    UNLIKE_DIFFERENCE = 0.03  # then this much difference will do: dark shots have little of it
    RATIO = 3.0  # times the running difference of the shot
    CONTRAST = 0.15  # standard deviation that thumbnails usually have at least
    RAISED = 10.0  # times that little contrast is raised at most, of 8 bits; more is their steps, and noise
    NOTHING = 3e-4  # standard deviation below which there is nothing in a picture
    FAINT = 0.03  # contrast, of 8 bits, at which a shot has not come up yet,
    COMES_UP = 2.0  # until it has grown by so many times

    def __init__(self) -> None:
        self._last: Array | None = None
        self._usual = 0.0
        self._begun = math.inf  # contrast that the shot began with

    def thumbnail(self, luma: Array) -> Array:
        """Block means, about SIDE × SIDE."""
        height, width = luma.shape
        by, bx = max(1, height // self.SIDE), max(1, width // self.SIDE)
        cut = luma[: height // by * by, : width // bx * bx]
        small: Array = cut.reshape(height // by, by, width // bx, bx).mean((1, 3), dtype=np.float32)
        return small

    def __call__(self, luma: Array, depth: int = 8) -> bool:
        """Whether a new shot begins with this frame. Frames must come in order.

        Args:
            luma: (height, width) in 0..1; depth: its bits a sample.
        """
        small, finer = self.thumbnail(luma), 2.0 ** max(depth - 8, 0)
        contrast, nothing = float(small.std()), self.NOTHING / finer
        last = self._last
        same_size = last is not None and last.shape == small.shape
        if contrast >= nothing or not same_size:  # a shutter that blinks is waited for: what was before it counts
            self._last = small
        if last is None or not same_size:
            self._begun = contrast
            return False
        if contrast < nothing:
            return False
        raised = min(max(self.CONTRAST / max(contrast, float(last.std())), 1.0), self.RAISED * finer)
        # Brightness alone (a flash, a lamp switched on) is no cut: compare about the means.
        one, two = small - small.mean(), last - last.mean()
        difference = raised * float(np.abs(one - two).mean())
        common, most = float((one * two).mean()), float(one.std() * two.std())
        unlike = common < self.UNLIKE * most + nothing**2
        shown = (small, last)
        if raised > 1:
            middle = (small.mean() + last.mean()) / 2
            shown = (0.5 + raised * (small - middle), 0.5 + raised * (last - middle))
        bins = [np.histogram(np.clip(x, 0, 1), 16, (0, 1))[0] / x.size for x in shown]
        histogram = float(np.abs(bins[0] - bins[1]).sum()) / 2
        usual = self._usual
        otherwise = histogram > self.HISTOGRAM or difference > 2 * self.DIFFERENCE
        otherwise = otherwise and common < self.ALIKE * most  # else it is the same in another light
        enough = self.UNLIKE_DIFFERENCE if unlike else self.DIFFERENCE
        cut = difference > max(enough, self.RATIO * usual) and (unlike or otherwise)
        come_up = contrast > self.COMES_UP * self._begun + nothing
        cut = cut or (come_up and self._begun < self.FAINT / finer)
        # A pan too fast to be told from cuts passes untouched, which is as well: nothing there can be magnified.
        self._usual = 0.0 if cut else 0.8 * usual + 0.2 * difference
        if cut:
            self._begun = contrast
        return cut
