"""`magfilter.splat` in torch: throwing the points of a grid to where they land.

Where NumPy picks the points that count, this computes all and weighs the others with 0: on a device arithmetic
costs less than waiting to be told how many there are. (Nor is there a number among the arguments of `torch.where`:
it would be sent to the device, and waited for.) Sums are taken in float64, in no fixed order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from magfilter.splat import ALIKE, APART, EPSILON, FAR_APART, RIPPLE, SAME, STRETCHED, SUDDEN, TORN

__all__ = ["Landing", "Points", "grid", "splat", "square"]


class Points(NamedTuple):
    """What is known of every point; see `magfilter.splat.Points`: thrown, carried (2, h, w), own (h, w), float32."""

    thrown: Tensor
    carried: Tensor
    own: Tensor


def square(vectors: Tensor) -> Tensor:
    """Squared lengths (…) of vectors (2, …)."""
    return vectors[0] * vectors[0] + vectors[1] * vectors[1]


def grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows (h, 1) and columns (w,) of every point, float64: positions are exact where NumPy's are."""
    rows = torch.arange(height, dtype=torch.float64, device=device)[:, None]
    return rows, torch.arange(width, dtype=torch.float64, device=device)


class Landing(NamedTuple):
    """Where n points land; see `magfilter.splat.Landing`.

    Attributes:
        base: (n,) flat index of the canvas point to the upper left.
        steps: from there to each of the four points around.
        shares: (4, n) float64, each one's bilinear share times the point's weight.
        size: (h, w).
    """

    base: Tensor
    steps: tuple[int, int, int, int]
    shares: Tensor
    size: tuple[int, int]

    @classmethod
    def at(cls, y: Tensor, x: Tensor, weight: Tensor, size: tuple[int, int]) -> Landing:
        """Points of weight (n,) 0 or 1 that land at (y, x), each (n,) grid px; all float64."""
        height, width = size
        y, x = y.clamp(-1, height), x.clamp(-1, width)
        low_y, low_x = y.floor(), x.floor()
        fy, fx = y - low_y, x - low_x
        row = width + 3
        base = (low_y.long() + 1) * row + (low_x.long() + 1)
        shares = torch.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]) * weight
        return cls(base, (0, 1, row, row + 1), shares, size)

    def sums(self, loads: Tensor) -> Tensor:
        """Sums (k, h, w) float64 of loads (k, n) at every point of the grid. What lands outside is lost."""
        height, width = self.size
        count, kinds = (height + 3) * (width + 3), len(loads)
        # All kinds on one long canvas: torch adds whole slices one by one along any other axis.
        first = torch.arange(kinds, device=loads.device)[:, None] * count + self.base
        canvas = torch.zeros(kinds * count, dtype=torch.float64, device=loads.device)
        for step, share in zip(self.steps, self.shares, strict=True):
            canvas.index_add_(0, (first + step).ravel(), (share * loads).ravel())
        return canvas.reshape(kinds, height + 3, width + 3)[:, 1 : height + 1, 1 : width + 1]


def splat(points: Points, rest: Tensor, borne: Tensor, stride: float) -> tuple[Tensor, Tensor]:
    """Throw what does not rest: the field (2, h, w) float32 px, and how much landed (h, w) float64.

    Args:
        rest: (h, w) bool, what is there without being thrown.
        borne: (2, h, w) px, what the ground carries.
        stride: px of the full picture per grid point.
    """
    height, width = rest.shape
    rows, cols = grid(height, width, rest.device)
    load = torch.cat([points.thrown, points.carried, points.own[None]]).reshape(5, -1)
    row, col, weight = rows.expand(height, width).ravel(), cols.expand(height, width).ravel(), (~rest).double().ravel()
    if between := _between(points.thrown, load):
        row, col, load = (torch.cat(pair, -1) for pair in zip((row, col, load), between, strict=True))
        weight = F.pad(weight, (0, len(row) - len(weight)), value=1)
    landing = Landing.at(row + load[1], col + load[0], weight, (height, width))
    u, v = load[2], load[3]
    landed, sum_u, sum_v, squares = landing.sums(torch.stack([torch.ones_like(u), u, v, u * u + v * v]))
    field = points.carried * rest
    share = 1 / (landed + rest).clamp(min=EPSILON)
    mean_u, mean_v = (sum_u + field[0]) * share, (sum_v + field[1]) * share
    resting = (field[0] * field[0]).double() + field[1] * field[1]
    variance = (squares + resting) * share - mean_u * mean_u - mean_v * mean_v
    hit = landed != 0
    field = torch.where(hit, torch.stack([mean_u, mean_v]).float(), field)
    own = (mean_u - borne[0]) ** 2 + (mean_v - borne[1]) ** 2
    mixed = hit & (variance > (RIPPLE**2 * own).clamp(min=(APART * stride) ** 2))
    return _resolve(field, mixed, landing, load, points, rest, borne, stride), landed


