"""Which points of the picture move and which rest, by the network's flow on a sample of the frames.

A region often holds more than what is to be measured: a fork before a wall. The mean over both would be too small,
and frame by frame noise decides what seems to move. So the flow of some dozens of frames is taken together: the
points that share the strongest motion over time are the thing, and those that have next to nothing of any are the
ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magfilter.ground import global_motion
from magfilter.masks import Region

__all__ = ["LEAST", "RESTS", "Pattern", "Survey", "texture", "turn_field", "unrest_of"]

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

ENOUGH = 64  # flows that are kept; twice as many at most
POINTS = 60_000  # of a flow that is kept
FEWEST = 4  # flows that tell anything
CLEAR = 3.0  # times stronger the shared motion is than what is left
LEAST = 0.005  # px, root mean square: less is the network's noise
STEEP = 99  # percentile of the slopes from which a point counts in full
EDGE = (0.4, 0.6)  # share of the motion from which a point begins to count, and counts in full
RESTS = 0.2  # share of the motion below which a point may rest
DIFFERENT = 0.02  # px, root mean square, between two groups of points from which on they move differently,
GROUPED = 0.85  # if this share of what the points differ by lies between the groups: turning and bending give 0.75
SMALLER = 0.1  # and the smaller group is this share of the whole: a rim of half-seen motion is less


def turn_field(flow: Array, turns: int) -> Array:
    """A flow (2, h, w) turned with its picture by so many quarters, counter-clockwise."""
    for _ in range(turns % 4):
        flow = np.rot90(flow, axes=(1, 2))
        flow = np.stack([flow[1], -flow[0]])
    return np.ascontiguousarray(flow)


@dataclass(frozen=True)
class Pattern:
    """What moves in a region.

    Attributes:
        weights: (h, w) float32 0..1 for every pixel of the region: 1 what moves as the strongest, 0 what rests.
        motion: px, root mean square of the strongest motion, as the network sees it; 0 if none stands out.
        against: whether a part as large moves the other way, which is left out.
        apart: px, root mean square, by which two groups of the points that count move differently over time, such as
            a thing and the ground around it on a stage that drifts; 0 if they move as one, and with detrend.
    """

    weights: Array
    motion: float
    against: bool = False
    apart: float = 0.0


class Survey:
    """Flows of some of the frames, thinned out evenly but not periodically as they come.

    A regular choice could meet a vibration always at the same phase, so one of every stretch is taken by lot.

    Args:
        size: (H, W) px of the picture as shown.
        every: frames a stretch, at the beginning.
        detrend: the motion of the picture's rim is subtracted from every flow.

    Attributes:
        stride: px from one point of a flow that is kept to the next.
        reach: px, the farthest that the motion that was subtracted goes along an axis.
    """

    def __init__(self, size: tuple[int, int], every: int, detrend: bool) -> None:
        self.size, self.detrend = size, detrend
        self._every = max(1, every)
        self._lot = np.random.default_rng(0)
        self._next = self._draw(0)
        self._flows: list[NDArray[np.float16]] = []
        self._seen = 0
        self._step = 1
        self.stride = 1.0
        self.reach = 0.0

    def _draw(self, begin: int) -> int:
        return begin + int(self._lot.integers(self._every))

    def wants(self, number: int) -> bool:
        """Whether the flow of frame `number` is wanted; ask once for every frame, in order."""
        if number < self._next:
            return False
        self._next = self._draw((number // self._every + 1) * self._every)
        return True

    def add(self, flow: Array) -> None:
        """A flow (2, h, w) px, of the picture as shown."""
        if self.detrend:
            camera = global_motion(flow)
            self.reach = max(self.reach, float(np.abs(camera).max()))
            flow = flow - camera
        self._step = max(1, int(np.ceil(np.sqrt(flow[0].size / POINTS))))
        self.stride = max(self.size[0] / flow.shape[1], self.size[1] / flow.shape[2]) * self._step
        kept = flow[:, self._step // 2 :: self._step, self._step // 2 :: self._step]
        self._flows.append(kept.astype(np.float16))
        if len(self._flows) >= 2 * ENOUGH:
            self._flows = self._flows[::2]
            self._every *= 2

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def flows(self) -> Array:
        """(n, 2, h, w) float32 px, each point's mean over time taken off."""
        flows: Array = np.stack(self._flows).astype(np.float32)
        flows -= flows.mean(0)
        return flows

    def pattern(self, region: Region, texture: Array) -> Pattern:
        """What moves in a region.

        Args:
            texture: (H, W) how much slope the picture has; the flow counts where there is some.
        """
        if len(self) < FEWEST:
            return Pattern(np.ones((region.height, region.width), np.float32), 0.0)
        rows = self._points(region.y, region.height, self._flows[0].shape[1])
        cols = self._points(region.x, region.width, self._flows[0].shape[2])
        flows = self.flows[:, :, rows[0] : rows[1], cols[0] : cols[1]]
        at_y = np.clip(((np.arange(*rows) + 0.5) * self.stride).astype(int), 0, self.size[0] - 1)
        at_x = np.clip(((np.arange(*cols) + 0.5) * self.stride).astype(int), 0, self.size[1] - 1)
        slope = texture[np.ix_(at_y, at_x)].astype(np.float64)
        clear = np.minimum(slope / max(float(np.percentile(slope, STEEP)), 1e-12), 1.0)
        weights, motion, against = _foremost(flows, clear)
        # Without the ground's motion, the weights tell things and ground apart.
        apart = 0.0 if self.detrend else _apart(flows, clear * (weights > 0.5))
        return Pattern(self._enlarge(weights, rows[0], cols[0], region), motion, against, apart)

    def _points(self, begin: int, length: int, count: int) -> tuple[int, int]:
        low = min(int(begin / self.stride), count - 1)
        return low, max(low + 1, min(count, int(np.ceil((begin + length) / self.stride))))

    def _enlarge(self, values: Array, top: int, left: int, region: Region) -> Array:
        """Values on the flow's points (from row `top`, column `left`) on the region's pixels, bilinearly."""
        for axis, (first, begin, length) in enumerate(((top, region.y, region.height), (left, region.x, region.width))):
            at = np.clip((begin + np.arange(length) + 0.5) / self.stride - 0.5 - first, 0, values.shape[axis] - 1)
            low = np.floor(at).astype(np.intp)
            share = (at - low).astype(np.float32)
            near, far = values.take(low, axis), values.take(np.minimum(low + 1, values.shape[axis] - 1), axis)
            values = near + (far - near) * (share[:, None] if axis == 0 else share)
        return values

    def unrest(self, region: Region) -> float:
        """Px, root mean square, of the mean motion of a rectangle about its middle; 0 if there are too few flows."""
        return unrest_of(self.motion(region))

    def motion(self, region: Region) -> Floats:
        """(n, 2) px, the mean motion of a rectangle in every flow; none if there are too few."""
        if len(self) < FEWEST:
            return np.zeros((0, 2))
        rows = self._points(region.y, region.height, self._flows[0].shape[1])
        cols = self._points(region.x, region.width, self._flows[0].shape[2])
        part = np.stack([flow[:, rows[0] : rows[1], cols[0] : cols[1]] for flow in self._flows])
        return np.asarray(part.astype(np.float32).mean((2, 3)), np.float64)


