"""The paper's Lagrangian baselines (App. A7): pixels thrown along magnified flow, holes inpainted.

What is moved, and where to. With f the flow from reference to frame, the point p of the reference
is seen at q = p + f(p) in the frame and has to land at p + alpha · f(p). Whole pixels q of the frame
are moved, so the flow is asked for on the frame's grid, g = flow(frame, reference), where q + g(q) = p:
q lands at q + (1 − alpha) · g(q). Nothing is sampled between pixels before it is thrown, every pixel
that is thrown is really seen, and alpha = 1 returns the frame to the bit.

The paper does not say which of the two frames it moves, what wins where two pixels land together,
or which of OpenCV's two inpaintings it takes. Here the bigger motion wins and the inpainting is
Telea's. The paper also has flow of RAFT; any estimator will do.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .estimators import Flow

Splat = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(frame, motion) → (picture, holes): (H, W, 3) uint8, (H, W, 2) px → (H, W, 3) uint8, (H, W) bool."""

COVERED = 0.1  # share of a pixel on which something must have landed for it not to be a hole
TOGETHER = 1.0  # px; bilinear: what moves by so much less than the fastest that lands there counts with it
RADIUS = 3.0  # px; of the neighbourhood from which Telea's inpainting continues


def nearest(frame: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel lands whole on the pixel nearest to its goal; of several, the one that moved farthest stays.

    ``frame`` (H, W, 3) uint8 and ``motion`` (H, W, 2) px, (x, y), of its pixels. Returns the picture,
    black where nothing landed, and those holes (H, W) bool. What lands outside is lost.
    """
    height, width = frame.shape[:2]
    # floor(· + ½), not rint: that rounds halves to even, and a motion by ½ px would leave every other column out.
    x = np.floor(np.arange(width) + motion[..., 0] + 0.5).astype(np.intp)
    y = np.floor(np.arange(height)[:, None] + motion[..., 1] + 0.5).astype(np.intp)
    inside = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
    order = inside[np.argsort(_square(motion).ravel()[inside], kind="stable")]
    goal = (y * width + x).ravel()[order]
    source = np.full(height * width, -1, np.intp)
    source[goal] = order  # of repeated indices numpy keeps the last one, here the farthest
    holes = source < 0
    picture = frame.reshape(-1, 3)[source]
    picture[holes] = 0
    return picture.reshape(frame.shape), holes.reshape(height, width)


def bilinear(frame: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel is shared out to the four pixels around its goal; the bigger motion covers the smaller.

    Arguments and result as in :func:`nearest`. What lands on a pixel and has moved about as far as
    the fastest there (``TOGETHER``) is averaged by shares and covers the pixel as far as the shares
    go; the rest of the pixel shows the average of all that is slower, or else the same again.
    """
    height, width = frame.shape[:2]
    count = height * width
    x = np.arange(width) + motion[..., 0].astype(np.float64)
    y = np.arange(height)[:, None] + motion[..., 1].astype(np.float64)
    left, top = np.floor(x), np.floor(y)
    right_share, lower_share = x - left, y - top
    goals, shares, sources = [], [], []
    for dy, row_share in ((0, 1 - lower_share), (1, lower_share)):
        for dx, col_share in ((0, 1 - right_share), (1, right_share)):
            u, v, share = left + dx, top + dy, row_share * col_share
            landed = np.flatnonzero((u >= 0) & (u < width) & (v >= 0) & (v < height) & (share > 0))
            goals.append((v * width + u).ravel()[landed].astype(np.intp))
            shares.append(share.ravel()[landed])
            sources.append(landed)
    goal, share, source = (np.concatenate(parts) for parts in (goals, shares, sources))
    far = np.sqrt(_square(motion)).ravel()[source]
    farthest = np.zeros(count)
    np.maximum.at(farthest, goal, far)
    ahead = far > farthest[goal] - TOGETHER

    def landed_sums(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares (N,) and mean colour (N, 3) of what is ``chosen``."""
        at, part, colours = goal[chosen], share[chosen], frame.reshape(-1, 3)[source[chosen]]
        weight = np.bincount(at, part, count)
        sums = np.stack([np.bincount(at, part * colours[:, k], count) for k in range(3)], -1)
        return weight, sums / np.maximum(weight, 1e-12)[:, None]

    front, colour = landed_sums(ahead)
    back, behind = landed_sums(~ahead)
    cover = np.where(back > 0, np.minimum(front, 1), 1)[:, None]
    holes = front + back < COVERED
    picture = np.rint(cover * colour + (1 - cover) * behind).astype(np.uint8)
    picture[holes] = 0
    return picture.reshape(frame.shape), holes.reshape(height, width)


def inpainted(picture: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """``picture`` (H, W, 3) uint8 with its ``holes`` (H, W) bool filled by Telea's method (2004) as in OpenCV."""
    if not holes.any() or holes.all():
        return picture
    return cv2.inpaint(picture, holes.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA)


def forward_warp(
    flow: Flow, splat: Splat = nearest, *, inpaint: bool = True
) -> Callable[[np.ndarray, np.ndarray, float], np.ndarray]:
    """The method ``magnify(reference, frame, alpha)`` that throws the frame's pixels by ``splat``.

    ``flow(a, b)`` gives (H, W, 2) px on a's grid and is asked for flow(frame, reference). Without
    ``inpaint`` holes stay black.
    """

    def magnify(reference: np.ndarray, frame: np.ndarray, alpha: float) -> np.ndarray:
        picture, holes = splat(frame, (1 - alpha) * flow(frame, reference))
        return inpainted(picture, holes) if inpaint else picture

    return magnify


def _square(motion: np.ndarray) -> np.ndarray:
    return np.einsum("hwc,hwc->hw", motion, motion)
