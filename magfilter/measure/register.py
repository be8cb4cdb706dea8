"""Where a patch of the reference lies in another frame, to thousandths of a pixel: no network here.

Gauss–Newton on the weighted squares of the difference (Lucas and Kanade 1981, in the inverse compositional form of
Baker and Matthews 2004: the gradient is the reference's, so it is found once), with the patch's gain and offset as
further unknowns, which keeps a change of light from being taken for motion.

What keeps it unbiased: the reference's gradient is uncorrelated with the reference's own noise at the same pixel
(an odd kernel beside an even one), and the steps go on until they vanish, so that noise in the gradient slows them
down but does not shrink the result. Between pixels the frame is read with Lagrange's polynomial through eight of
them, after a Gaussian of one pixel has taken out what such a polynomial would delay.

What lies outside the picture is not known, so only pixels count whose surroundings are inside it, in the reference and
in the frame: of a patch at the picture's rim, in every frame those that are still seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.measure.tiles import thin_out

__all__ = ["MARGIN", "Fit", "Patch", "flat", "margins"]

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

BLUR = 1.0  # px; keeps sensor noise and what aliases out of the gradients
TAPS = 4  # half width in px of the polynomial that reads between pixels
SPAN = 3  # half width in px of the Gaussian
REACH = TAPS + SPAN  # px around a patch that have a say in it
SLACK = 1  # px that a patch may move until it is looked at anew which of its pixels are seen
MARGIN = REACH + SLACK  # px at the picture's rim that tell no motion
NARROW = 4 * MARGIN  # px; a picture that is not as wide, such as a line camera's, has no rim to spare
BLINDER = 3.0  # times the sigma of a whole patch, at which what is left of it in the picture is too little
STEPS = 12
SETTLED = 1e-4  # px
LONGEST = 1.0  # px a step
WORST = 0.1  # px; beyond such a sigma, with noise of 1/255, there is no texture
NOISY = 3.0  # times the slope that noise alone makes: less is no texture either
# Of an edge's slope across it: what it has along itself may be the steps it is sampled in, which do not move with it.
FAINT = 0.005


def _gauss() -> Floats:
    kernel = np.exp(-0.5 * (np.arange(-SPAN, SPAN + 1) / BLUR) ** 2)
    return np.asarray(kernel / kernel.sum())


_GAUSS = _gauss()
_POWER = float((_GAUSS**2).sum() ** 2)  # of white noise that the Gaussian leaves
_SLOPE = float((np.convolve(_GAUSS, [0.5, 0, -0.5]) ** 2).sum() * (_GAUSS**2).sum())  # and its gradient has


def _kernel(fraction: float) -> Array:
    """The Gaussian read `fraction` (0..1) px further on: 14 taps, the first at −REACH + 1."""
    taps = np.arange(-TAPS + 1, TAPS + 1)
    lagrange = [np.prod([(fraction - o) / (tap - o) for o in taps if o != tap]) for tap in taps]
    return np.convolve(_GAUSS, lagrange).astype(np.float32)


def _sample(image: Array, top: int, left: int, size: tuple[int, int], at: Floats) -> Array:
    """The blurred block of `size` whose corner is row `top`, column `left`, read `at` (x, y) px further on."""
    whole = np.floor(at).astype(int)
    across, down = (_kernel(float(part)) for part in at - whole)
    rows = top + whole[1] - REACH + 1 + np.arange(size[0] + len(down) - 1)
    cols = left + whole[0] - REACH + 1 + np.arange(size[1] + len(across) - 1)
    if rows[0] >= 0 and cols[0] >= 0 and rows[-1] < image.shape[0] and cols[-1] < image.shape[1]:
        block = image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    else:  # the border is repeated
        block = image[np.ix_(np.clip(rows, 0, image.shape[0] - 1), np.clip(cols, 0, image.shape[1] - 1))]
    return _along(_along(block, down, 0, size[0]), across, 1, size[1])


def _along(block: Array, kernel: Array, axis: int, count: int) -> Array:
    out: Any = None
    spare: Any = None
    for k, weight in enumerate(kernel):
        part = block[k : k + count] if axis == 0 else block[:, k : k + count]
        if out is None:
            out = part * weight
            spare = np.empty_like(out)
        else:
            np.multiply(part, weight, out=spare)
            out += spare
    return np.asarray(out)


def margins(shape: tuple[int, ...]) -> tuple[int, int]:
    """Px at the top and bottom, and at the sides, of a picture (H, W) that tell no motion."""
    height, width = (MARGIN if side >= NARROW else 0 for side in shape)
    return height, width


def _least(noise: float) -> float:
    """Squared slope of a texture's mean, of 0..1 a px, that tells motion: more than noise alone makes."""
    return max(NOISY * _SLOPE * noise**2, 1e-12)


