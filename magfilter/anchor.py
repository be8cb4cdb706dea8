"""When the reference is replaced: what has outgrown it, what of its motion is shown on, and one that is an average.

Motion measured against a new reference begins at zero. Shown as it is, the picture would jump by all that it had
been displaced by; a `Carry` shows the old displacement on at the new reference's points and lets it fade.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from magfilter.align import Resampler, moved
from magfilter.splat import square

__all__ = ["Carry", "RunningMean", "advected", "outgrown"]

Field = NDArray[np.float32]

LARGE = 99.0  # percentile of the motion that is to be followed: a hundredth of the picture
LOOKS = 8  # steps of the fixed point; each leaves at most half of the error where neighbours differ by half a px


def outgrown(flow: Field, reach: float) -> bool:
    """Whether more than a hundredth of the picture has moved by more than `reach` px; flow (2, h, w) px."""
    return float(np.percentile(square(flow), LARGE)) > reach**2


def advected(field: Field, flow: Field, stride: float) -> Field:
    """`field` (2, h, w), given at the reference's points p, at the places p + flow(p) that they moved to.

    Args:
        flow: (2, h, w) px of the full picture.
        stride: px of the full picture per grid point.

    Where two points came to the same place either may be taken; where none did, a neighbour's value.
    """
    _, height, width = flow.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    step = flow / np.float32(stride)
    both = np.concatenate([step, field])
    here = both
    for _ in range(LOOKS):
        here = _look(both, y - here[1], x - here[0])
    return here[2:]


def _look(fields: Field, y: Field, x: Field) -> Field:
    """Fields (n, h, w) at places (h, w), bilinear, borders repeated."""
    height, width = fields.shape[1:]
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    low, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    fy, fx = y - top, x - left
    above = fields[:, top, left] * (1 - fx) + fields[:, top, right] * fx
    below = fields[:, low, left] * (1 - fx) + fields[:, low, right] * fx
    out: Field = (above * (1 - fy) + below * fy).astype(np.float32)
    return out


class Carry:
    """Displacement that the last reference left behind, fading on the present one's points.

    Args:
        seconds: how long it takes to fade; 0 drops it at once.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._field: Field | None = None
        self._since = 0.0

    def drop(self) -> None:
        """Nothing is carried on: another shot begins."""
        self._field = None

    def take(self, shown: Field, flow: Field, stride: float, time: float) -> None:
        """The frame at `time` s becomes the reference.

        Args:
            shown: (2, h, w) px, what of the motion was magnified in it, at the old reference's points.
            flow: (2, h, w) px, its motion against the old reference; stride: px of the picture per point.
        """
        self._field = advected(shown, flow, stride) if self.seconds > 0 else None
        self._since = time

    def at(self, time: float) -> Field | None:
        """What is still shown at `time` s, (2, h, w) px, or None."""
        if self._field is None:
            return None
        gone = (time - self._since) / self.seconds
        if not 0 <= gone < 1:
            self._field = None
            return None
        fade = np.float32(0.5 + 0.5 * math.cos(math.pi * gone))
        out: Field = fade * self._field
        return out


class RunningMean:
    """A reference that is the average of the frames so far, each brought to the average position.

    What moves back and forth is measured against where it is on average over the last `seconds`, which forgets
    exponentially, and by a picture with several times less noise than a frame has.

    Args:
        seconds: time constant.
        resample: moves samples.
    """

    def __init__(self, seconds: float, resample: Resampler) -> None:
        self.seconds, self.resample = seconds, resample
        self._mean: Field | None = None
        self._count = 0
        self._time = 0.0

    def start(self, image: Field, time: float) -> None:
        """Begin with this image (1, H, W) in 0..1."""
        self._mean, self._count, self._time = image, 1, time

    def follow(self, image: Field, flow: Field, time: float) -> Field:
        """The reference for the next frame, (1, H, W) in 0..1.

        Args:
            image: the frame, as `start`.
            flow: (2, h, w) px of the image, from the reference that `follow` or `start` gave last to it.
            time: seconds; frames come in order.
        """
        assert self._mean is not None
        self._count += 1
        # A plain average until there is enough to forget.
        weight = max(1 / self._count, 1 - math.exp(-max(time - self._time, 0.0) / self.seconds))
        self._time = time
        old = moved(self._mean, -np.float32(weight) * flow, self.resample)
        new = moved(image, np.float32(1 - weight) * flow, self.resample)
        self._mean = old + np.float32(weight) * (new - old)
        return self._mean
