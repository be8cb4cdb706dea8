"""Measuring motion against a ground that moves: once roughly, then again with the ground brought to rest.

What stays apart from its surroundings by a tenth of a pixel is told from them by its outline to within a few pixels
where they rest, since no motion at all is one of the answers that the network weighs. Where a camera shakes, nothing
rests, and outlines blur. So the frame is moved by the ground's affine motion, onto the reference, and measured again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from magfilter.ground import RESTING, global_motion, rim
from magfilter.splat import square

__all__ = ["Aligned", "Resampler", "moved"]

Array = NDArray[np.float32]

LEAST = 0.05  # px; a ground that moves by less, root mean square, is not worth another look
FULL = 65535  # the network's image as 16-bit samples, so that the engine's resampler moves it:
DARKEST, SPAN = -0.25, 1.5  # video of limited range holds what is blacker than black and whiter than white


class Resampler(Protocol):
    """What moves samples; see `magfilter.backends.Engine.resample`."""

    def __call__(
        self, plane: NDArray[Any], displacement: Array, step: tuple[float, float], peak: int, /
    ) -> NDArray[Any]: ...


def moved(image: Array, displacement: Array, resample: Resampler) -> Array:
    """The image (1, H, W) at x + displacement(x); (2, h, w) px."""
    scaled = (image[0] - np.float32(DARKEST)) * np.float32(FULL / SPAN)
    plane = np.rint(np.clip(scaled, 0, FULL)).astype(np.uint16)
    out = resample(plane, np.ascontiguousarray(displacement), (1.0, 1.0), FULL)
    found: Array = (out.astype(np.float32) * np.float32(SPAN / FULL) + np.float32(DARKEST))[None]
    return found


class Aligned:
    """A network that looks again where the ground moves.

    Args:
        run: the network, (reference, image), each (1, H, W) in 0..1, → flow (2, h, w) px.
        resample: moves samples.
    """

    def __init__(self, run: Callable[[Array, Array], Array], resample: Resampler) -> None:
        self._run, self._resample = run, resample

    def __call__(self, reference: Array, image: Array) -> Array:
        """The flow from the reference to the image, (2, h, w) px of the image."""
        first = self._run(reference, image)
        motion = ground_of(first, _filled(image))
        if motion is None:
            return first
        rest = self._run(reference, moved(image, motion, self._resample))
        # What moved further by `rest` was found where the ground's motion is that of the place it came to.
        down, along = _slope(motion, 1), _slope(motion, 2)
        stride = image.shape[2] / motion.shape[2]
        flow = motion + rest + (along * rest[:1] + down * rest[1:]) / stride
        out: Array = flow.astype(np.float32, copy=False)
        return out


def ground_of(flow: Array, filled: tuple[float, float] = (1.0, 1.0)) -> Array | None:
    """The affine motion (2, h, w) px that most of a flow's rim follows; None if it rests or none is followed.

    Args:
        filled: shares of the rows and of the columns that count: beyond them a picture's border is repeated.
    """
    _, height, width = flow.shape
    seen = flow[:, : max(1, round(height * filled[0])), : max(1, round(width * filled[1]))]
    motion = global_motion(seen)
    if motion.shape[1:] != seen.shape[1:]:
        return None  # too small to have a rim
    if float(np.sqrt(square(motion).mean())) < LEAST:
        return None
    y, x = rim(*seen.shape[1:])
    here, there = seen[:, y, x], motion[:, y, x]
    off, far = square(here - there), square(here)
    if np.mean(far <= off) > RESTING or np.mean(off < 0.25 * square(there)) < 0.5:
        return None
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    out: Array = motion[:, :1, :1] + _slope(motion, 2) * across + _slope(motion, 1) * down
    return out


def _slope(motion: Array, axis: int) -> Array:
    """The change of an affine motion (2, h, w) from one point to the next, (2, 1, 1)."""
    count = motion.shape[axis] - 1
    step: Array = (motion.take([-1], axis) - motion.take([0], axis)) / np.float32(max(count, 1))
    return step[:, :1, :1]


def _filled(image: Array) -> tuple[float, float]:
    """The shares of an image's rows and columns before those that only repeat the last."""
    return _before_repeats(image[0]), _before_repeats(image[0].T)


def _before_repeats(lines: Array) -> float:
    last = len(lines)
    while last > 1 and np.array_equal(lines[last - 1], lines[last - 2]):
        last -= 1
    return last / len(lines)
