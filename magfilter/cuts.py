"""Where a shot ends and another begins, after which motion is measured against another frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "CutDetector", "thumbnail"]

Array = NDArray[np.float32]

SIDE = 32  # thumbnails are about 32 × 32: finer detail is motion's business
EMPTY = 1e-5  # standard deviation below which nothing can be said of a thumbnail


class CutDetector:
    """Tells a shot cut from motion, on thumbnails of the luma.

    A cut changes where things are and how light is distributed, all at once, and by a multiple of
    what this shot's neighbouring frames differ by anyway. Fast motion changes the first only, a
    flash the second. Between shots of like light the first must then be twice as large, or the two frames
    have nothing to do with each other: neighbours within a shot hardly ever correlate by less than 0.7.

    All of that is in proportion to what contrast there is: dark shots, fog and 16 bits of which few are used are
    compared as if they had the usual one. A picture with nothing in it is like none, if a shot begins with it, and
    is passed over within one. A shot that comes up out of the dark begins anew until there is enough to be seen, and
    one that dissolves into another when the reference has nothing to do with it any more, and when it has settled.
    """

    DIFFERENCE = 0.08  # mean |difference|, full scale 1
    HISTOGRAM = 0.25  # half the L1 distance of 16-bin histograms, 0..1
    UNLIKE = 0.3  # correlation about the means below which two frames show different things
    ALIKE = 0.9  # correlation from which they show the same
    UNLIKE_DIFFERENCE = 0.03  # then this much difference will do: dark shots have little of it
    RATIO = 3.0  # times the running difference of the shot
    CONTRAST = 0.15  # standard deviation that thumbnails usually have at least
    RAISED = 10.0  # times that little contrast is raised at most, of 8 bits; more is their steps, and noise
    NOTHING = 3e-4  # standard deviation below which there is nothing in a picture
    FAINT = 0.02  # middling contrast, of 8 bits, at which a shot has not come up yet,
    COMES_UP = 2.0  # until it has grown by so many times
    ELSEWHERE = 0.5  # correlation with the reference, however shifted, below which this is another place
    SETTLED = 0.3  # of what neighbours differed by while one shot became another: now it is that

    def __init__(self, sudden: bool = False) -> None:
        """`sudden`: tell only what happens from one frame to the next, for who compares no others."""
        self._sudden = sudden
        self._last: Array | None = None
        self._usual = 0.0
        self._anchor: Array | None = None  # what frames are measured against
        self._turning: float | None = None  # how much neighbours differed as one shot became another

    def anchor(self) -> None:
        """The frame asked about last has become the reference, for whatever reason."""
        self._anchor = self._last

    def __call__(self, luma: Array, depth: int = 8) -> bool:
        """As `follow`, of a frame's luma (height, width) in 0..1."""
        return self.follow(thumbnail(luma), depth)

    def follow(self, small: Array, depth: int = 8) -> bool:
        """Whether a new shot begins with the frame of this thumbnail. Frames must come in order.

        Args:
            small: as `thumbnail` makes it; depth: the frame's bits a sample.
        """
        finer = 2.0 ** max(depth - 8, 0)
        nothing = self.NOTHING / finer
        last = self._last
        same_size = last is not None and last.shape == small.shape
        blank = float(small.std()) < nothing
        if not (blank and same_size):  # a shutter that blinks is waited for: what was before it counts
            self._last = small
        if last is None or not same_size:
            self._anchor = small
            return False
        if blank:
            return False
        pair = _Pair.of(small, last, self.CONTRAST, self.RAISED * finer)
        unlike = pair.correlation < self.UNLIKE
        otherwise = pair.histogram > self.HISTOGRAM or pair.difference > 2 * self.DIFFERENCE
        otherwise = otherwise and pair.correlation < self.ALIKE  # else it is the same in another light
        enough = self.UNLIKE_DIFFERENCE if unlike else self.DIFFERENCE
        sudden = pair.difference > max(enough, self.RATIO * self._usual) and (unlike or otherwise)
        cut = sudden
        if not (sudden or self._sudden):
            cut = self._come_up(small, finer) or self._turned(small, pair.difference, finer)
        # A pan too fast to be told from cuts passes untouched, which is as well: nothing there can be magnified.
        self._usual = 0.0 if sudden else 0.8 * self._usual + 0.2 * pair.difference
        if sudden:
            self._turning = None
        if cut:
            self._anchor = small
        return cut

    def _come_up(self, small: Array, finer: float) -> bool:
        """Whether there is much more to see than in the reference, which shows hardly anything."""
        assert self._anchor is not None
        begun, contrast = _middling(self._anchor), _middling(small)
        return begun < self.FAINT / finer and contrast > self.COMES_UP * begun + self.NOTHING / finer

    def _turned(self, small: Array, difference: float, finer: float) -> bool:
        """Whether one shot has become another bit by bit; once when that is seen, and once when it has settled."""
        assert self._anchor is not None
        far = _Pair.of(small, self._anchor, self.CONTRAST, self.RAISED * finer)
        gone = far.correlation < self.UNLIKE and far.most > self.DIFFERENCE
        if gone and _shifted(small, self._anchor) < self.ELSEWHERE:
            self._turning = difference
            return True
        settled = self._turning is not None and difference < self.SETTLED * self._turning
        if settled:
            self._turning = None
        return settled