def _between(thrown: Tensor, every: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Points between those of cells that are thrown apart: rows (m,), columns (m,) float64, loads (5, m).

    None without any. See `magfilter.splat`; `every` (5, h·w) are all points' loads.
    """
    _, height, width = thrown.shape
    if min(height, width) < 2:
        return None
    along, down = thrown[:, :, 1:] - thrown[:, :, :-1], thrown[:, 1:] - thrown[:, :-1]
    along_2, down_2 = square(along), square(down)

    def whole(jump: Tensor, axis: int) -> Tensor:
        padded = F.pad(jump, (1, 1, 0, 0) if axis else (0, 0, 1, 1))
        beside = padded[:, :-2] + padded[:, 2:] if axis else padded[:-2] + padded[2:]
        return (jump < STRETCHED**2) | ((jump < TORN**2) & (jump < SUDDEN**2 * beside))

    most = torch.maximum(torch.maximum(along_2[:-1], along_2[1:]), torch.maximum(down_2[:, :-1], down_2[:, 1:]))
    whole_x, whole_y = whole(along_2, 1), whole(down_2, 0)
    cells = (most > STRETCHED**2) & whole_x[:-1] & whole_x[1:] & whole_y[:, :-1] & whole_y[:, 1:]
    cells &= (1 + along[0, :-1]) * (1 + down[1, :, :-1]) > along[1, :-1] * down[0, :, :-1]
    if not cells.any():
        return None
    far = most > FAR_APART**2
    rows, cols, loads = [], [], []
    for chosen, denser in ((cells & ~far, 2), (cells & far, 4)):
        row, col = chosen.nonzero(as_tuple=True)
        corners = [every[:, row * width + col + step] for step in (0, 1, width, width + 1)]
        number = torch.arange(1, denser**2, device=thrown.device)[:, None, None]  # the first corner is thrown anyway
        y, x = number.div(denser, rounding_mode="floor").float() / denser, (number % denser).float() / denser
        shares = (1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x
        load = torch.zeros((), device=thrown.device)
        for share, corner in zip(shares, corners, strict=True):
            load = load + share * corner  # (points between, 5, cells)
        loads.append(load.transpose(0, 1).reshape(5, -1))
        rows.append((row + y[:, 0]).double().ravel())
        cols.append((col + x[:, 0]).double().ravel())
    return torch.cat(rows), torch.cat(cols), torch.cat(loads, 1)


def _resolve(
    field: Tensor,
    mixed: Tensor,
    landing: Landing,
    load: Tensor,
    points: Points,
    rest: Tensor,
    borne: Tensor,
    stride: float,
) -> Tensor:
    """The field (2, h, w) in which one mover has won each of the places where unlike ones landed, `mixed` (h, w).

    See `magfilter.splat`. What lands at such a place is one entry; of entries with equal claims the last wins.
    """
    height, width = mixed.shape
    row, size = width + 3, height * width
    target = F.pad(mixed, (1, 2, 1, 2)).ravel()
    at = torch.stack([landing.base + step for step in landing.steps])
    corner, point = (target[at] & (landing.shares > 0)).nonzero(as_tuple=True)
    if not len(point):
        return field
    at = at[corner, point]
    here = (mixed & rest).ravel().nonzero()[:, 0]
    index = torch.cat([(at // row - 1) * width + at % row - 1, here])
    weight = torch.cat([landing.shares[corner, point], torch.ones_like(here, dtype=torch.float64)])
    resting = torch.cat([points.carried, points.own[None]]).reshape(3, -1)[:, here]
    u, v, own = torch.cat([load[2:, point], resting], 1)
    key = (2 * torch.log2(1 + 4 * own) + weight).float()
    best = torch.full((size,), -1.0, device=field.device).scatter_reduce_(0, index, key, "amax")
    entry = torch.arange(len(index), device=field.device).masked_fill(key != best[index], -1)
    last = torch.full((size,), -1, device=field.device).scatter_reduce_(0, index, entry, "amax")
    mine = last[index]
    won_u, won_v = (part[mine.clamp(min=0)].masked_fill(mine < 0, 0).double() for part in (u, v))
    against = (won_u - borne[0].ravel()[index]) ** 2 + (won_v - borne[1].ravel()[index]) ** 2
    near = (ALIKE**2 * against).clamp(min=(SAME * stride) ** 2)
    weight = weight * ((u - won_u) ** 2 + (v - won_v) ** 2 < near)
    canvas = torch.zeros(3, size, dtype=torch.float64, device=field.device)
    for total, part in zip(canvas, (weight, weight * u, weight * v), strict=True):
        total.index_add_(0, index, part)
    means = (canvas[1:] / canvas[0].clamp(min=EPSILON)).float().reshape(2, height, width)
    return torch.where(mixed, means, field)
