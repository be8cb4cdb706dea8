"""Which part of the motion is magnified: a band of frequencies, all but a notch, what does not move with the camera.

What is filtered is displacement over time, at every point of the reference, never pixel values. The filters are
causal, of the Butterworth kind, second-order sections made by the bilinear transform: two poles a side, so a band of
one octave lets less than a tenth through an octave beyond its edges (a sixth if it reaches to half the frame rate),
and rings for about 1 / (HIGH − LOW) seconds. They hold four numbers a point and axis for every filter, however long
the video.

What a band lets through beyond its edges comes nearly upside down, and alpha − 1 times that is added to the motion: an
octave beyond, alpha 10 leaves about half of it, and alpha 30 turns it round. Twice as many poles would let next to
nothing through there, but turn the band's own edges upside down and settle in four times as long.

A causal filter delays: motion at a band's centre comes through in phase, towards LOW ahead, towards HIGH behind.
Frames are taken to be evenly spaced, at the rate given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magfilter.checks import check_rate
from magfilter.errors import OptionError
from magfilter.ground import global_motion

__all__ = ["Band", "MotionFilter", "MotionPart", "design", "parse_band", "parse_bands"]

Field = NDArray[np.float32]
Floats = NDArray[np.float64]
SLOWEST = 1e-6  # of the rate, the lowest edge of a band that is not 0
Band = tuple[float, float]  # (LOW, HIGH) Hz, 0 ≤ LOW < HIGH


def parse_band(value: Any, name: str = "band") -> Band:
    """Read "LOW:HIGH" or two numbers, Hz.

    Raises:
        OptionError: it is neither, or not 0 ≤ LOW < HIGH; `name` is what the message calls it.
    """
    try:
        low, high = (float(x) for x in (value.split(":") if isinstance(value, str) else value))
    except (TypeError, ValueError):
        raise OptionError(f"{name} {value!r} is not LOW:HIGH in Hz, such as 2:4") from None
    shown = f"{name} {low:g}:{high:g}"
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0 or high < 0:
        raise OptionError(f"{shown} is no band of frequencies; LOW and HIGH are 0 Hz or more")
    if low >= high:
        raise OptionError(f"{shown} is empty: LOW must be below HIGH" + (f"; {high:g}:{low:g}?" if low > high else ""))
    return low, high


def parse_bands(value: Any, name: str = "notch") -> tuple[Band, ...]:
    """Read one band or a sequence of them; see `parse_band`."""
    if value is None:
        return ()
    one = isinstance(value, str) or (
        isinstance(value, Sequence)
        and len(value) == 2
        and all(np.isscalar(x) and not isinstance(x, str) for x in value)
    )
    if not one and not isinstance(value, Sequence):
        raise OptionError(f"{name} {value!r} is not LOW:HIGH in Hz, such as 2:4")
    return tuple(parse_band(item, name) for item in ([value] if one else value))


def _covers(bands: Sequence[Band], whole: Band) -> bool:
    """Whether bands, together, leave nothing of another."""
    reached = whole[0]
    for low, high in sorted(bands):
        if low <= reached:
            reached = max(reached, high)
    return reached >= whole[1]


def design(kind: Literal["band", "notch"], band: Band, rate: float) -> Floats:
    """A Butterworth filter of two poles a side as second-order sections, (n, 5): b0, b1, b2, a1, a2 with a0 = 1.

    A "band" passes LOW..HIGH with gain 1 at its centre and 0.71 at its edges, a "notch" the rest. With LOW = 0
    they are a low-pass and a high-pass at HIGH.

    Args:
        band: (LOW, HIGH) Hz.
        rate: samples a second.

    Raises:
        OptionError: the band reaches half the rate or more, beyond which frames cannot tell frequencies apart, or less
            than a millionth of it, where a filter is lost in rounding.
    """
    low, high = band
    if high >= rate / 2:
        raise OptionError(
            f"{kind} {low:g}:{high:g} reaches {high:g} Hz, and {rate:g} frames a second show motion only below "
            f"{rate / 2:g} Hz; lower HIGH, or give the true rate with --fps"
        )
    slow = next((edge for edge in band if 0 < edge < SLOWEST * rate), None)
    if slow is not None:
        raise OptionError(
            f"{kind} {low:g}:{high:g} has an edge at {slow:g} Hz, which takes more than {1 / SLOWEST:.0f} of "
            f"{rate:g} frames a second to come round; give 0, or a higher one"
        )
    # Frequencies are bent so that the bilinear transform, z = (1 + s) / (1 − s), puts the edges where they belong.
    edge_low, edge_high = math.tan(math.pi * low / rate), math.tan(math.pi * high / rate)
    width, centre = edge_high - edge_low, edge_low * edge_high
    pole = np.exp(0.75j * np.pi)  # of the two of the prototype, a low-pass of order 2, the one above the axis
    turn = 1 / pole if kind == "notch" else pole
    if low == 0:
        poles = np.array([width * turn])
    else:
        root = np.sqrt((width * turn) ** 2 - 4 * centre + 0j)
        poles = np.array([width * turn + root, width * turn - root]) / 2
    middle = 2 * math.atan(math.sqrt(centre))  # rad a sample
    if kind == "band":
        zeros, at = ([1.0, 2.0, 1.0], 0.0) if low == 0 else ([1.0, 0.0, -1.0], middle)
    else:
        zeros, at = ([1.0, -2.0, 1.0], math.pi) if low == 0 else ([1.0, -2 * math.cos(middle), 1.0], 0.0)
    z = (1 + poles) / (1 - poles)  # each with its conjugate makes one section
    sections = np.empty((len(z), 5))
    sections[:, 3], sections[:, 4] = -2 * z.real, np.abs(z) ** 2
    back = np.exp(-1j * at * np.arange(3))  # gain 1 there, section by section
    gain = np.abs(np.polynomial.polynomial.polyval(back[1], zeros))
    for section in sections:
        section[:3] = np.array(zeros) * np.abs(back @ [1.0, *section[3:]]) / gain
    return sections


class MotionFilter:
    """A cascade of second-order sections over time, at every point at once; its memory is four arrays a filter.

    Args:
        sections: (n, 5), as `design` makes them; none lets everything through.
    """

    def __init__(self, sections: Floats) -> None:
        self.sections = sections
        self._state: list[tuple[Any, Any]] | None = None
        self.restart()

    def restart(self, at_rest: bool = True) -> None:
        """Begin anew: as if there had been no motion for ever, or with `at_rest` False, as if what comes first had
        been so for ever. Either way the first samples do not jump."""
        self._state = [(0.0, 0.0)] * len(self.sections) if at_rest else None

    def __call__(self, sample: NDArray[Any]) -> Floats:
        """The next sample, filtered: any shape, the same from one restart to the next; float64."""
        x: Floats = np.asarray(sample, np.float64)
        if self._state is None:
            self._state = []
            settled = x
            for b0, b1, b2, a1, a2 in self.sections:
                out = settled * ((b0 + b1 + b2) / (1 + a1 + a2))
                self._state.append((out - b0 * settled, b2 * settled - a2 * out))
                settled = out
        for k, (b0, b1, b2, a1, a2) in enumerate(self.sections):
            first, second = self._state[k]
            y = b0 * x + first
            self._state[k] = (b1 * x - a1 * y + second, b2 * x - a2 * y)
            x = y
        return x


class MotionPart:
    """The part of the measured motion that is to be magnified, frame by frame.

    Args:
        band: Hz that are magnified; None for all.
        notch: bands of Hz that are not.
        detrend: the motion that most of the picture's rim follows, a camera's, is not; see
            `magfilter.ground.global_motion`.
        rate: frames a second; may come later, with `tune`, and is not needed without band and notch.
        velocity: what is measured is the motion since the frame before, not since one that stays.

    Raises:
        OptionError: as `design`; for a rate that is none; for frequencies of a velocity; for a notch over the whole
            band.
    """

    def __init__(
        self,
        band: Band | None = None,
        notch: Sequence[Band] = (),
        detrend: bool = False,
        rate: float | None = None,
        *,
        velocity: bool = False,
    ) -> None:
        self.band, self.notch, self.detrend = band, tuple(notch), detrend
        self.rate: float | None = None
        self._filter: MotionFilter | None = None
        if self.timed and velocity:
            raise OptionError(
                f"{'band' if band else 'notch'} needs positions over time, and reference previous measures velocity; "
                "use --reference first"
            )
        if band and _covers(self.notch, band):
            raise OptionError(
                f"nothing is left to magnify: notch {', '.join(f'{low:g}:{high:g}' for low, high in self.notch)} "
                f"covers all of band {band[0]:g}:{band[1]:g}; make it narrower, or leave one of them out"
            )
        if rate is not None:
            self.tune(rate)

    @property
    def whole(self) -> bool:
        """Whether all of the motion is magnified."""
        return not (self.timed or self.detrend)

    @property
    def timed(self) -> bool:
        """Whether frequencies are told apart, for which the rate must be known."""
        return self.band is not None or bool(self.notch)

    def tune(self, rate: float) -> None:
        """Make the filters for so many frames a second; they begin anew."""
        rate = check_rate(rate)
        parts = [design("band", self.band, rate)] if self.band else []
        parts += [design("notch", band, rate) for band in self.notch]
        self.rate = rate
        self._filter = MotionFilter(np.concatenate(parts)) if parts else None

    def fit(self, rate: Any, name: str) -> None:
        """Tune to a video's rate, or None if it says none, unless the rate was given; `name` is for the message.

        Raises:
            OptionError: the rate is needed and not known, or too low.
        """
        if self.timed and self.rate is None:
            if not rate:
                raise OptionError(f"{name} does not say its frame rate, which band and notch need; give --fps RATE")
            self.tune(float(rate))

    def advice(self, frames: int | None) -> list[str]:
        """Lines for the user about a band of which a clip of so many frames shows nothing; None if that is unknown."""
        # A low-pass is for what drifts.
        if not (self.band and self.band[0] and self.rate and frames and frames / self.rate * self.band[1] < 1):
            return []
        low, high = self.band
        return [
            f"band {low:g}:{high:g} is of motion that takes {1 / high:.3g} s or more to come round, and the clip has "
            f"{frames / self.rate:.3g} s: next to nothing is magnified; raise HIGH, or give the true rate with --fps"
        ]

    def restart(self, at_rest: bool) -> None:
        """A new reference was taken. `at_rest`: it is the frame before the next, so nothing had moved until then.

        Raises:
            OptionError: the rate is needed and not known.
        """
        if self._filter:
            self._filter.restart(at_rest)
        elif self.timed:
            raise OptionError("band and notch need the frame rate; give fps")

    def __call__(self, flow: Field) -> Field:
        """The part (2, h, w) float32 px of the next frame's flow (2, h, w) px; frames must come in order."""
        part = flow - global_motion(flow) if self.detrend else flow
        return self._filter(part).astype(np.float32) if self._filter else part
