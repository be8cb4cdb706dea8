"""Where a patch of the reference lies in another frame, to thousandths of a pixel: no network here.

Gauss–Newton on the weighted squares of the difference (Lucas and Kanade 1981, in the inverse compositional form of
Baker and Matthews 2004: the gradient is the reference's, so it is found once), with the patch's gain and offset as
further unknowns, which keeps a change of light from being taken for motion.

What keeps it unbiased: the reference's gradient is uncorrelated with the reference's own noise at the same pixel
(an odd kernel beside an even one), and the steps go on until they vanish, so that noise in the gradient slows them
down but does not shrink the result. Between pixels the frame is read with Lagrange's polynomial through eight of
them, after a Gaussian of one pixel has taken out what such a polynomial would delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "Fit", "Patch"]

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

BLUR = 1.0  # px; keeps sensor noise and what aliases out of the gradients
TAPS = 4  # half width in px of the polynomial that reads between pixels
SPAN = 3  # half width in px of the Gaussian
REACH = TAPS + SPAN  # px around a patch that have a say in it
STEPS = 12
TILE = 32  # px; of a large patch, tiles that tell next to nothing are left out,
PLENTY = 0.98  # as long as the rest tells this share,
MOST_TILES = 256  # and more than so many are not needed
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


@dataclass(frozen=True)
class Fit:
    """Where a patch was found.

    Attributes:
        vector: (x, y) px from the reference; NaN along what the texture does not tell.
        noise: standard deviation, of 0..1, of the pixels' difference to the reference, as if it were white noise.
        likeness: correlation of the patch with the reference, up to 1.
    """

    vector: Floats
    noise: float
    likeness: float


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
        rows, cols = np.flatnonzero(weights.any(1)), np.flatnonzero(weights.any(0))
        self.axes = np.zeros((0, 2))
        self.sigma = np.full((2, 2), np.nan)
        self.size = (0, 0)
        self.centre = np.array([self.left + weights.shape[1] / 2, self.top + weights.shape[0] / 2])
        if not len(rows):
            return
        weights = weights[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        self.top, self.left, self.size = self.top + int(rows[0]), self.left + int(cols[0]), weights.shape
        larger = _sample(reference, self.top - 1, self.left - 1, (self.size[0] + 2, self.size[1] + 2), np.zeros(2))
        slopes = [(larger[1:-1, 2:] - larger[1:-1, :-2]) / 2, (larger[2:, 1:-1] - larger[:-2, 1:-1]) / 2]
        light = larger[1:-1, 1:-1]
        weights, self._boxes = _thin_out(weights, slopes)
        share = (weights / weights.sum()).astype(np.float64)
        self._mean = float((share * light).sum())
        light = (light - self._mean).astype(np.float64)
        self._spread = float((share * light**2).sum())
        # What gain and offset explain of the slopes tells no motion.
        free = []
        for slope in slopes:
            slope = slope - float((share * slope).sum())
            slope = slope - light * (float((share * slope * light).sum()) / max(self._spread, 1e-20))
            free.append(slope.astype(np.float64))
        info = np.array([[float((share * a * b).sum()) for b in free] for a in free])
        values, vectors = np.linalg.eigh(info)
        told = []
        for value, vector in zip(values, vectors.T, strict=True):
            if value <= max(NOISY * _SLOPE * noise**2, FAINT * values[-1], 1e-12):
                continue
            row = share * (vector[0] * free[0] + vector[1] * free[1]) / value
            if np.sqrt(self._unit(row, row)) / 255 < WORST:
                told.append((vector, row))
        if len(told) == 1:
            self._straighten(told)
        self.axes = np.array([vector for vector, _ in told]).reshape(-1, 2)
        self._rows = np.array([self._collect(row) for _, row in told], np.float32)
        self._light, self._share = self._collect(light), self._collect(share)
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        strength = share * (free[0] ** 2 + free[1] ** 2)
        if told:
            total = float(strength.sum())
            self.centre = np.array(
                [self.left + float((strength * x).sum()) / total, self.top + float((strength * y).sum()) / total]
            )
            small = np.array([[self._unit(a, b) for _, b in told] for _, a in told])
            self.sigma = self.axes.T @ small @ self.axes

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
            return Fit(np.full(2, np.nan), np.nan, 0.0)
        at = np.nan_to_num(np.asarray(start, np.float64)) @ self.axes.T @ self.axes
        seen = self._read(image, at)
        for _ in range(STEPS):
            gain, _, _ = self._compare(seen)
            step = -(self._rows @ seen).astype(np.float64) / gain @ self.axes
            length = float(np.hypot(*step))
            at = at + step * min(1.0, LONGEST / max(length, 1e-12))
            seen = self._read(image, at)
            if length < SETTLED:
                break
        _, noise, likeness = self._compare(seen)
        vector = at if len(self.axes) == 2 else np.where(self.told, at, np.nan)
        if len(self.axes) == 1 and not self.told.any():
            vector = at  # on the line across the edge; `axes` says which
        return Fit(vector, noise, likeness)

    def _collect(self, values: NDArray[Any]) -> Array:
        """What of (h, w) lies in the boxes, in a row."""
        parts = [values[top : top + rows, left : left + cols].ravel() for top, left, rows, cols in self._boxes]
        return np.concatenate(parts).astype(np.float32)

    def _read(self, image: Array, at: Floats) -> Array:
        boxes = self._boxes
        parts = [_sample(image, self.top + y, self.left + x, (h, w), at).ravel() for y, x, h, w in boxes]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _compare(self, seen: Array) -> tuple[float, float, float]:
        """Gain, noise of the difference before the blur, correlation."""
        mean = float(self._share @ seen)
        off = seen - np.float32(mean)
        like = float(self._share @ (off * self._light))
        power = float(self._share @ (off * off))
        gain = like / max(self._spread, 1e-20)
        rest = max(0.0, power - gain * like)
        likeness = like / max(np.sqrt(power * self._spread), 1e-20)
        return gain if abs(gain) > 0.2 else 1.0, float(np.sqrt(rest / _POWER)), likeness


def _thin_out(weights: NDArray[Any], slopes: list[Any]) -> tuple[NDArray[Any], list[tuple[int, int, int, int]]]:
    """The weights without tiles that tell next to nothing, and what is left as boxes (top, left, rows, columns)."""
    height, width = weights.shape
    if height * width <= 4 * TILE * TILE:
        return weights, [(0, 0, height, width)]
    rows, cols = -(-height // TILE), -(-width // TILE)
    worth = np.zeros((rows, cols))
    for slope in slopes:
        strength = np.zeros((rows * TILE, cols * TILE), np.float32)
        strength[:height, :width] = weights * slope**2
        told = strength.reshape(rows, TILE, cols, TILE).sum((1, 3), dtype=np.float64)
        worth += told / max(float(told.sum()), 1e-20)
    order = np.argsort(-worth.ravel(), kind="stable")
    told = np.cumsum(worth.ravel()[order])
    count = min(int(np.searchsorted(told, PLENTY * told[-1])) + 1, MOST_TILES)
    kept = np.zeros(rows * cols, bool)
    kept[order[:count]] = True
    kept = kept.reshape(rows, cols)
    boxes: list[tuple[int, int, int, int]] = []
    for row in range(rows):
        col = 0
        while col < cols:
            begin = col
            while col < cols and kept[row, col]:
                col += 1
            if col > begin:  # neighbours in a row are one box
                top, left = row * TILE, begin * TILE
                boxes.append((top, left, min(TILE, height - top), min(col * TILE, width) - left))
            col += 1
    return weights * np.kron(kept, np.ones((TILE, TILE), bool))[:height, :width], boxes


def _smooth(image: Floats) -> Floats:
    """What weights on blurred pixels are on the pixels before the blur."""
    image = np.pad(image, SPAN * 2)
    for axis in (0, 1):
        count = image.shape[axis] - 2 * SPAN
        image = sum(w * (image[k : k + count] if axis == 0 else image[:, k : k + count]) for k, w in enumerate(_GAUSS))
    return np.asarray(image)