def flat(reference: Array, corner: tuple[int, int], size: tuple[int, ...], noise: float) -> bool:
    """Whether a patch is so even that it cannot tell motion, at a glance; arguments as `Patch`'s, `size` its (h, w).

    The slopes of a blurred picture are at most half of what its pixels differ by.
    """
    down, across = (slice(max(0, at - REACH), at + side + REACH) for at, side in zip(corner, size, strict=True))
    seen = reference[down, across]
    return not seen.size or 2 * (float(seen.max()) - float(seen.min())) ** 2 / 4 <= _least(noise)


@dataclass(frozen=True)
class Fit:
    """Where a patch was found.

    Attributes:
        vector: (x, y) px from the reference; NaN along what the texture does not tell.
        noise: standard deviation, of 0..1, of the pixels' difference to the reference, as if it were white noise;
            where part of the patch has left the picture, as much more as the rest is less certain.
        likeness: correlation of the patch with the reference, up to 1; 0 where too little of it is in the picture.
        centre: (x, y) px of the reference, of what was seen of the patch.
    """

    vector: Floats
    noise: float
    likeness: float
    centre: Floats


@dataclass(frozen=True)
class _Template:
    """What of a patch is compared: of all its pixels in a row (n,), or of those that are in the picture.

    Attributes:
        share: how much each counts, 1 together.
        light: the reference less its mean.
        free: (2, n) its slopes, without what gain and offset explain of them, which tells no motion.
        spread: of the light, squared.
        info: (2, 2) of the slopes.
    """

    share: Floats
    light: Floats
    free: Floats
    spread: float
    info: Floats

    @staticmethod
    def of(weights: NDArray[Any], light: Array, slopes: Array) -> _Template:
        share = (weights / weights.sum()).astype(np.float64)
        off = (light - float((share * light).sum())).astype(np.float64)
        spread = float((share * off**2).sum())
        free = []
        for slope in slopes:
            slope = slope - float((share * slope).sum())
            slope = slope - off * (float((share * slope * off).sum()) / max(spread, 1e-20))
            free.append(slope.astype(np.float64))
        info = np.array([[float((share * a * b).sum()) for b in free] for a in free])
        return _Template(share, off, np.array(free), spread, info)


@dataclass(frozen=True)
class _View:
    """A template as it is compared with frames: (k, n) rows that give the step along each axis, and the rest."""

    rows: Array
    light: Array
    share: Array
    spread: float
    blinder: float  # times the sigma of the whole patch
    centre: Floats


