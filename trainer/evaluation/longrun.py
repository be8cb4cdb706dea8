"""A long take: an object vibrates on ground that a drifting camera slowly carries away, by reference policy.

Every method here answers for one pair at a time, so that a policy is only the choice of the reference: the
first frame for ever, or a new one every so many frames. The exact picture is known for either.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np

from . import metrics
from .methods import Method
from .registration import luma, register, registered_displacement
from .scenes import Scene, known_motion_scenes

__all__ = ["FRAMES", "POLICIES", "Take", "drift_rows"]

FRAMES, SEGMENT = 32, 8  # a segment is reported as a second
PERIOD = 8  # frames of one vibration
ALPHA, VIBRATION, DRIFT = 5.0, 0.3, 2.0  # px; the drift is that of the whole take
POLICIES = ("first", "every")
APART = 14  # px that the ground's registration keeps from the object


class Take:
    """The frames of a scene over moving ground, and what the magnified ones should show."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def _at(self, t: int) -> tuple[np.ndarray, float]:
        """Where the object (2,) and the ground (along its drift) are at frame t, px."""
        carried = DRIFT * t / (FRAMES - 1)
        swing = VIBRATION * np.sin(2 * np.pi * t / PERIOD)
        return carried * self.scene.drift + swing * self.scene.direction, carried

    def _picture(self, own: np.ndarray, carried: float) -> np.ndarray:
        return self.scene.compose(own, self.scene.ground(carried))

    def frame(self, t: int) -> np.ndarray:
        return self._picture(*self._at(t))

    def exact(self, t: int, reference: int) -> np.ndarray:
        """Frame t with its motion against frame ``reference`` made ALPHA times larger."""
        return self._picture(self.due(t, reference), self._carried(t, reference))

    def due(self, t: int, reference: int) -> np.ndarray:
        """Where the object is to be shown, px from its place in frame 0."""
        own, first = self._at(t)[0], self._at(reference)[0]
        return first + ALPHA * (own - first)

    def left_behind(self, t: int, reference: int) -> np.ndarray:
        """(2,) px from where the ground is to be shown to where frame t has it."""
        return (self._at(t)[1] - self._carried(t, reference)) * self.scene.drift

    def _carried(self, t: int, reference: int) -> float:
        here, first = self._at(t)[1], self._at(reference)[1]
        return first + ALPHA * (here - first)


@cache
def _take(number: int) -> Take:
    return Take(known_motion_scenes(number + 1, background="moving")[number])


def drift_rows(magnify: Method, number: int, policy: str) -> Iterator[dict[str, Any]]:
    """One row for each segment of take ``number``: ``level`` (from 0), ``psnr``, ``gain``, ``jitter``.

    ``policy`` "first" measures against frame 0, "every" against the first frame of the segment. ``gain`` is the
    object's realised displacement over its due one, by least squares; ``jitter`` that of the ground against
    the exact picture's.
    """
    take = _take(number)
    still = take.scene.mask()
    for segment in range(FRAMES // SEGMENT):
        first = 0 if policy == "first" else segment * SEGMENT
        reference = take.frame(first)
        begin = take.due(first, first)
        cover = take.scene.mask(begin)
        noise, grounds, realised, due2 = [], [], 0.0, 0.0
        for t in range(segment * SEGMENT, (segment + 1) * SEGMENT):
            if t == first:
                continue
            exact, magnified = take.exact(t, first), magnify(reference, take.frame(t), ALPHA)
            noise.append(metrics.psnr(magnified, exact))
            due = take.due(t, first) - begin
            seen = registered_displacement(reference, magnified, cover, due)
            realised, due2 = realised + float(seen.vector @ due), due2 + float(due @ due)
            covered = np.maximum(np.maximum(still, cover), take.scene.mask(take.due(t, first)))
            size = 2 * APART + 1
            away = cv2.dilate((covered > 0.01).astype(np.uint8), np.ones((size, size), np.uint8)) == 0
            away[:APART] = away[-APART:] = away[:, :APART] = away[:, -APART:] = False
            left = take.left_behind(t, first)  # where doing nothing has the ground: a method may be anywhere up to it
            grounds.append(register(luma(exact), luma(magnified), away, left, 3).vector)
        yield {
            "level": float(segment),
            "psnr": float(np.mean(noise)),
            "gain": realised / due2,
            "jitter": metrics.jitter(np.array(grounds)),
        }
