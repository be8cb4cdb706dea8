"""Displacement of an object or a tile by image registration: no network, no optical flow.

Masked normalised cross-correlation finds the displacement to the pixel; Gauss–Newton on the masked
area, with the picture's gain and offset as further unknowns, finds it to hundredths of a pixel
(Lucas and Kanade 1981, in the inverse compositional form of Baker and Matthews 2004).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

BLUR = 1.0  # pixels; keeps aliasing and sensor noise out of the gradients
TAPS = 4  # half width in pixels of the kernel that samples between pixels


class Displacement(NamedTuple):
    """Where the reference's object is seen: ``vector`` (2,) float64 (x, y) pixels, ``score`` NCC in −1…1."""

    vector: np.ndarray
    score: float


def luma(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 BT.601 luma of (H, W, 3) uint8 RGB, slightly blurred."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return cv2.GaussianBlur(grey, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT_101)


def _sample(image: np.ndarray, rows: slice, cols: slice, shift: np.ndarray) -> np.ndarray:
    """``image[rows, cols]`` read at + shift (x, y) pixels, by separable Lagrange interpolation.

    Not cv2.remap or warpAffine: they round positions to 1/32 px, the size of the effects measured.
    Nor Lanczos: its kernel's centre of mass is up to 0.01 px off the asked fraction; Lagrange's is
    exact, and on these blurred pictures its response is flat.
    """
    whole = np.floor(shift).astype(int)
    part = shift - whole
    taps = np.arange(-TAPS + 1, TAPS + 1)

    def kernel(fraction: float) -> np.ndarray:
        others = [taps[taps != tap] for tap in taps]
        return np.array([np.prod((fraction - o) / (tap - o)) for tap, o in zip(taps, others, strict=True)])

    ys = np.clip(np.arange(rows.start - TAPS + 1, rows.stop + TAPS) + whole[1], 0, image.shape[0] - 1)
    xs = np.clip(np.arange(cols.start - TAPS + 1, cols.stop + TAPS) + whole[0], 0, image.shape[1] - 1)
    block = image[np.ix_(ys, xs)].astype(np.float64)
    across = sum(w * block[:, k : k + cols.stop - cols.start] for k, w in enumerate(kernel(part[0])))
    return sum(w * across[k : k + rows.stop - rows.start] for k, w in enumerate(kernel(part[1])))


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)


def _integer_search(
    reference: np.ndarray, image: np.ndarray, inside: np.ndarray, guess: np.ndarray, reach: int
) -> tuple[np.ndarray, float]:
    """Best integer displacement in the box around zero and the guess, ``reach`` pixels beyond both."""
    rows, cols = _box(inside)
    low = np.floor(np.minimum(guess, 0)).astype(int) - reach
    high = np.ceil(np.maximum(guess, 0)).astype(int) + reach
    pad = int(max(-low.min(), high.max(), 0)) + 1
    wide = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
    area = wide[
        rows.start + low[1] + pad : rows.stop + high[1] + pad,
        cols.start + low[0] + pad : cols.stop + high[0] + pad,
    ]
    weights = inside[rows, cols].astype(np.float32)
    scores = cv2.matchTemplate(area, reference[rows, cols], cv2.TM_CCOEFF_NORMED, mask=weights)
    scores = np.where(np.isfinite(scores) & (np.abs(scores) <= 1.001), scores, -1)  # flat areas divide by 0
    y, x = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return np.array([x + low[0], y + low[1]], dtype=np.float64), float(scores[y, x])