def thumbnail(luma: Array) -> Array:
    """Block means of a luma (height, width), about SIDE × SIDE."""
    height, width = luma.shape
    by, bx = max(1, height // SIDE), max(1, width // SIDE)
    tall = luma[: height // by * by].reshape(height // by, by, width).mean(1, dtype=np.float32)  # along memory first
    small: Array = tall[:, : width // bx * bx].reshape(height // by, width // bx, bx).mean(2, dtype=np.float32)
    return small


def _middling(small: Array) -> float:
    """Half of a thumbnail differs from its middle by less than this: a bright thing in it does not count."""
    return float(np.median(np.abs(small - np.median(small))))


def _shifted(one: Array, two: Array) -> float:
    """The highest correlation of two thumbnails over all shifts that leave half of them in common (Padfield 2012)."""
    shape = [2 * side for side in one.shape]

    def sums(a: Array, b: Array) -> NDArray[np.float64]:
        """Of products, over what is in common, for every shift."""
        return np.asarray(np.fft.irfft2(np.fft.rfft2(a, shape) * np.fft.rfft2(b, shape).conj(), shape))

    a, b, ones = one - one.mean(), two - two.mean(), np.ones_like(one)
    count = sums(ones, ones)
    enough = count > one.size / 2
    n = np.where(enough, count, 1)
    sum_a, sum_b = sums(a, ones), sums(ones, b)
    var_a, var_b = sums(a * a, ones) - sum_a**2 / n, sums(ones, b * b) - sum_b**2 / n
    common = sums(a, b) - sum_a * sum_b / n
    return float(np.max((common / np.sqrt(np.maximum(var_a * var_b, EMPTY**4)))[enough]))


class _Pair(NamedTuple):
    """Two thumbnails, compared about their means, as if there was the usual contrast in them.

    Attributes:
        difference: mean |difference|, full scale 1.
        most: what half of the blocks differ by at least, about the middle: a thing that comes into view is no new shot.
        correlation: −1..1; 0 with a picture that has nothing in it.
        histogram: half the L1 distance of 16-bin histograms, 0..1.
    """

    difference: float
    most: float
    correlation: float
    histogram: float

    @classmethod
    def of(cls, one: Array, two: Array, contrast: float, most: float) -> _Pair:
        """Compare them, raised to `contrast` (standard deviation), by `most` times at most."""
        deviations = float(one.std()), float(two.std())
        raised = min(max(contrast / max(*deviations, 1e-9), 1.0), most)
        # Brightness alone (a flash, a lamp switched on) is no cut: compare about the means.
        about = one - one.mean(), two - two.mean()
        energy = deviations[0] * deviations[1]
        shown = one, two
        if raised > 1:
            middle = (one.mean() + two.mean()) / 2
            shown = 0.5 + raised * (one - middle), 0.5 + raised * (two - middle)
        bins = [np.histogram(np.clip(x, 0, 1), 16, (0, 1))[0] / x.size for x in shown]
        return cls(
            raised * float(np.abs(about[0] - about[1]).mean()),
            raised * float(np.median(np.abs(one - two - np.median(one - two)))),
            float((about[0] * about[1]).mean()) / energy if energy > EMPTY**2 else 0.0,
            float(np.abs(bins[0] - bins[1]).sum()) / 2,
        )
