"""Light that changes is no motion: a frame is brought to its reference's brightness before the two are compared.

A network that compares two pictures finds no motion that explains why one of them is darker, and the darker it is
the less it believes in any: dye that bleaches, a lamp that flickers and a camera that opens its iris let what moves
come to rest. So the gain and the offset that most of the picture follows are taken out first, and what the light
does here and not there after that. And a camera of 16 bits that uses a hundredth of its range gives pictures that
are black, unless they are stretched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["Levelled", "Stretch", "relit"]

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

BLOCK = 8  # px a side, whose means are compared: what moves by a few px hardly changes them
LEAST = 0.02  # a gain nearer to 1 is left as it is: the network bears it, and offsets too
ALIKE = 0.9  # correlation, where they agree, below which one picture is not the other in another light;
CLOSE = 0.5  # nor is it where half of the blocks are farther off than this share of what half of them differ by
FLAT = 2 / 255  # standard deviation of blocks below which they tell no gain from an offset
NARROW = 0.1  # share of the range; a picture that uses less of it is stretched
WIDE, LOW = 0.5, 0.25  # the share that it then uses, as far as its own steps stay finer than those of 8 bits; from here
MOST = 20.0  # times as bright or as dark; beyond, there is nothing left to see in one of the two
DARK = 1e-3  # mean brightness below which there is no telling by how much it has changed
TURNS = 4
SIGHT, UNEVEN = 4, 0.05  # parts a side whose light is compared; by more than so much it is not the same everywhere
AROUND = 4  # blocks in each direction over which light is taken to be the same
SAME = 0.8  # correlation of what is finer than that, below which it is something else that is brighter


@dataclass(frozen=True)
class Stretch:
    """What brings a picture that uses little of its range to a usual one: (light − low) · factor + a quarter.

    Attributes:
        low: of 0..1. factor: 1 where nothing is to be done.
    """

    low: float = 0.0
    factor: float = 1.0

    @classmethod
    def of(cls, light: Array, depth: int) -> Stretch:
        """For pictures like this one, (…, H, W) in 0..1 with so many bits a sample.

        Those of 8 bits are left as they are: their steps would be taken for contours.
        """
        finer = 2.0 ** (depth - 8)
        if finer <= 1:
            return cls()
        low, high = (float(end) for end in np.percentile(light[..., ::4, ::4], (0.5, 99.5)))
        return cls(low, min(WIDE / max(high - low, 1e-6), finer)) if high - low < NARROW else cls()

    def __call__(self, light: Array) -> Array:
        """The picture as wide as others; the same array where that is what it is."""
        if self.factor == 1:
            return light
        return (light - np.float32(self.low)) * np.float32(self.factor) + np.float32(LOW)


class Levelled:
    """A network to which light and range of a picture do not matter.

    Args:
        run: the network, (reference, image), each (1, H, W) in 0..1, → flow (2, h, w) px.

    Attributes:
        depth: bits a sample of the pictures.
        idle: hand on pictures as they are, for comparisons.
    """

    def __init__(self, run: Callable[[Array, Array], Array]) -> None:
        self._run = run
        self.depth = 8
        self.idle = False

    def __call__(self, reference: Array, image: Array) -> Array:
        """The flow from the reference to the image, (2, h, w) px of the image."""
        if self.idle:
            return self._run(reference, image)
        stretch = Stretch.of(reference, self.depth)
        reference, image = stretch(reference), stretch(image)
        return self._run(reference, relit(reference, image))


def relit(reference: Array, image: Array) -> Array:
    """The image (1, H, W) in the light of the reference; the same array where that is about the same.

    First as far as the light has changed alike everywhere; then from place to place, where it is the same picture.
    """
    one, two = _blocks(reference), _blocks(image)
    gain, offset = _alike(one.ravel(), two.ravel())
    if abs(gain - 1) > LEAST and 1 / MOST < gain < MOST:
        image, two = (image - np.float32(offset)) / np.float32(gain), (two - offset) / gain
    ratio = np.where(one > DARK, two / np.maximum(one, DARK), 1)
    if not _uneven(ratio):
        return image
    local = np.clip(_smoothed(ratio), 1 / MOST, MOST)
    touched = np.abs(local - 1) > UNEVEN
    if not touched.any() or _likeness(one, two / local, touched) < SAME:
        return image
    _, height, width = image.shape
    return image / _enlarged(_enlarged(local.astype(np.float32), height, 0), width, 1)


def _alike(one: Floats, two: Floats) -> tuple[float, float]:
    """Gain and offset of the light in all of a picture: most of its blocks (n,) are gain · the reference's + offset.

    1 and 0 if it is not the same picture.
    """
    spread_1, spread_2 = _spread(one), _spread(two)
    gain = spread_2 / spread_1 if min(spread_1, spread_2) > 0 else 1.0
    offset = float(np.median(two - gain * one))
    alike = 0.0
    for _ in range(TURNS):
        off = np.abs(two - gain * one - offset)
        scale = max(1.5 * float(np.median(off)), 0.25 / 255)
        weight = 1 / (1 + (off / scale) ** 2) ** 2
        weight /= weight.sum()
        mean_1, mean_2 = float(weight @ one), float(weight @ two)
        about_1, about_2 = one - mean_1, two - mean_2
        var_1, var_2 = float(weight @ about_1**2), float(weight @ about_2**2)
        if min(var_1, var_2) < FLAT**2:  # nothing but brightness to go by; light multiplies
            return (mean_2 / mean_1, 0.0) if min(mean_1, mean_2) > DARK else (1.0, 0.0)
        alike = float(weight @ (about_1 * about_2)) / np.sqrt(var_1 * var_2)
        # Of the deviations, not of a regression, which noise and motion make less steep.
        gain = float(np.sqrt(var_2 / var_1))
        offset = mean_2 - gain * mean_1
    close = float(np.median(np.abs(two - gain * one - offset))) < CLOSE * spread_2
    return (gain, offset) if close and alike > ALIKE else (1.0, 0.0)


def _spread(blocks: Floats) -> float:
    """What half of the blocks (n,) differ by from the one in the middle, at least."""
    return float(np.median(np.abs(blocks - np.median(blocks))))


def _uneven(ratio: Floats) -> bool:
    """Whether the light differs from place to place, at first sight; of blocks (rows, cols)."""
    rows, cols = (np.array_split(np.arange(count), min(SIGHT, count)) for count in ratio.shape)
    middles = [np.median(ratio[np.ix_(down, along)]) for down in rows for along in cols]
    return bool(np.max(np.abs(np.array(middles) - 1)) > UNEVEN)


def _smoothed(ratio: Floats) -> Floats:
    """Medians around each block: what moves over less than half of its surroundings does not count."""
    around = np.pad(ratio, AROUND, mode="edge")
    side = 2 * AROUND + 1
    return np.asarray(np.median(sliding_window_view(around, (side, side)), (2, 3)))


def _likeness(one: Floats, two: Floats, where: NDArray[np.bool_]) -> float:
    """Correlation of what is finer than the light changes, of blocks (rows, cols), where that is asked for."""
    fine = []
    for blocks in (one, two):
        around = np.pad(blocks, 1, mode="edge")
        mean = sliding_window_view(around, (3, 3)).mean((2, 3))
        fine.append((blocks - mean)[where])
    energy = float(np.sqrt((fine[0] ** 2).sum() * (fine[1] ** 2).sum()))
    return float((fine[0] * fine[1]).sum()) / energy if energy > 0 else 0.0


def _enlarged(values: Array, count: int, axis: int) -> Array:
    """Values of blocks (rows, cols) at so many px along an axis, with straight lines between the blocks' middles."""
    blocks = values.shape[axis]
    at = np.clip((np.arange(count) + 0.5) / (count // blocks) - 0.5, 0, blocks - 1)
    before = np.minimum(at.astype(np.intp), max(blocks - 2, 0))
    share = (at - before).astype(np.float32)[:, None] if axis == 0 else (at - before).astype(np.float32)
    low, high = values.take(before, axis), values.take(np.minimum(before + 1, blocks - 1), axis)
    out: Array = low + (high - low) * share
    return out


def _blocks(image: Array) -> Floats:
    """Means of the blocks (rows, cols) of an image (1, H, W); what is over at the right and below is left out."""
    _, height, width = image.shape
    rows, cols = max(height // BLOCK, 1), max(width // BLOCK, 1)
    side_y, side_x = height // rows, width // cols
    whole = image[0, : rows * side_y, : cols * side_x].reshape(rows, side_y, cols, side_x)
    return np.asarray(whole.mean(1, dtype=np.float32).mean(2), np.float64)
