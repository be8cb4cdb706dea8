"""Throwing the points of a grid to where they land: forward warping, or splatting, with occlusion.

A point lands between grid points and counts for the four around it, each by its bilinear share.
Where things that moved alike land together they are averaged; where unlike ones do, one wins.
Arithmetic alone: what the numbers mean is `magfilter.displace`'s business.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from magfilter.compiled import kernels

__all__ = ["Landing", "Points", "splat", "square"]

Field = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

APART = 0.05  # grid px; deviation of what lands together beyond which it is told apart,
RIPPLE = 0.2  # and the share of its own motion against the ground that it must exceed, too
SAME = 0.1  # grid px; what differs less from the winner counts with it, and so does
ALIKE = 0.5  # what differs by less than this share of the winner's motion against the ground
STRETCHED = 0.75  # grid px by which neighbours are thrown apart (or together) beyond which points are put between them
TORN = 8.0  # grid px; beyond that they are no longer one piece
SUDDEN = 8.0  # nor where they move apart by so many times what the pairs beside them do: there an outline runs
FAR_APART = 1.5  # grid px; up to that one point between two will do, beyond it takes three
FEW = 0.6  # share of points at rest from which the others are few
EPSILON = 1e-12


class Points(NamedTuple):
    """What is known of every point of the reference's grid.

    Attributes:
        thrown: (2, h, w) grid px, how far it is thrown.
        carried: (2, h, w) px of the full picture, the displacement that it brings there.
        own: (h, w) grid px, how far it is thrown against the ground: what is thrown farther hides the rest.
            Above −0.25; below 0 for what is to be hidden by anything else.
    """

    thrown: Field
    carried: Field
    own: Field


def square(vectors: Any) -> Any:
    """Squared lengths (…) of vectors (2, …)."""
    return vectors[0] * vectors[0] + vectors[1] * vectors[1]


class Landing(NamedTuple):
    """Where n points land, on a canvas that reaches beyond the (h, w) grid: by 1 above and left, 2 below and right.

    Attributes:
        base: (n,) flat index of the canvas point to the upper left.
        steps: from there to each of the four points around.
        shares: each one's bilinear share (n,).
        size: (h, w).
    """

    base: Indices
    steps: tuple[int, int, int, int]
    shares: tuple[Floats, Floats, Floats, Floats]
    size: tuple[int, int]

    @classmethod
    def at(cls, y: Floats, x: Floats, size: tuple[int, int]) -> Landing:
        """Points that land at (y, x), each (n,) grid px; far out of the picture is just out of it."""
        height, width = size
        y, x = np.clip(y, -1, height), np.clip(x, -1, width)
        low_y, low_x = np.floor(y), np.floor(x)
        fy, fx = y - low_y, x - low_x
        row = width + 3
        base = (low_y.astype(np.intp) + 1) * row + (low_x.astype(np.intp) + 1)
        shares = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
        return cls(base, (0, 1, row, row + 1), shares, size)

    def sums(self, *loads: Floats | None) -> list[NDArray[np.float64]]:
        """Sums (h·w,) of loads (n,) at every point of the grid; None is 1 each. What lands outside is lost."""
        height, width = self.size
        count = (height + 3) * (width + 3)
        found = []
        for load in loads:
            parts = (np.bincount(self.base, w if load is None else w * load, count) for w in self.shares)
            total: NDArray[np.float64] = next(parts).astype(np.float64, copy=False)
            for step, part in zip(self.steps[1:], parts, strict=True):
                total[step:] += part[: count - step]
            found.append(total.reshape(height + 3, width + 3)[1 : height + 1, 1 : width + 1].ravel())
        return found


def splat(points: Points, rest: Mask, borne: Field, stride: float) -> tuple[Field, NDArray[np.float64]]:
    """Throw what does not rest: the field (2, h, w) in px, and how much landed (h, w); one point covers 1.

    `borne` (2, …) px is what the ground carries.
    """
    fast = kernels()
    return fast.splat(points, rest, borne, stride) if fast else _splat(points, rest, borne, stride)


def _splat(points: Points, rest: Mask, borne: Field, stride: float) -> tuple[Field, NDArray[np.float64]]:
    """As `splat`, with NumPy."""
    height, width = rest.shape
    # What rests lands out of the picture; picking the others by index pays only where they are few.
    at_y = np.where(rest, np.float32(-1), points.thrown[1] + np.arange(height, dtype=np.float32)[:, None]).ravel()
    at_x = np.where(rest, np.float32(-1), points.thrown[0] + np.arange(width, dtype=np.float32)).ravel()
    load = np.concatenate([points.carried, points.own[None]]).reshape(3, -1)
    between = _between(points.thrown, load)
    if np.count_nonzero(rest) > FEW * rest.size:
        chosen = np.flatnonzero(~rest)
        at_y, at_x, load = at_y[chosen], at_x[chosen], load[:, chosen]
    if between:
        at_y, at_x, load = (np.concatenate(pair, -1) for pair in zip((at_y, at_x, load), between, strict=True))
    landing = Landing.at(at_y, at_x, (height, width))
    u, v = load[0], load[1]
    landed, sum_u, sum_v, squares = landing.sums(None, u, v, u * u + v * v)
    field = points.carried * rest
    still_u, still_v = field.reshape(2, -1)
    share = 1 / np.maximum(landed + rest.ravel(), EPSILON)
    sum_u += still_u
    sum_v += still_v
    squares += still_u * still_u + still_v * still_v
    mean_u, mean_v = sum_u * share, sum_v * share
    variance = squares * share - mean_u * mean_u - mean_v * mean_v
    still_u[:], still_v[:] = mean_u, mean_v
    borne_u, borne_v = borne.reshape(2, -1)
    own = (mean_u - borne_u) ** 2 + (mean_v - borne_v) ** 2
    mixed = np.flatnonzero((variance > np.maximum((APART * stride) ** 2, RIPPLE**2 * own)) & (landed > 0))
    if len(mixed):
        _resolve(field, mixed, landing, load, points, rest, borne, stride)
    return field, landed.reshape(height, width)


def _between(thrown: Field, load: Field) -> tuple[Floats, Floats, Field] | None:
    """Points between those of cells that are thrown apart. None without any.

    Returns where they land, rows (m,) and columns (m,), and loads (3, m). `load` (3, h·w) is all points': carried,
    own. Points that an outline parts are not one piece; nor is a cell that is turned inside out: there one thing
    slides over another.
    """
    _, height, width = thrown.shape
    if min(height, width) < 2:
        return None
    along, down = thrown[:, :, 1:] - thrown[:, :, :-1], thrown[:, 1:] - thrown[:, :-1]

    def whole(jump: Field, axis: int) -> Mask:
        padded = np.pad(jump, [(1, 1) if k == axis else (0, 0) for k in (0, 1)])
        beside = padded[:, :-2] + padded[:, 2:] if axis else padded[:-2] + padded[2:]
        fits: Mask = (jump < STRETCHED**2) | ((jump < TORN**2) & (jump < SUDDEN**2 * beside))
        return fits

    along_2, down_2 = square(along), square(down)
    most = np.maximum(np.maximum(along_2[:-1], along_2[1:]), np.maximum(down_2[:, :-1], down_2[:, 1:]))
    cells = most > STRETCHED**2
    if not cells.any():
        return None
    whole_x, whole_y = whole(along_2, 1), whole(down_2, 0)
    cells &= whole_x[:-1] & whole_x[1:] & whole_y[:, :-1] & whole_y[:, 1:]
    cells &= (1 + along[0, :-1]) * (1 + down[1, :, :-1]) > along[1, :-1] * down[0, :, :-1]
    found = np.flatnonzero(cells)
    if not len(found):
        return None
    wide = most.ravel()[found] > FAR_APART**2
    every = np.concatenate([thrown.reshape(2, -1), load])
    rows, cols, loads = [], [], []
    for chosen, denser in ((found[~wide], 2), (found[wide], 4)):
        row, col = np.divmod(chosen, width - 1)
        corners = [every[:, row * width + col + step] for step in (0, 1, width, width + 1)]
        for a, b in np.ndindex(denser, denser):
            if a or b:  # the cell's first corner is thrown anyway
                y, x = np.float32(a / denser), np.float32(b / denser)
                shares = (1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x
                mean = np.add.reduce([share * corner for share, corner in zip(shares, corners, strict=True)])
                rows.append((row + y + mean[1]).astype(np.float32))
                cols.append((col + x + mean[0]).astype(np.float32))
                loads.append(mean[2:])
    return np.concatenate(rows), np.concatenate(cols), np.concatenate(loads, 1)


def _resolve(
    field: Field,
    places: Indices,
    landing: Landing,
    load: Field,
    points: Points,
    rest: Mask,
    borne: Field,
    stride: float,
) -> None:
    """Let one mover win each of the `places` (m,), flat, where unlike ones landed; `field` is set in place.

    The winner is thrown far against the ground and lands near; a doubled way counts for more than any
    nearness, but the ripple of an estimate within one mover does not. The place gets the mean of all
    that move about like it.
    """
    height, width = rest.shape
    count = len(places)
    number = np.full((height + 3) * (width + 3), -1, np.intp)
    number[(places // width + 1) * (width + 3) + places % width + 1] = np.arange(count)
    touching = number >= 0
    for step in landing.steps[1:]:
        touching[:-step] |= number[step:] >= 0
    chosen = np.flatnonzero(touching[landing.base])
    base, load = landing.base[chosen], load[:, chosen]
    at, shares, sources = [], [], []
    for step, share in zip(landing.steps, landing.shares, strict=True):
        place, part = number[base + step], share[chosen]
        hit = np.flatnonzero((place >= 0) & (part > 0))
        at.append(place[hit])
        shares.append(part[hit])
        sources.append(load[:, hit])
    still = np.flatnonzero(rest.ravel()[places])
    at.append(still)
    shares.append(np.ones(len(still)))
    here = places[still]
    sources.append(
        np.stack([points.carried[0].ravel()[here], points.carried[1].ravel()[here], points.own.ravel()[here]])
    )
    index, weight = np.concatenate(at), np.concatenate(shares)
    u, v, own = np.concatenate(sources, 1)
    key = (2 * np.log2(1 + 4 * own) + weight).astype(np.float32)
    best = np.full(count, -1, np.float32)
    np.maximum.at(best, index, key)
    won = key == best[index]
    winner = np.zeros((2, count))
    winner[:, index[won]] = u[won], v[won]
    against = winner - np.broadcast_to(borne, field.shape).reshape(2, -1)[:, places]
    near = np.maximum(ALIKE**2 * square(against), (SAME * stride) ** 2)
    alike = (u - winner[0, index]) ** 2 + (v - winner[1, index]) ** 2 < near[index]
    index, weight, u, v = index[alike], weight[alike], u[alike], v[alike]
    total = np.maximum(np.bincount(index, weight, count), EPSILON)
    flat = field.reshape(2, -1)
    flat[0, places] = np.bincount(index, weight * u, count) / total
    flat[1, places] = np.bincount(index, weight * v, count) / total