def unrest_of(motion: Floats) -> float:
    """Px, root mean square, of motion (n, 2) about its middle; 0 of none."""
    return float(np.sqrt(((motion - motion.mean(0)) ** 2).sum(1).mean())) if len(motion) else 0.0


def _strongest(flows: Array, clear: Floats) -> tuple[Floats, float]:
    """The motion that points share the most: how far each of them goes, (h, w) px root mean square, with sign.

    Args:
        flows: (n, 2, h, w) px, each point's mean taken off.
        clear: (h, w) 0..1, how much a point counts.

    Returns:
        That, and how many times stronger the motion is than noise.
    """
    count = len(flows)
    flat = flows.reshape(count, 2, -1) * np.sqrt(clear.ravel()).astype(np.float32)
    flat = flat.reshape(count, -1)
    values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
    time = vectors[:, -1].astype(np.float32)
    shared = np.tensordot(time, flows, 1).astype(np.float64) / np.sqrt(count)  # (2, h, w)
    spread = (shared * clear).reshape(2, -1) @ shared.reshape(2, -1).T
    along = np.linalg.eigh(spread)[1][:, -1]
    # Motion on a circle has two strong components, so the third says what is noise.
    return np.asarray(np.tensordot(along, shared, 1)), float(values[-1] / max(values[-3], 1e-20))


