"""Averaging measured motion within things: against what a codec's blocks and noise make of a straight rod.

Where compression has drawn one block of a rod a quarter of a pixel beside the next, the rod does so in the picture,
the network measures it, and at alpha 10 the rod is wavy. What is physical is smooth along a thing; so
motion is averaged along it, over a distance that the user names, and not across its outline.

The filter is the recursive domain transform (Gastal & Oliveira, SIGGRAPH 2011) along rows and columns in turn: what
lies between two points, brightness and motion that changes, counts as distance. Points count by their slope of
brightness, since there motion has been seen and not guessed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magfilter.blocks import reduced
from magfilter.exposure import Stretch

__all__ = ["Smoother", "smooth_flow"]

Array = NDArray[np.float32]

EDGE = 0.5  # of the picture's standard deviation: a step of brightness that is as far as the whole reach
LEAST_EDGE = 0.05  # of full scale; below it the step is noise
MOTION_EDGE = 1.0  # points of the grid; a step of motion that is as far as the whole reach
SLOPE = 0.02  # of full scale a point: there is something to see the motion by
UNSEEN = 0.3  # weight of a point without any slope, against one with
PASSES = 2  # each along rows and columns; one alone shows stripes


class Smoother:
    """Averages flows over `reach` px, a positive number, within what their references show."""

    def __init__(self, reach: float) -> None:
        self.reach = reach
        self._reference: Array | None = None
        self._guide: Array = np.empty((0, 0), np.float32)

    def __call__(self, flow: Array, reference: Array, side: int, stride: float, depth: int = 8) -> Array:
        """The flow, averaged.

        Args:
            flow: (2, h, w) px of the picture.
            reference: the network's image (1, H, W), 0..1; the same array is taken to hold what it held.
            side: its px per point of the flow; stride: the picture's.
            depth: bits a sample of the picture. One of many that uses few of them is stretched: its outlines would
                be too faint to end anything.
        """
        if reference is not self._reference:
            self._reference, self._guide = reference, reduced(Stretch.of(reference, depth)(reference), side)[0]
        return smooth_flow(flow, self._guide[: flow.shape[1], : flow.shape[2]], self.reach, stride)


def smooth_flow(flow: Array, guide: Array, reach: float, stride: float) -> Array:
    """The flow, averaged within things.

    Args:
        flow: (2, h, w) px.
        guide: (h, w) brightness of the reference, 0..1: its edges are where averaging ends.
        reach: standard deviation, px above 0, of what is averaged where there are no edges.
        stride: px per point of the grid.

    Returns:
        (2, h, w) px.
    """
    reach /= stride
    edge = max(EDGE * float(guide.std()), LEAST_EDGE)
    across, down = (_distance(flow / np.float32(stride), guide, axis, reach, edge) for axis in (1, 0))
    slope = np.zeros(guide.shape, np.float32)
    slope[:, 1:-1] += 0.25 * (guide[:, 2:] - guide[:, :-2]) ** 2
    slope[1:-1] += 0.25 * (guide[2:] - guide[:-2]) ** 2
    weight = slope / (slope + np.float32(SLOPE**2)) + np.float32(UNSEEN)
    sums = np.concatenate([flow * weight, weight[None]])
    for n in range(PASSES):
        # Halved from pass to pass; their variances add up to reach² (section 6.1 there).
        sigma = reach * 3**0.5 * 2 ** (PASSES - n - 1) / (4**PASSES - 1) ** 0.5
        keep = np.float32(np.exp(-(2**0.5) / sigma))
        sums = _along(sums, keep**across)
        sums = _along(sums.transpose(0, 2, 1), (keep**down).T).transpose(0, 2, 1)
    out: Array = np.ascontiguousarray(sums[:2] / sums[2])
    return out


def _distance(flow: Array, guide: Array, axis: int, reach: float, edge: float) -> Array:
    """How far neighbours along an axis are from each other, in points: (h, w − 1) or (h − 1, w)."""
    step, turn = np.diff(guide, axis=axis), np.diff(flow, axis=axis + 1)
    # Squares: grain and texture, which are everywhere, hardly count beside an outline.
    apart: Array = (step / np.float32(edge)) ** 2 + (turn[0] ** 2 + turn[1] ** 2) / np.float32(MOTION_EDGE**2)
    return 1 + np.float32(reach) * apart


def _along(sums: Array, kept: Array) -> Array:
    """One pass there and one back along the last axis: (C, h, w) with what is kept from one to the next (h, w − 1)."""
    columns = np.ascontiguousarray(sums.transpose(2, 0, 1))  # (w, C, h): a step is then one run of memory
    kept = np.ascontiguousarray(kept.T)
    for n in range(1, len(columns)):
        columns[n] += kept[n - 1] * (columns[n - 1] - columns[n])
    for n in range(len(columns) - 2, -1, -1):
        columns[n] += kept[n] * (columns[n + 1] - columns[n])
    return columns.transpose(1, 2, 0)