class Patch:
    """A weighted patch of the reference, to be found again.

    Args:
        reference: (H, W) float32 luma, 0..1.
        corner: (top, left) px of the patch.
        weights: (h, w) float, 0 or more: how much each of its pixels counts.
        noise: standard deviation of the reference's noise, of 0..1: less slope than it makes is no texture.

    Attributes:
        sigma: (2, 2) covariance of the vector, px², for white noise of variance 1 in the difference; where the
            texture tells only one direction, of that alone. All NaN where it tells none.
        axes: (k, 2) unit vectors of the directions that the texture tells, k = 0, 1 or 2.
        centre: (x, y) px, of what counts.
    """

    def __init__(self, reference: Array, corner: tuple[int, int], weights: NDArray[Any], noise: float) -> None:
        self.top, self.left = corner
        self.axes = np.zeros((0, 2))
        self.sigma = np.full((2, 2), np.nan)
        self.size = (0, 0)
        self.centre = np.array([self.left + weights.shape[1] / 2, self.top + weights.shape[0] / 2])
        self._shape = reference.shape
        down, across = self._seen(weights.shape, (0, 0))
        weights = weights * (down[:, None] & across)
        rows, cols = np.flatnonzero(weights.any(1)), np.flatnonzero(weights.any(0))
        if not len(rows):
            return
        weights = weights[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        if flat(reference, (self.top + int(rows[0]), self.left + int(cols[0])), weights.shape, noise):
            return
        self.top, self.left, self.size = self.top + int(rows[0]), self.left + int(cols[0]), weights.shape
        larger = _sample(reference, self.top - 1, self.left - 1, (self.size[0] + 2, self.size[1] + 2), np.zeros(2))
        slopes = [(larger[1:-1, 2:] - larger[1:-1, :-2]) / 2, (larger[2:, 1:-1] - larger[:-2, 1:-1]) / 2]
        weights, self._boxes = thin_out(weights, slopes)
        self._weights, self._light = self._collect(weights), self._collect(larger[1:-1, 1:-1])
        self._slopes = np.stack([self._collect(slope) for slope in slopes])
        y, x = np.mgrid[self.top : self.top + self.size[0], self.left : self.left + self.size[1]]
        self._at = np.stack([self._collect(x), self._collect(y)])
        whole = _Template.of(self._weights, self._light, self._slopes)
        values, vectors = np.linalg.eigh(whole.info)
        told = []
        for value, vector in zip(values, vectors.T, strict=True):
            if value <= max(_least(noise), FAINT * values[-1]):
                continue
            row = self._spread_out(whole.share * (vector @ whole.free) / value)
            if np.sqrt(self._unit(row, row)) / 255 < WORST:
                told.append((vector, row))
        self._across = np.array([vector for vector, _ in told]).reshape(-1, 2)  # what the slopes tell
        if len(told) == 1:
            self._straighten(told)
        self.axes = np.array([vector for vector, _ in told]).reshape(-1, 2)
        if told:
            self._info = self._across @ whole.info @ self._across.T * float(self._weights.sum())
            self._whole = self._view(whole, None)
            self._last: tuple[tuple[int, int], _View | None] = ((0, 0), self._whole)
            self.centre = self._whole.centre
            small = np.array([[self._unit(a, b) for _, b in told] for _, a in told])
            self.sigma = self.axes.T @ small @ self.axes

    def _seen(self, size: tuple[int, int], by: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows and columns of a patch of a size are inside the picture, there and `by` (x, y) px further on."""
        seen = []
        for begin, count, side, far, margin in zip(
            (self.top, self.left), size, self._shape, by[::-1], margins(self._shape), strict=True
        ):
            at = begin + np.arange(count)
            low, high = margin - min(far, 0), side - 1 - margin - max(far, 0)
            seen.append((at >= low) & (at <= high) if margin else np.ones(count, bool))
        return seen[0], seen[1]

    def _at_anchor(self, anchor: tuple[int, int]) -> _View | None:
        """How the patch is compared where it has moved by so many px; None if too little of it is in the picture."""
        if anchor == (0, 0):
            return self._whole
        if anchor != self._last[0]:
            down, across = self._seen(self.size, anchor)
            view: _View | None = self._whole
            if not (down.all() and across.all()):
                kept = self._collect(down[:, None] & across) > 0
                view = self._part(kept) if not kept[self._weights > 0].all() else view
            self._last = (anchor, view)
        return self._last[1]

    def _part(self, kept: NDArray[np.bool_]) -> _View | None:
        weights = self._weights[kept]
        if not weights.any():
            return None
        part = _Template.of(weights, self._light[kept], self._slopes[:, kept])
        inner = self._across @ part.info @ self._across.T * float(weights.sum())
        if np.linalg.eigvalsh(inner)[0] <= np.linalg.eigvalsh(self._info)[0] / BLINDER**2:
            return None
        return self._view(part, kept)

    def _view(self, template: _Template, kept: NDArray[np.bool_] | None) -> _View:
        """How a template is compared, of all the patch's pixels or of those (n,) that are kept."""
        inner = self._across @ template.info @ self._across.T
        rows = np.linalg.solve(inner, template.share * (self._across @ template.free))
        if len(self.axes) == 1:  # of an edge, the motion along an axis; see `_straighten`
            rows /= float(self.axes[0] @ self._across[0])
        strength = template.share * (template.free**2).sum(0)
        at = self._at if kept is None else self._at[:, kept]
        blinder = 1.0
        parts = [rows, template.light, template.share]
        if kept is not None:
            blinder = float(np.trace(np.linalg.inv(inner)) / float(self._weights[kept].sum()))
            blinder = float(np.sqrt(blinder / np.trace(np.linalg.inv(self._info))))
            for k, values in enumerate(parts):
                parts[k] = np.zeros((*values.shape[:-1], len(kept)))
                parts[k][..., kept] = values
        rows, light, share = (values.astype(np.float32) for values in parts)
        return _View(rows, light, share, template.spread, blinder, at @ strength / float(strength.sum()))

    def _straighten(self, told: list[tuple[Floats, Floats]]) -> None:
        """An edge within ten degrees of upright or level tells the motion along an axis."""
        vector, row = told[0]
        axis = int(np.argmax(np.abs(vector)))
        if abs(vector[1 - axis]) < np.sin(np.radians(10)):
            straight = np.zeros(2)
            straight[axis] = 1
            told[0] = (straight, row / vector[axis])

    def _unit(self, a: Floats, b: Floats) -> float:
        """Covariance of two sums over the blurred difference, for white noise of variance 1 before the blur."""
        return float((_smooth(a) * _smooth(b)).sum())

    @property
    def told(self) -> NDArray[np.bool_]:
        """(2,) whether the motion along x and along y is told."""
        if len(self.axes) == 2:
            return np.array([True, True])
        return np.array([len(self.axes) == 1 and abs(self.axes[0][k]) == 1 for k in (0, 1)])

    def find(self, image: Array, start: NDArray[Any]) -> Fit:
        """Look for the patch in `image` (H, W), about `start` (x, y) px from where it is in the reference.

        NaN in `start`, such as `Fit.vector` holds along an edge, counts as 0.
        """
        if not len(self.axes):
            return Fit(np.full(2, np.nan), np.nan, 0.0, self.centre)
        at = np.nan_to_num(np.asarray(start, np.float64)) @ self.axes.T @ self.axes
        anchor = _anchor(at, (0, 0))
        view = self._at_anchor(anchor)
        seen = self._read(image, at)
        for _ in range(STEPS):
            if view is None:
                return Fit(at, np.nan, 0.0, self.centre)
            gain, _, _ = _compare(view, seen)
            step = -(view.rows @ seen).astype(np.float64) / gain @ self.axes
            length = float(np.hypot(*step))
            at = at + step * min(1.0, LONGEST / max(length, 1e-12))
            seen = self._read(image, at)
            before, anchor = anchor, _anchor(at, anchor)
            if anchor != before:
                view = self._at_anchor(anchor)
            elif length < SETTLED:
                break
        if view is None:
            return Fit(at, np.nan, 0.0, self.centre)
        _, noise, likeness = _compare(view, seen)
        vector = at if len(self.axes) == 2 else np.where(self.told, at, np.nan)
        if len(self.axes) == 1 and not self.told.any():
            vector = at  # on the line across the edge; `axes` says which
        return Fit(vector, noise * view.blinder, likeness, view.centre)

    def _collect(self, values: NDArray[Any]) -> Array:
        """What of (h, w) lies in the boxes, in a row."""
        parts = [values[top : top + rows, left : left + cols].ravel() for top, left, rows, cols in self._boxes]
        return np.concatenate(parts).astype(np.float32)

    def _read(self, image: Array, at: Floats) -> Array:
        boxes = self._boxes
        parts = [_sample(image, self.top + y, self.left + x, (h, w), at).ravel() for y, x, h, w in boxes]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _spread_out(self, values: NDArray[Any]) -> Floats:
        """The reverse of `_collect`: (h, w), 0 outside the boxes."""
        out = np.zeros(self.size)
        begin = 0
        for top, left, rows, cols in self._boxes:
            out[top : top + rows, left : left + cols] = values[begin : begin + rows * cols].reshape(rows, cols)
            begin += rows * cols
        return out


def _anchor(at: Floats, before: tuple[int, int]) -> tuple[int, int]:
    """The whole px (x, y) for which it is known what is seen: the last ones, unless `at` is more than SLACK off."""
    if np.abs(at - before).max() <= SLACK:
        return before
    x, y = (0 if abs(part) <= SLACK else round(float(part)) for part in at)
    return x, y


def _compare(view: _View, seen: Array) -> tuple[float, float, float]:
    """Gain, noise of the difference before the blur, correlation."""
    mean = float(view.share @ seen)
    off = seen - np.float32(mean)
    like = float(view.share @ (off * view.light))
    power = float(view.share @ (off * off))
    gain = like / max(view.spread, 1e-20)
    rest = max(0.0, power - gain * like)
    likeness = like / max(np.sqrt(power * view.spread), 1e-20)
    return gain if abs(gain) > 0.2 else 1.0, float(np.sqrt(rest / _POWER)), likeness


def _smooth(image: Floats) -> Floats:
    """What weights on blurred pixels are on the pixels before the blur."""
    image = np.pad(image, SPAN * 2)
    for axis in (0, 1):
        count = image.shape[axis] - 2 * SPAN
        image = sum(w * (image[k : k + count] if axis == 0 else image[:, k : k + count]) for k, w in enumerate(_GAUSS))
    return np.asarray(image)