def _foremost(flows: Array, clear: Floats) -> tuple[Array, float, bool]:
    """`Pattern`'s weights, on the flow's points, its motion and whether parts move against each other.

    Arguments as `_strongest`'s.
    """
    even = np.ones(clear.shape, np.float32), 0.0, False
    part, stands_out = _strongest(flows, clear)
    if stands_out < CLEAR:
        return even
    ahead, behind = (float((clear * np.maximum(sign * part, 0) ** 2).sum()) for sign in (1, -1))
    part = part if ahead >= behind else -part
    forward = clear * np.maximum(part, 0)
    top = float((forward * np.maximum(part, 0) ** 2).sum() / max((forward * np.maximum(part, 0)).sum(), 1e-20))
    if top < LEAST:
        return even
    weights = np.clip((part / top - EDGE[0]) / (EDGE[1] - EDGE[0]), 0, 1)
    return weights.astype(np.float32), top, min(ahead, behind) > 0.3 * max(ahead, behind)


def _apart(flows: Array, clear: Floats) -> float:
    """`Pattern.apart`; arguments as `_strongest`'s.

    What a point does more or less of than the others, as along a beam that bends, is no other motion: of every point
    the motion that all have in common is taken off, as much as it has of it.
    """
    common = (flows * clear).sum((2, 3)) / max(float(clear.sum()), 1e-20)
    alike = np.tensordot(common, flows, 2) / max(float((common**2).sum()), 1e-20)
    rest = (flows - common[:, :, None, None] * alike).astype(np.float32)
    part, stands_out = _strongest(rest, clear)
    if stands_out < CLEAR:
        return 0.0
    gap, explained, smaller = _two_groups(part[clear > 0], clear[clear > 0])
    return gap if gap > DIFFERENT and explained > GROUPED and smaller > SMALLER else 0.0


def _two_groups(values: Floats, counts: Floats) -> tuple[float, float, float]:
    """Values (n,), each counted `counts` (n,) times, divided where the variance between both groups is largest (Otsu).

    Returns:
        How far the groups' means lie apart, the share of the variance that is between them, the smaller one's share.
    """
    order = np.argsort(values)
    values, counts = values[order] - np.average(values, weights=counts), counts[order] / counts.sum()
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * values)[:-1]
    size = np.maximum(below * (1 - below), 1e-12)
    if not len(size):
        return 0.0, 0.0, 0.0
    at = int(np.argmax(sums**2 / size))
    variance = max(float((counts * values**2).sum()), 1e-20)
    return (
        float(-sums[at] / size[at]),
        float(sums[at] ** 2 / size[at]) / variance,
        float(min(below[at], 1 - below[at])),
    )


def texture(reference: Array) -> Array:
    """(H, W) squared slope of the luma, over a few pixels."""
    # Across a line there is no slope, as across a picture's border, which is taken to be repeated.
    long = [axis for axis in (0, 1) if reference.shape[axis] > 1]
    slope: Any = sum((np.gradient(reference, axis=axis) ** 2 for axis in long), np.zeros_like(reference))
    for axis in (0, 1):
        padded = np.pad(slope, [(2, 2) if k == axis else (0, 0) for k in (0, 1)], mode="edge")
        count = slope.shape[axis]
        slope = sum(padded.take(range(k, k + count), axis) for k in range(5)) / 5
    return np.asarray(slope, np.float32)