def _refine(reference: np.ndarray, image: np.ndarray, inside: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Gauss–Newton from ``start`` for the (x, y) displacement that explains the area best."""
    rows, cols = _box(inside)
    chosen = inside[rows, cols]
    grad_y, grad_x = np.gradient(reference.astype(np.float64))
    template = reference[rows, cols].astype(np.float64)[chosen]
    slopes = np.stack([grad_x[rows, cols][chosen], grad_y[rows, cols][chosen]], 1)  # (N, 2)
    system = np.concatenate([slopes, template[:, None], np.ones((len(template), 1))], 1)  # + gain, offset
    solve = np.linalg.pinv(system)
    shift = start.copy()
    for _ in range(50):
        seen = _sample(image, rows, cols, shift)[chosen]
        # seen ≈ gain · reference + offset + slopes · (true position error)
        unknowns = solve @ seen
        gain = unknowns[2] if abs(unknowns[2]) > 0.2 else 1.0  # a vanished object has no gain to divide by
        step = unknowns[:2] / gain
        shift = shift - np.clip(step, -0.5, 0.5)
        if np.abs(shift - start).max() > 1.5:  # left the correlation's peak: no better than the peak itself
            return start
        if np.abs(step).max() < 1e-4:
            break
    return shift


def register(
    reference: np.ndarray, image: np.ndarray, inside: np.ndarray, guess: np.ndarray, reach: int = 4
) -> Displacement:
    """Displacement of the area ``inside`` (H, W) bool from ``reference`` to ``image``, both :func:`luma`."""
    whole, score = _integer_search(reference, image, inside, np.asarray(guess, np.float64), reach)
    return Displacement(_refine(reference, image, inside, whole), score)


def registered_displacement(
    reference: np.ndarray,
    magnified: np.ndarray,
    mask: np.ndarray,
    guess: np.ndarray,
    *,
    erode: int = 6,
    reach: int = 4,
) -> Displacement:
    """Displacement of the object from ``reference`` to ``magnified``, (H, W, 3) uint8 RGB each.

    ``mask`` (H, W) in 0…1 is the object in the reference. Only its interior is matched, ``erode``
    pixels from the outline, where the background does not reach. The search covers the box around
    zero and ``guess`` (x, y) px, ``reach`` pixels more on each side.
    """
    solid = (mask > 0.99).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * erode + 1, 2 * erode + 1))
    inside = cv2.erode(solid, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
    if inside.sum() < 100:
        raise ValueError(f"Object too small to register: {int(inside.sum())} px inside after erosion by {erode}")
    return register(luma(reference), luma(magnified), inside, guess, reach)


def background_displacement(
    reference: np.ndarray,
    magnified: np.ndarray,
    mask: np.ndarray,
    path: np.ndarray,
    *,
    margin: int = 12,
    tile: int = 32,
    reach: int = 3,
) -> float:
    """Mean |displacement| in pixels of still background tiles; NaN when none is usable.

    Tiles of ``tile`` pixels are used that keep ``margin`` pixels from the object's way (``mask``
    moved from 0 to ``path`` (x, y) px) and from the border, and that have texture in both
    directions. Each is registered on its own.
    """
    height, width = mask.shape
    way = np.zeros((height, width), np.uint8)
    solid = (mask > 0.01).astype(np.uint8)
    for part in np.linspace(0, 1, int(np.ceil(np.abs(path).max() / 4)) + 2):
        move = np.array([[1, 0, part * path[0]], [0, 1, part * path[1]]], np.float64)
        way |= cv2.warpAffine(solid, move, (width, height), flags=cv2.INTER_NEAREST)
    size = 2 * margin + 1
    way = cv2.dilate(way, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))).astype(bool)
    before, after = luma(reference), luma(magnified)
    grad_y, grad_x = np.gradient(before)
    found = []
    for top in range(margin, height - margin - tile + 1, tile):
        for left in range(margin, width - margin - tile + 1, tile):
            area = slice(top, top + tile), slice(left, left + tile)
            if way[area].any():
                continue
            gx, gy, gxy = (np.mean(p[area]) for p in (grad_x**2, grad_y**2, grad_x * grad_y))
            weakest = (gx + gy) / 2 - np.hypot((gx - gy) / 2, gxy)  # of the structure tensor
            if weakest < 1.0:  # levels²/px²: below this, noise decides where the tile "is"
                continue
            inside = np.zeros((height, width), bool)
            inside[area] = True
            found.append(np.linalg.norm(register(before, after, inside, np.zeros(2), reach).vector))
    return float(np.mean(found)) if found else float("nan")
